"""What metering costs: commands over HTTP with the meter on and off, taking turns in one run.

    .venv/bin/python -m bench.metering [--seconds 4] [--rounds 6] [--rate 300] [--devices 20] [--charge-s 4]

Two web processes, alike but for the meter: one counts each command and refuses what the credits do not pay for, and while it is
asked, what it counted is charged to the ledger every `--charge-s` (a deployment does that once a minute). The admission of the
other has the lines of the quota taken out, and nothing is charged. The order of the turns swaps each round, so that a machine
whose speed drifts does so for both. First both are asked at `--rate` commands a second, then as fast as they answer.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import runpy
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvloop

from bench.commands import Http, Tally, load
from bench.fleet import FleetPortal


@contextmanager
def meter(every_s: float) -> Iterator[list[int]]:
    """Charge what is counted, over and over; yields how many credits each run charged."""
    from django.db import connection

    from billing.services.metering import charge_messages

    over, charged = threading.Event(), list[int]()

    def run() -> None:
        while not over.wait(every_s):
            charged.append(charge_messages())
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield charged
    finally:
        over.set()
        thread.join()


def serve_unmetered(port: str) -> None:
    """Be a web process whose admission knows no quota."""
    import django

    django.setup()
    from iotportal.valkey import Script
    from messaging.gateway import admission

    source = re.sub(r"local quota_key = .*?'EXPIRE', quota_key, \d+\) end\n", "", admission.ADMIT.source, flags=re.DOTALL)
    assert len(source) < len(admission.ADMIT.source)
    admission.ADMIT = Script(source)
    admission.SCRIPTS = (admission.ADMIT, *admission.SCRIPTS[1:])
    sys.argv = ["iotportal.web", "--port", port]
    runpy.run_module("iotportal.web", run_name="__main__")


def prepare(user_name: str) -> None:
    """Have the account pay for each command: none is free, ten cost a credit, and it has plenty."""
    from django.conf import settings
    from django.db.models.functions import Now

    from accounts.models import Account
    from billing.models import Price
    from billing.services import give_credits

    settings.FREE_MESSAGES_PER_MONTH = 0  # here the meter runs
    Price.objects.create(item="message", credits=1, per=10, starts_at=Now())
    account = Account.objects.get(memberships__user__username=user_name, kind="personal")
    give_credits(account=account, credits=10**9, reason="For the bench", key="bench")


async def paced(tally: Tally, https: list[Http], devices: list[str], seconds: float, rate: float) -> None:
    """Ask `rate` times a second over all callers, whatever the answers take."""
    began = time.perf_counter()

    async def caller(number: int, http: Http) -> None:
        count = 0
        while (at := (count * len(https) + number) / rate) < seconds:
            await asyncio.sleep(max(0.0, began + at - time.perf_counter()))
            before = time.perf_counter()
            right = await http.ask(devices[number % len(devices)], count % 32, count % 2)
            tally.add((time.perf_counter() - before) * 1000, right=right)
            count += 1

    await asyncio.gather(*(caller(number, http) for number, http in enumerate(https)))
    tally.seconds += time.perf_counter() - began


async def measure(arguments: argparse.Namespace, token: str, ports: dict[str, int], devices: list[str]) -> None:
    """Let both take turns, and print the table."""
    https = {way: [await Http(port, token).open() for _ in devices] for way, port in ports.items()}
    at_rate, at_full = {way: Tally() for way in ports}, {way: Tally() for way in ports}
    charged = 0
    for number in range(arguments.rounds + 1):
        if number == 1:  # the first round warms up
            at_rate, at_full = {way: Tally() for way in ports}, {way: Tally() for way in ports}
        for way in list(ports)[:: 1 if number % 2 else -1]:
            with meter(arguments.charge_s if way == "metered" else 3600.0) as runs:
                await paced(at_rate[way], https[way], devices, arguments.seconds, arguments.rate)
                await load(at_full[way], [one.ask for one in https[way]], devices, arguments.seconds, number)
            charged += sum(runs)
    titles = ("at the rate", "median ms", "p99 ms", "at full speed", "median ms", "wrong", "errors")
    print(f"\n{'':10}" + "".join(f" {title:>13}" for title in titles))
    for way in ports:
        slow, fast = at_rate[way], at_full[way]
        print(
            f"{way:10} {slow.rate:11.0f}/s {slow.median:13.2f} {slow.p99:13.2f} {fast.rate:11.0f}/s {fast.median:13.2f}"
            f" {slow.wrong + fast.wrong:13} {slow.errors + fast.errors:13}"
        )
    lost = 1 - at_full["metered"].rate / at_full["unmetered"].rate
    slower = at_rate["metered"].median / at_rate["unmetered"].median - 1
    print(f"\nmetering costs {lost:.1%} of the throughput, and {slower:.1%} of the time at {arguments.rate} a second")
    print(f"{charged:,} credits were charged meanwhile")


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4, help="per way, load and round")
    parser.add_argument("--rounds", type=int, default=6, help="besides one that warms up")
    parser.add_argument("--rate", type=int, default=300, help="commands a second")
    parser.add_argument("--devices", type=int, default=20, help="each with one caller")
    parser.add_argument("--charge-s", type=float, default=4, help="seconds between charges")
    parser.add_argument("--serve-unmetered", metavar="PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve_unmetered:
        serve_unmetered(arguments.serve_unmetered)
        return
    with FleetPortal() as portal:
        portal.env["PORTAL_FREE_MESSAGES"] = "0"
        prepare(portal.user.username)
        devices = portal.start_simulators(arguments.devices)
        portal.start_worker()
        ports = {
            "metered": portal.start_web(),
            "unmetered": portal.start_web("unmetered", "-m", "bench.metering", "--serve-unmetered"),
        }
        uvloop.run(measure(arguments, portal.token, ports, devices))


if __name__ == "__main__":
    main()
