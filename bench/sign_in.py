"""How long a sign-in takes beyond the password's hash, with few and with many accounts.

    .venv/bin/python -m bench.sign_in [--accounts 10000] [--times 60]

Starts its own PostgreSQL and Valkey and signs in through Django's whole stack (middleware, form, flows, session, redirect), by
user name and by e-mail, right and wrong, without a network in between. The hash is the portal's own with one round in place of a
million, so that what is timed is all the rest, exactly; how often it is made is counted, for each must cost the same. Rate limits
are raised, not lifted: each try is counted with as many rates as in production. Beside the median stand the quickest tenth, which
others on the machine disturb least, and the processor's time of this process; and the machine's load before and after. Exits 1 if
a median is above 30 ms or a sign-in hashes other than once.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

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


def ask(login: str, people: int, password: str, expected: int) -> Callable[[], None]:
    """Return a sign-in to be timed: a browser's second request, the form with its answer.

    `{}` in `login` is another number each time, below `people`: nobody is signed in a hundred times.
    """
    from django.test import Client

    numbers = itertools.count()
    browser = Client()  # a new one would load all middlewares anew, as no server does

    def call() -> None:
        browser.cookies.clear()
        name = login.format(next(numbers) * 7919 % people)
        status = browser.post("/accounts/login/", {"login": name, "password": password}).status_code
        if status != expected:
            raise SystemExit(f"{name} was answered {status}, not {expected}")

    return call


hashes = 0  # made so far


def lighten() -> None:
    """Take one round for each hash, and count them."""
    from django.contrib.auth.hashers import PBKDF2PasswordHasher

    encode = PBKDF2PasswordHasher.encode

    def counted(self: Any, *arguments: Any, **named: Any) -> str:
        global hashes
        hashes += 1
        return str(encode(self, *arguments, **named))

    PBKDF2PasswordHasher.iterations = 1
    PBKDF2PasswordHasher.encode = counted  # type: ignore[method-assign]  # on purpose


class Found(NamedTuple):
    """Milliseconds of one kind of sign-in, and hashes for each."""

    median: float
    quick: float
    processor: float
    hashes: float


def measure(calls: dict[str, Callable[[], None]], times: int) -> dict[str, Found]:
    """Return what was found for each call, made in turns."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    worked: dict[str, list[float]] = {name: [] for name in calls}
    made: dict[str, int] = dict.fromkeys(calls, 0)
    for turn in range(times + 3):
        for name, call in calls.items():
            before, begin, begin_work = hashes, time.perf_counter(), time.process_time()
            call()
            if turn >= 3:  # the first ones load modules and templates
                taken[name].append(1000 * (time.perf_counter() - begin))
                worked[name].append(1000 * (time.process_time() - begin_work))
                made[name] += hashes - before
    return {
        name: Found(
            statistics.median(taken[name]),
            statistics.quantiles(taken[name], n=10)[0],
            statistics.median(worked[name]),
            made[name] / times,
        )
        for name in calls
    }


def report(accounts: int, found: dict[str, Found]) -> bool:
    """Print a line per call; say whether all are as they should be."""
    for name, one in found.items():
        print(f"{accounts:>9,} {name:<22} {one.median:>10.1f} {one.quick:>8.1f} {one.processor:>10.1f} {one.hashes:>7.2f}")
    return all(one.median <= LIMIT_MS and one.hashes == 1 for one in found.values())


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

    settings.TRIES = {"sign_in": dict.fromkeys(settings.TRIES["sign_in"], "1000000/5m/key,10000000/d/key")}
    logging.disable(logging.WARNING)
    lighten()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    print(f"{'accounts':>9} {'':<22} {'median ms':>10} {'quick':>8} {'processor':>10} {'hashes':>7}")
    good, first = True, 0
    for last in (FEW, options.accounts):
        fill(first, last)
        analyse()
        calls = {
            "by user name": ask("user{}", last, PASSWORD, 302),
            "by e-mail": ask("user{}@example.org", last, PASSWORD, 302),
            "wrong password": ask("user{}", last, "not my password", 400),
            "nobody of that name": ask("nobody", last, PASSWORD, 400),
        }
        good = report(last, measure(calls, options.times)) and good
        first = last
    print(f"load {os.getloadavg()[0]:.1f}")
    return good


if __name__ == "__main__":
    main()
