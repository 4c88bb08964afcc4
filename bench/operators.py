"""Server time of the operators' pages about people, with many accounts.

    .venv/bin/python -m bench.operators [--accounts 10000] [--locked 100] [--times 10]

Starts its own PostgreSQL and Valkey and asks through Django's whole stack, as a superuser. Some people are locked out, and every
tenth has a second factor. Printed: queries, and milliseconds of the median and the slowest; exits 1 if a median is above 500 ms.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time

from bench.pages import set_up
from bench.sign_in import PASSWORD, analyse, fill
from iotportal.embedded.throwaway import ThrowawayServers

LIMIT_MS = 500.0
LIST = "/admin/accounts/user/"


def lock(people: int) -> None:
    """Use up what strangers may try for the first `people`."""
    from accounts.services import tries
    from accounts.services.tries import Origin

    for number in range(people):
        for host in range(5):
            tries.begin("sign_in", name=f"user{number}", origin=Origin(f"10.{number >> 8}.{number & 255}.{host}"))


def give_factors() -> None:
    """Give every tenth a second factor, as after pairing an app."""
    from allauth.mfa.models import Authenticator

    from accounts.models import User

    some = User.objects.filter(username__endswith="7").values_list("pk", flat=True)
    Authenticator.objects.bulk_create(
        [Authenticator(user_id=pk, type=Authenticator.Type.TOTP, data={}) for pk in some], batch_size=1000
    )


def measure(times: int, locked: int) -> bool:
    """Ask each page, print a line for it, and say whether all were quick enough."""
    from django.conf import settings
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from accounts.models import User
    from accounts.services import support

    settings.ADMIN_REQUIRES_FACTOR = False
    client, quick = Client(), True
    client.force_login(User.objects.create_superuser("operator", "operator@example.org", PASSWORD))
    pages = {
        "People": LIST,
        "People, searched": f"{LIST}?q=user4242",
        "People, locked": f"{LIST}?locked=yes",
        "People, with a second factor": f"{LIST}?factor=yes",
        "One of them": f"{LIST}{User.objects.get(username='user7').pk}/change/",
    }
    found = len(support.locked(User.objects.all()))
    if found != locked:
        raise SystemExit(f"{found} are locked, not {locked}")
    for name, url in pages.items():
        taken = []
        with CaptureQueriesContext(connection) as queries:
            client.get(url)
        asked = len(queries)
        for _ in range(times):
            begin = time.perf_counter()
            if client.get(url).status_code != 200:
                raise SystemExit(f"{url} was refused")
            taken.append(1000 * (time.perf_counter() - begin))
        median = statistics.median(taken)
        quick = quick and median <= LIMIT_MS
        print(f"{name:<32} {asked:>8} {median:>10.1f} {max(taken):>8.1f}")
    return quick


def main() -> int:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description="Measure the operators' pages about people.")
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--locked", type=int, default=100)
    parser.add_argument("--times", type=int, default=10)
    options = parser.parse_args()
    with ThrowawayServers() as servers:
        set_up(servers)
        fill(0, options.accounts)
        give_factors()
        lock(options.locked)
        analyse()
        print(f"{options.accounts:,} accounts, {options.locked} locked, load {os.getloadavg()[0]:.1f}")
        print(f"{'page':<32} {'queries':>8} {'median ms':>10} {'slowest':>8}")
        return 0 if measure(options.times, options.locked) else 1


if __name__ == "__main__":
    sys.exit(main())
