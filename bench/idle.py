"""Thousands of devices that hold a TLS connection and say nothing, while commands go to some of them.

    .venv/bin/python -m bench.idle [--devices 5000] [--seconds 20] [--ramp-s 90]

Everything runs on this machine: RabbitMQ, PostgreSQL, Valkey, one web process, the bridge, and the devices (`simulators.fleet`),
each with a certificate and a connection of its own and a keep-alive of a minute. They connect over the time of the ramp, until
the portal has all of them for connected. Then one caller, and ten, send commands over HTTP, each to a device of its own.

Exit status 1 if a device was lost, an answer was wrong, the p99 of one caller's commands was over 50 ms, or the web process took
more than 150 MB.
"""

from __future__ import annotations

import argparse
import sys
import time

import psutil
import uvloop

from bench.commands import Ask, Http, Tally, load
from bench.portal import wait_until
from bench.rabbit import DirectPortal
from bench.unit_costs import memory
from iotportal.embedded import rabbitmq

MOST_MS, MOST_MB = 50.0, 150.0
CALLERS = (1, 10)
CONNECTED = "SELECT count(*) FROM messaging_presence WHERE connected"


class IdlePortal(DirectPortal):
    """`DirectPortal` with a fleet of devices."""

    def connected(self) -> int:
        """Return how many devices the portal has for connected."""
        with self.database() as connection, connection.cursor() as cursor:
            cursor.execute(CONNECTED)
            return int(cursor.fetchone()[0])

    def start_fleet(self, count: int, ramp_s: float) -> list[str]:
        """Register devices, have them connect within `ramp_s` and wait until all are; return their ids."""
        folder, ids = self.make_folders(count, "standard")
        self.start_churn(folder, "--ramp-s", str(ramp_s))
        wait_until(lambda: self.connected() >= count, f"the connection of {count} devices", 10 * ramp_s + 120, every_s=1)
        return ids


async def ask(port: int, token: str, devices: list[str], seconds: float) -> dict[int, Tally]:
    """Send commands; return what came of them by the number of callers."""
    https = [await Http(port, token).open() for _ in range(max(CALLERS))]
    asks: list[Ask] = [http.ask for http in https]
    await load(Tally(), asks, devices, 2.0, 0)  # so that nobody pays for a first time
    tallies = {callers: Tally() for callers in CALLERS}
    for callers, tally in tallies.items():
        await load(tally, asks[:callers], devices, seconds, callers)
    return tallies


def measure(portal: IdlePortal, options: argparse.Namespace) -> bool:
    """Measure and print; whether all is as it must be."""
    portal.start_bridge("bridge")
    port = portal.start_web()
    began = time.monotonic()
    devices = portal.start_fleet(options.devices, options.ramp_s)
    print(f"{len(devices)} devices are connected after {time.monotonic() - began:.0f} s, with their registration", flush=True)
    tallies = uvloop.run(ask(port, portal.token, devices[: max(CALLERS)], options.seconds))
    for callers, one in tallies.items():
        print(
            f"{callers:3} callers: median {one.median:.2f} ms, p99 {one.p99:.2f} ms, {one.rate:.0f}/s, errors {one.errors},"
            f" wrong {one.wrong} {one.first_error}"
        )
    left = portal.connected()
    web = memory(portal.processes["web"][0].pid) / 1e6
    resident = psutil.Process(portal.processes["web"][0].pid).memory_info().rss / 1e6
    broker = memory(portal.processes["rabbitmq"][0].pid) / 1e6
    print(
        f"still connected: {left}; web process: {web:.0f} MB for itself ({resident:.0f} MB resident); RabbitMQ: {broker:.0f} MB"
    )
    broken = any(one.errors or one.wrong for one in tallies.values())
    return left == len(devices) and not broken and tallies[1].p99 <= MOST_MS and web <= MOST_MB


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=20, help="of commands, for each number of callers")
    parser.add_argument("--ramp-s", type=float, default=90)
    options = parser.parse_args()
    if rabbitmq.program() is None:
        print(f"RabbitMQ is not installed here. {rabbitmq.HINT}", file=sys.stderr)
        return 2
    with IdlePortal() as portal:
        return 0 if measure(portal, options) else 1


if __name__ == "__main__":
    sys.exit(main())
