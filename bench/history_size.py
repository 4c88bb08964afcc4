"""Does the history get slower as it grows? Pages, filters, months and exports at 10^5 and at 10^7 messages.

    .venv/bin/python -m bench.history_size [--small 100000] [--large 10000000] [--times 20]

Starts its own PostgreSQL and Valkey, fills a year with the messages of 1,000 devices (a fifth are of one of them; a tenth as
many commands), copies that, adds rows to the copy up to the large size, and asks each page of both databases in turn, through
Django's whole stack, so that whatever else the machine does slows both. A page that takes more than 1.5 times as long as in
the small one, or an export below 20,000 rows/s or of growing memory, makes it exit 1. 10^7 rows take about 4 GB until the end.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import psutil

from bench.pages import fill, set_up
from iotportal.embedded.throwaway import ThrowawayServers

if TYPE_CHECKING:
    from django.test import Client

    from accounts.models import User
    from devices.models import Device

FACTOR, RATE = 1.5, 20_000
DAYS = 360
EXPORTED = 300_000

MESSAGES = """
    INSERT INTO messaging_message (id, time, account_id, device_id, direction, api, payload, size_bytes)
    SELECT uuidv7(t - now()), t, %(account)s,
           CASE WHEN n %% 5 = 0 THEN %(busiest)s ELSE ids[1 + (n::bigint * 7919) %% cardinality(ids)] END,
           CASE WHEN n %% 2 = 0 THEN 'to' ELSE 'from' END, 'get_gpio', '{"number": 4, "value": ' || n %% 2 || '}', 24
    FROM (SELECT array_agg(id) ids FROM devices_device WHERE account_id = %(account)s) d,
         generate_series(1, %(rows)s) n, LATERAL (SELECT %(now)s - %(span)s * (n::float8 / %(rows)s) AS t) at
"""
COMMANDS = """
    INSERT INTO messaging_command
           (id, time, account_id, device_id, api, payload, outcome, answer, timeout_s, answered_ms, delivered_ms)
    SELECT uuidv7(m.time - now()), time, account_id, device_id, api, payload, 'answered', payload, 5, 30, 31
    FROM messaging_message m WHERE ('x' || right(m.id::text, 4))::bit(16)::int %% 10 = 0
"""


def grow(user: User, busiest: Device, rows: int, now: datetime) -> None:
    """Write `rows` messages over the year before `now`, and the commands."""
    from django.db import connection

    with connection.cursor() as cursor:
        began = time.monotonic()
        values: dict[str, Any] = {
            "account": busiest.account_id,
            "busiest": busiest.pk,
            "rows": rows,
            "now": now,
            "span": timedelta(days=DAYS),
        }
        cursor.execute(MESSAGES, values)
        taken = time.monotonic() - began
        cursor.execute("TRUNCATE messaging_command")
        cursor.execute(COMMANDS, [])
        cursor.execute("VACUUM ANALYZE")
        print(f"  {rows:,} rows written at {rows / taken:,.0f}/s, all ready after {time.monotonic() - began:.0f} s", flush=True)


def urls(user: User, device: Device, now: datetime) -> dict[str, str]:
    """Return what is asked; the deep page begins where 1 % of the year is left."""
    from messaging.selectors import Cursor, MessageFilter, messages

    deep = Cursor(now - timedelta(days=DAYS * 0.99), device.pk)
    assert len(messages(user, MessageFilter(), str(deep)).rows) == 50
    month = now - timedelta(days=150)
    span = f"since={month:%Y-%m-%dT00:00}&until={month + timedelta(days=30):%Y-%m-%dT00:00}"
    return {
        "first page": "/history/?range=all",
        "first page, last day": "/history/?range=24h",
        "one device": f"/history/?range=all&device={device.hex}",
        "deep page": f"/history/?range=all&cursor={deep}",
        "deep page, one device": f"/history/?range=all&device={device.hex}&cursor={deep}",
        "a month": f"/history/?{span}",
        "a month, one device": f"/history/?{span}&device={device.hex}",
        "API, first page": "/api/v1/messages",
        "API, one device": f"/api/v1/messages?device={device.hex}",
        "API, deep page": f"/api/v1/messages?cursor={deep}",
    }


def use(name: str) -> None:
    """Go over to another database of the server."""
    from django.db import connection

    connection.close()
    connection.settings_dict["NAME"] = name


def copy(name: str) -> None:
    """Copy the database that is used; its server lets nobody be connected to it meanwhile."""
    from django.db import connection

    own = str(connection.settings_dict["NAME"])
    use("postgres")
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{own}"')
    use(name)


def ask(client: Client, url: str, times: int) -> list[float]:
    """Return the milliseconds of each of so many visits, after two that warm up."""
    taken = []
    for _ in range(times + 2):
        began = time.perf_counter()
        response = client.get(url)
        taken.append(1000 * (time.perf_counter() - began))
        if response.status_code != 200:
            raise SystemExit(f"{url}: {response.status_code}")
    return taken[2:]


def compare(user: User, asked: dict[str, str], databases: tuple[str, str], times: int) -> bool:
    """Ask each page of both databases in turn, print the medians, and say whether none got slower by more than the factor."""
    from django.test import Client

    clients, quick = {database: Client() for database in databases}, True
    for database, client in clients.items():
        use(database)
        client.force_login(user)
    print(f"{'':<28} {'small, ms':>10} {'large, ms':>10} {'factor':>7}")
    for name, url in asked.items():
        taken: dict[str, list[float]] = {database: [] for database in databases}
        for _ in range(5):
            for database in databases:
                use(database)
                taken[database] += ask(clients[database], url, max(1, times // 5))
        small, large = (statistics.median(taken[database]) for database in databases)
        kept = large <= FACTOR * small
        quick = quick and kept
        print(f"{name:<28} {small:>10.1f} {large:>10.1f} {large / small:>7.2f}{'' if kept else '  missed'}", flush=True)
    return quick


async def export(user: User, kind: str) -> tuple[float, int, int]:
    """Read an export's first rows; returns rows/s, and how many bytes memory grew in the first tenth and in the rest."""
    from django.test import RequestFactory

    from messaging.views.export import export as view

    request = RequestFactory().get("/history/export/", {"range": "all", "format": kind})
    request.user = user
    response = await asyncio.to_thread(view, cast(Any, request))
    body, process = cast(AsyncIterator[bytes], cast(Any, response).streaming_content), psutil.Process()
    rows, began, start, warm = 0, time.perf_counter(), process.memory_info().rss, 0
    async for piece in body:
        rows += piece.count(b"\n")
        warm = warm or (process.memory_info().rss if rows > EXPORTED // 10 else 0)
        if rows >= EXPORTED:
            break
    return rows / (time.perf_counter() - began), warm - start, process.memory_info().rss - warm


def exports(user: User) -> bool:
    """Measure both formats and say whether they are quick and hold no more the longer they get."""
    good = True
    for kind in ("csv", "ndjson"):
        rate, first, rest = asyncio.run(export(user, kind))
        kept = rate >= RATE and rest < 8e6
        print(f"export, {kind:<20} {rate:>10,.0f} rows/s, memory +{first / 1e6:.1f} MB, then +{rest / 1e6:.1f} MB"
              f"{'' if kept else '  missed'}", flush=True)  # fmt: skip
        good = good and kept
    return good


def main() -> int:
    """Fill, copy, fill more, compare."""
    parser = argparse.ArgumentParser(description="Measure the history as it grows.")
    parser.add_argument("--small", type=int, default=100_000)
    parser.add_argument("--large", type=int, default=10_000_000)
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    with ThrowawayServers() as servers:
        set_up(servers)
        from messaging.partitions import make_partitions, month_after

        now = datetime.now(UTC)
        make_partitions(13, month_after(date(now.year, now.month, 1), -13))
        user, device = fill(1000, 0)
        grow(user, device, options.small, now)
        from django.db import connection

        databases = (str(connection.settings_dict["NAME"]), "large")
        copy(databases[1])
        grow(user, device, options.large - options.small, now)
        quick = compare(user, urls(user, device, now), databases, options.times)
        print(f"load {psutil.getloadavg()[0]:.1f}")
        return 0 if exports(user) and quick else 1


if __name__ == "__main__":
    sys.exit(main())
