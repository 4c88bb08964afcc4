"""Commands to one device of a crowd that is connected, while some come and go.

    .venv/bin/python -m bench.crowd [--devices 10000] [--session-s 600] [--away-s 30] [--rate 50] [--seconds 60]

Real PostgreSQL, Valkey, embedded broker, bridge and web process; the devices are `simulators.fleet`, each with a connection of
its own under mutual TLS. They stay for `session-s` in the mean, half leave without a goodbye, and come back after `away-s`.
Printed: how fast they came, how many were held, what one costs in memory on both sides, and what became of the commands that the
API was asked for, each to any of the devices: answered, refused because the device was away, or no answer in time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import psutil

from bench.commands import Http
from bench.fleet import FleetPortal


class CrowdPortal(FleetPortal):
    """`FleetPortal` whose broker lets a crowd in."""

    def more_settings(self) -> dict[str, str]:
        """Return the limit of connections, out of reach."""
        return {**super().more_settings(), "PORTAL_BROKER_CONNECTIONS": "16000"}


@dataclass
class Told:
    """What became of the commands."""

    times_ms: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)


def megabytes(pid: int) -> float:
    """Return the private and shared memory of a process and those below it."""
    process = psutil.Process(pid)
    return sum(one.memory_info().rss for one in (process, *process.children(recursive=True))) / 1e6


def held() -> int:
    """Return how many devices the portal knows as connected."""
    from messaging.models import Presence

    return Presence.objects.filter(connected=True).count()


def wait_for_crowd(share: float, wait_s: float) -> tuple[float, int]:
    """Wait until so many are connected; return how long 90 % of them took, in seconds, and the most that came in one."""
    began, before, fastest, most_s = time.monotonic(), 0, 0, 0.0
    while (now := held()) < share:
        if time.monotonic() - began > wait_s:
            break  # with those that are there
        most_s = most_s or (time.monotonic() - began if now >= 0.9 * share else 0.0)
        fastest, before = max(fastest, now - before), now
        time.sleep(1)
    return most_s or time.monotonic() - began, fastest


async def ask(port: int, token: str, ids: list[str], rate: float, seconds: float) -> Told:
    """Ask devices at random, `rate` a second, each over whichever of the connections is free."""
    told, free = Told(), asyncio.Queue[Http]()
    for _ in range(32):
        free.put_nowait(await Http(port, token).open())
    chance, under_way = random.Random(7), set()  # luck that repeats

    async def one(device: str) -> None:
        link = await free.get()
        since = time.perf_counter()
        status, body = await link.request("PUT", f"/api/v1/devices/{device}/gpio/12", {"value": 1})
        free.put_nowait(link)
        if status == 200:
            told.times_ms.append(1000 * (time.perf_counter() - since))
            told.outcomes["answered" if body["device"] == device else "WRONG"] += 1
        else:
            told.outcomes[f"{status} {body.get('code', body.get('title', ''))}"] += 1

    for number in range(round(rate * seconds)):
        task = asyncio.create_task(one(chance.choice(ids)))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        await asyncio.sleep(1 / rate if number else 0)
    await asyncio.gather(*under_way)
    return told


def measure(portal: FleetPortal, options: argparse.Namespace) -> dict[str, Any]:
    """Hold the crowd and ask."""
    from messaging.models import PresenceChange

    began = time.monotonic()
    folder, ids = portal.make_folders(options.devices, "modern")
    registered_s = time.monotonic() - began
    portal.start_worker()
    port = portal.start_web()
    asyncio.run(ask(port, portal.token, ids[:8], 5, 1))  # what a first request has to load
    broker = portal.processes["broker"][0].pid
    broker_mb = megabytes(broker)
    churn = ("--session-s", str(options.session_s), "--away-s", str(options.away_s), "--ramp-s", str(options.ramp_s))
    fleet = portal.start_churn(folder, *churn)
    expected = options.devices * options.session_s / (options.session_s + options.away_s)
    connected_s, fastest = wait_for_crowd(0.97 * expected, options.wait_s)
    at_first, before = held(), PresenceChange.objects.count()
    told = asyncio.run(ask(port, portal.token, ids, options.rate, options.seconds))
    times = sorted(told.times_ms)
    return {
        "devices": options.devices,
        "registered_s": round(registered_s, 1),
        "connected_s": round(connected_s, 1),
        "most_connects_a_second": fastest,
        "held": [at_first, held()],
        "comings_and_goings": PresenceChange.objects.count() - before,
        "broker_kB_a_device": round(1000 * (megabytes(broker) - broker_mb) / held(), 1),
        "fleet_kB_a_device": round(1000 * megabytes(fleet) / options.devices, 1),
        "fleet_processes": 1 + len(psutil.Process(fleet).children(recursive=True)),
        "commands": dict(told.outcomes),
        "median_ms": round(statistics.median(times), 2) if times else None,
        "p99_ms": round(times[int(len(times) * 0.99)], 2) if times else None,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--session-s", type=float, default=600.0)
    parser.add_argument("--away-s", type=float, default=30.0)
    parser.add_argument("--ramp-s", type=float, default=60.0)
    parser.add_argument("--wait-s", type=float, default=1800.0, help="ask those who are connected then, however few")
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with CrowdPortal() as portal:
        print(json.dumps(measure(portal, options), indent=1))


if __name__ == "__main__":
    main()
