"""Server time of each page with many devices and a long history.

    .venv/bin/python -m bench.pages [--devices 1000] [--rows 100000] [--notifications 10000] [--times 20]

Starts its own PostgreSQL and Valkey, fills them, and asks each page through Django's whole stack (middleware, view, template)
without a network in between. All rows lie within the last hour, which is what the history shows first: the worst case.
Printed: queries, size, and the milliseconds of the median and the slowest; a page above 60 ms, or a list of the admin
above 250 ms, makes it exit 1.
"""

from __future__ import annotations

import argparse
import base64
import os
import random
import secrets
import statistics
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from bench import pages_beside as beside
from iotportal.embedded.throwaway import ThrowawayServers

if TYPE_CHECKING:
    from accounts.models import User
    from devices.models import Device

LIMIT_MS = 60.0
ADMIN_LIMIT_MS = 250.0  # a hundred rows, drawn by Django's own templates
COMMANDS = [
    ("get_gpio", '{"number": 4}', '{"number": 4, "value": 0}'),
    ("set_gpio", '{"number": 10, "value": 1}', '{"number": 10, "value": 1}'),
    ("get_status", "{}", '{"value": "running"}'),
    ("write_uart", '{"value": "hello world"}', '{"value": "hello world"}'),
]


def set_up(servers: ThrowawayServers) -> None:
    """Point Django at the servers, as the portal runs in production, and make the tables."""
    os.environ.update(
        DJANGO_SETTINGS_MODULE="iotportal.settings",
        PORTAL_SECRET_KEY=secrets.token_urlsafe(50),
        PORTAL_SEAL_KEY=base64.b64encode(secrets.token_bytes(32)).decode(),
        PORTAL_STATE_DIR=str(servers.state.root),
        PORTAL_PKI_DIR=str(servers.state.pki),
        PORTAL_URL="http://localhost",
        PORTAL_ALLOWED_HOSTS="testserver",
        PORTAL_LOG_LEVEL="ERROR",
        DATABASE_URL=servers.start_postgres(),
        VALKEY_URL=servers.start_valkey(),
    )
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("setup_pki", verbosity=0)


def fill(devices: int, rows: int) -> tuple[User, Device]:
    """Make a user with `devices` devices and `rows` messages of the last hour; return the user and the busiest device."""
    from accounts.services import create_user, personal_account
    from devices.models import Certificate, Device, Pin
    from devices.services import register_device
    from messaging.models import Presence, Reading

    user = create_user(
        username="bench", email="bench@example.com", password=secrets.token_urlsafe(), first_name="B", last_name="B"
    )
    account, now = personal_account(user), datetime.now(UTC)
    busiest = register_device(account=account, name="Busiest").device
    made = [
        Device(account=account, name=f"Device {number:05d}", profile=random.choice(["standard", "ft900", "modern"]))
        for number in range(devices - 1)
    ]
    Device.objects.bulk_create(made)
    Presence.objects.bulk_create(
        Presence(device=device, connected=random.random() < 0.8, connected_at=now, last_message_at=now, protocol="MQTT 3.1.1")
        for device in made
    )
    pem = busiest.certificates.get().pem
    Certificate.objects.bulk_create(
        Certificate(
            device=device,
            serial=secrets.token_hex(20),
            fingerprint=secrets.token_hex(32),
            key_algorithm="ec",
            key_bits=256,
            key_hash=secrets.token_hex(32),
            pem=pem,
            not_before=now,
            not_after=now + timedelta(days=300),
        )
        for device in made
    )
    Presence.objects.filter(device=busiest).update(
        connected=True, connected_at=now, last_message_at=now, running=True, asked_at=now
    )
    Pin.objects.bulk_create(Pin(device=busiest, number=number, name=f"Pin {number}") for number in range(32))
    Reading.objects.bulk_create(
        Reading(device=busiest, key=f"gpio/{number}", value=1, at=now, elapsed_ms=30.0) for number in range(32)
    )
    write_history([busiest, *made], rows, now)
    analyse()
    return user, busiest


def analyse() -> None:
    """Have PostgreSQL know what is there."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def write_history(devices: list[Device], rows: int, now: datetime) -> None:
    """Write `rows` messages, a fifth of them of the first device, and the commands they belong to."""
    from messaging.models import Command, Message

    messages: list[Message] = []
    commands: list[Command] = []
    for index in range(rows // 2):
        device = devices[0] if index % 5 == 0 else random.choice(devices)
        api, asked, answer = random.choice(COMMANDS)
        at, took = now - timedelta(hours=1) * (1 - index / (rows / 2)), random.lognormvariate(3.4, 0.4)
        place = {"account_id": device.account_id, "device_id": device.pk, "api": api}
        messages.append(Message(time=at, direction="to", payload=asked, size_bytes=len(asked), **place))
        messages.append(
            Message(time=at + timedelta(milliseconds=took), direction="from", payload=answer, size_bytes=len(answer), **place)
        )
        commands.append(
            Command(
                time=at,
                payload=asked,
                answer=answer,
                outcome="answered",
                timeout_s=5,
                sent_ms=0.3,
                broker_ms=0.9,
                answered_ms=took,
                delivered_ms=took,
                **place,
            )
        )
    Message.objects.bulk_create(messages, batch_size=5000)
    Command.objects.bulk_create(commands, batch_size=5000)


def pages(device: Device) -> dict[str, str]:
    """Return what is asked."""
    control = f"/devices/{device.hex}/control/"
    return {
        "Devices": "/devices/",
        "Devices, last page": "/devices/?page=1000",
        "Devices, search by name": "/devices/?q=0042",
        "Devices, search by id": f"/devices/?q={device.hex[3:12]}",
        "Devices, offline": "/devices/?show=offline",
        "Register": "/devices/register/",
        "View": f"/devices/{device.hex}/",
        "Registered": f"/devices/{device.hex}/registered/",
        "Control": control,
        "History": "/history/",
        "History, everything": "/history/?range=all",
        "History, one device": f"/history/?device={device.hex}",
        "History, one api and direction": "/history/?api=get_status&direction=from",
        "History, text that is rare": "/history/?q=nowhere",
        "History, text that is common": "/history/?q=number",
        "Settings": "/settings/",
        "Help": "/help/",
    }


def measure(user: User, asked: dict[str, str], times: int, limit_ms: float = LIMIT_MS) -> bool:
    """Ask each page, print a line for it, and say whether all were quick enough."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client, quick = Client(), True
    client.force_login(user)
    for name, url in asked.items():
        with CaptureQueriesContext(connection) as queries:
            response = client.get(url)
        count = len(queries)  # now: the next request empties the log
        if response.status_code != 200:
            raise SystemExit(f"{name}: {response.status_code}")
        taken = []
        for _ in range(times):
            begin = time.perf_counter()
            client.get(url)
            taken.append(1000 * (time.perf_counter() - begin))
        median = statistics.median(taken)
        quick = quick and median <= limit_ms
        row = f"{name:<36} {count:>8} {len(response.content) / 1000:>6.0f} {median:>10.1f} {max(taken):>8.1f}"
        print(row if median <= limit_ms else f"{row}  too slow")
    return quick


def main() -> int:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description="Measure the pages.")
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--notifications", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    with ThrowawayServers() as servers:
        set_up(servers)
        user, device = fill(options.devices, options.rows)
        organisation = beside.fill_beside(user, device, options.notifications)
        analyse()
        print(f"{options.devices:,} devices, {options.rows:,} messages within the last hour")
        print(f"{'page':<36} {'queries':>8} {'kB':>6} {'median ms':>10} {'slowest':>8}")
        quick = measure(user, pages(device) | beside.pages_beside(device, organisation), options.times)
        return 0 if measure(beside.operator(), beside.pages_of_admin(), options.times, ADMIN_LIMIT_MS) and quick else 1


if __name__ == "__main__":
    sys.exit(main())
