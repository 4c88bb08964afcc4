"""`bench.ingest --broker rabbitmq`: messages a second through RabbitMQ and the bridge into PostgreSQL, and what they cost.

Publishers of a kind (`bench.publishers`) say as much as is taken, never more than some thousands ahead of what is written, so
that neither a backlog nor their own work is what is measured. Then everything is counted: what was said must be in the history
once. Processor time is by process, per message: what bounds the speed on a machine is what takes most of it.
"""

from __future__ import annotations

import argparse
import ctypes
import time
from dataclasses import dataclass
from typing import Any

import psutil

from bench.portal import spawn, wait_until
from bench.publishers import KINDS, publish
from bench.rabbit import RabbitPortal

WARM_S = 3.0
LOOK_S = 0.05
BEHIND_S = 120.0
PARTS = ("bridge", "rabbitmq", "postgres", "valkey", "broker-auth")
POSITION = "SELECT sequence FROM messaging_journalentry WHERE session = %s AND packet_id = 0"
COUNT = "SELECT count(*), count(DISTINCT payload) FROM messaging_message WHERE api = 'write_uart' AND device_id = ANY(%s::uuid[])"


@dataclass(frozen=True, slots=True)
class Result:
    """What one kind of publishers came to; `costs` in µs of a core for a message, by process."""

    per_second: float
    said: int
    rows: int
    distinct: int
    costs: dict[str, float]

    def line(self, kind: str) -> str:
        """Return it in words."""
        costs = ", ".join(f"{name} {cost:.0f}" for name, cost in self.costs.items())
        return (
            f"{kind:5} {self.per_second:7.0f} messages/s into the table; said {self.said}, lost {self.said - self.distinct},"
            f" doubled {self.rows - self.distinct}; µs of a core for a message: {costs}, together {sum(self.costs.values()):.0f}"
        )


def processor_s(process: psutil.Process) -> float:
    """Return the processor time of a process and its children, seconds."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        times = one.cpu_times()
        total += times.user + times.system
    return total


class Run:
    """One kind of publishers against a running portal."""

    def __init__(self, portal: RabbitPortal, kind: str, options: argparse.Namespace) -> None:
        self.portal, self.kind, self.options = portal, kind, options
        self.devices = portal.register(options.devices)
        self.said, self.written = spawn.Value("q", 0, lock=False), spawn.Value("q", 0, lock=False)
        self.stop: Any = spawn.Value(ctypes.c_bool, False, lock=False)

    def measure(self) -> Result:
        """Let them publish for the time asked for, and count."""
        from messaging.rabbitmq.names import STREAM

        port = self.portal.ports.amqps if self.kind == "amqp" else self.portal.mqtt_port
        longest = WARM_S + self.options.seconds + 60
        words = (self.kind, self.portal.state.root, port, self.devices, longest, self.options.ahead)
        publisher = spawn.Process(target=publish, args=(*words, self.said, self.written, self.stop))
        with self.portal.database() as connection, connection.cursor() as cursor:

            def position() -> int:
                cursor.execute(POSITION, [STREAM])
                return int(cursor.fetchone()[0])

            base = position()
            publisher.start()
            try:
                wait_until(lambda: self.said.value, "the first message")
                self._watch(position, base, WARM_S)
                result = self._timed(position, base, publisher)
            finally:
                self.stop.value = True
                publisher.join(30)
            self._settle(position, base)
            cursor.execute(COUNT, [self.devices])
            rows, distinct = cursor.fetchone()
        return Result(result[0], self.said.value, rows, distinct, result[1])

    def _watch(self, position: Any, base: int, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.written.value = position() - base
            time.sleep(LOOK_S)

    def _timed(self, position: Any, base: int, publisher: Any) -> tuple[float, dict[str, float]]:
        watched = {name: psutil.Process(self.portal.processes[name][0].pid) for name in PARTS}
        watched["publishers"] = psutil.Process(publisher.pid)
        began, first = time.monotonic(), position()
        before = {name: processor_s(process) for name, process in watched.items()}
        self._watch(position, base, self.options.seconds)
        took, count = time.monotonic() - began, position() - first
        costs = {name: (processor_s(process) - before[name]) / count * 1e6 for name, process in watched.items()}
        return count / took, costs

    def _settle(self, position: Any, base: int) -> None:
        """Wait until what was said is written; the stream has a little besides, so it is at least as much."""
        wait_until(lambda: position() - base >= self.said.value, "the last row", deadline_s=BEHIND_S, every_s=0.1)


def measure(options: argparse.Namespace) -> bool:
    """Measure each kind that is asked for and print a line; whether nothing was lost or doubled."""
    with RabbitPortal(options.pool) as portal:
        portal.start_bridge("bridge")
        wait_until(lambda: "connected to the broker" in portal.log("bridge"), "the bridge's start")
        good = True
        for kind in options.publishers.split(","):
            result = Run(portal, kind, options).measure()
            print(result.line(kind), flush=True)
            good &= result.said == result.rows == result.distinct
        return good


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what only RabbitMQ's part takes."""
    group = parser.add_argument_group("with RabbitMQ")
    group.add_argument("--seconds", type=float, default=60)
    group.add_argument("--publishers", default="amqp,mqtt", help=f"of {', '.join(KINDS)}; one after the other")
    group.add_argument("--ahead", type=int, default=20_000, help="how many messages may wait for the bridge")
