"""How long a sign-in takes beyond the password's hash, with few and with many accounts.

    .venv/bin/python -m bench.sign_in [--accounts 10000] [--times 60]

Starts its own PostgreSQL and Valkey and signs in through Django's whole stack (middleware, form, flows, session, redirect), by
user name and by e-mail, right and wrong, without a network in between. The hash alone is timed in the same run, in turns with the
sign-ins, so that what else the machine does falls on both. Rate limits are lifted: they would answer instead. Exits 1 if a
median is more than 30 ms above the hash's.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
from collections.abc import Callable

from bench.pages import set_up
from iotportal.embedded.throwaway import ThrowawayServers

LIMIT_MS = 30.0
PASSWORD = "green pump 42 runs"
FEW = 10


def fill(first: int, last: int) -> None:
    """Make users `first` to `last`, each with a confirmed address and a personal account, as sign-up does."""
    from allauth.account.models import EmailAddress
    from django.contrib.auth.hashers import make_password

    from accounts.models import Account, Membership, Role, User

    hashed = make_password(PASSWORD)  # the same for all: 10,000 hashes would take longer than the bench
    names = [f"user{number}" for number in range(first, last)]
    users = User.objects.bulk_create(
        [User(username=name, email=f"{name}@example.org", password=hashed, first_name=name, last_name="Bench") for name in names],
        batch_size=1000,
    )
    EmailAddress.objects.bulk_create(
        [EmailAddress(user=user, email=user.email, verified=True, primary=True) for user in users], batch_size=1000
    )
    accounts = Account.objects.bulk_create([Account(name=user.username) for user in users], batch_size=1000)
    pairs = zip(users, accounts, strict=True)
    Membership.objects.bulk_create([Membership(user=user, account=one, role=Role.OWNER) for user, one in pairs], batch_size=1000)


def analyse() -> None:
    """Let PostgreSQL know what there is, as it would by itself after a while."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def ask(login: str, password: str, expected: int) -> Callable[[], None]:
    """Return a sign-in to be timed: a browser's second request, the form with its answer."""
    from django.test import Client

    def call() -> None:
        status = Client().post("/accounts/login/", {"login": login, "password": password}).status_code
        if status != expected:
            raise SystemExit(f"{login} was answered {status}, not {expected}")

    return call


def hash_once() -> None:
    """Do what every sign-in must: hash the password."""
    from django.contrib.auth.hashers import make_password

    make_password(PASSWORD)


def measure(calls: dict[str, Callable[[], None]], times: int) -> dict[str, float]:
    """Return the median milliseconds of each call, made in turns."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(times + 3):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            if turn >= 3:  # the first ones load modules and templates
                taken[name].append(1000 * (time.perf_counter() - begin))
    return {name: statistics.median(values) for name, values in taken.items()}


def report(accounts: int, medians: dict[str, float]) -> bool:
    """Print a line per call; say whether all are within the limit."""
    alone = medians.pop("hash")
    for name, median in medians.items():
        print(f"{accounts:>9,} {name:<22} {median:>10.1f} {alone:>10.1f} {median - alone:>10.1f}")
    return all(median - alone <= LIMIT_MS for median in medians.values())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure sign-ins.")
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=60)
    options = parser.parse_args()
    servers = ThrowawayServers()
    try:
        set_up(servers)
        good = sign_ins(options)
    finally:
        servers.stop()
    sys.exit(0 if good else 1)


def sign_ins(options: argparse.Namespace) -> bool:
    """Measure with few accounts, then with many."""
    from django.conf import settings

    settings.TRIES = {"sign_in": dict.fromkeys(settings.TRIES["sign_in"], "1000000/m/key")}
    logging.disable(logging.WARNING)
    print(f"{'accounts':>9} {'':<22} {'median ms':>10} {'hash ms':>10} {'beyond ms':>10}")
    good, first = True, 0
    for last in (FEW, options.accounts):
        fill(first, last)
        analyse()
        someone = f"user{last // 2}"
        calls = {
            "hash": hash_once,
            "by user name": ask(someone, PASSWORD, 302),
            "by e-mail": ask(f"{someone}@example.org", PASSWORD, 302),
            "wrong password": ask(someone, "not my password", 400),
            "nobody of that name": ask("nobody", PASSWORD, 400),
        }
        good = report(last, measure(calls, options.times)) and good
        first = last
    return good


if __name__ == "__main__":
    main()
