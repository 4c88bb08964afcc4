"""Kill what the bridge depends on while messages pour in, and count what is lost or doubled.

    .venv/bin/python -m bench.faults [--messages 20000] [--devices 20] [--rate 2000] [--kills 8] [--only worker,postgres:solo]

Each row of the table is one run: devices say numbered messages with QoS 1 over mutual TLS, gateways leave records of finished
commands, and meanwhile processes are killed with SIGKILL at random moments and started again. Then every message must be in
the history exactly once. `caught` counts deliveries that came again and that the journal knew. A fault may name the worker's pool
that it strikes in place of that of --pool: threads or solo. Exit status 1 if anything was lost or doubled.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.portal import Portal, spawn, talk, wait_until
from iotportal.uuid7 import time_of, uuid7


@dataclass(frozen=True, slots=True)
class Result:
    """What one run came to."""

    messages: int
    lost: int
    doubled: int
    commands: int
    commands_lost: int
    commands_doubled: int
    caught: int
    kills: int
    back_s: float  # the longest from the end of a restart, or from a take-over's kill, to the next row

    @property
    def exact(self) -> bool:
        """Whether every message and command is there once."""
        return not (self.lost or self.doubled or self.commands_lost or self.commands_doubled)


# --- the faults: each kills and restores once -----------------------------------------------------------------------------


def worker(portal: Portal) -> None:
    """The Celery worker with the bridge dies."""
    portal.kill("worker")
    portal.start_worker(wait=False)


def stop_worker(portal: Portal) -> None:
    """The worker is restarted in order, as on an upgrade."""
    portal.stop("worker")
    portal.start_worker(wait=False)


def postgres(portal: Portal) -> None:
    """PostgreSQL dies with all its sessions."""
    portal.kill("postgres")
    portal.start_postgres()


def both(portal: Portal) -> None:
    """Worker and PostgreSQL die at once."""
    portal.kill("worker")
    portal.kill("postgres")
    portal.start_postgres()
    portal.start_worker(wait=False)


def takeover(portal: Portal) -> None:
    """A second worker stands by; the one that writes dies, and is started again as the new stand-by."""
    first = "worker" if "worker" in portal.processes else "standby"
    portal.kill(first)
    portal.start_worker(name=first, wait=False)


FAULTS: dict[str, Callable[[Portal], None]] = {fault.__name__: fault for fault in (worker, stop_worker, postgres, both, takeover)}


# --- one run --------------------------------------------------------------------------------------------------------------


def run(portal: Portal, devices: list[str], fault: Callable[[Portal], None], options: argparse.Namespace, first: int) -> Result:
    """Publish, kill, restore, wait, count."""
    said = spawn.Value("q", 0)
    caught_before = int(portal.valkey().hget("bridge:stats", "duplicates") or 0)
    publisher = spawn.Process(
        target=talk, args=(portal.state.root, portal.mqtt_port, devices, options.messages, options.rate, first, said)
    )
    publisher.start()
    wait_until(lambda: said.value, "the first message")
    commands = Recorder(portal, devices, said)
    commands.start()
    kills, back_s = 0, 0.0
    for mark in moments(options):
        while said.value < mark and publisher.is_alive():
            time.sleep(0.001)
        fault(portal)
        kills += 1
        back_s = max(back_s, next_row(portal))
    publisher.join()
    commands.stop()
    settle(portal, options.messages, first)
    lost, doubled = count(portal, first, options.messages)
    commands_lost, commands_doubled = commands.count()
    caught = int(portal.valkey().hget("bridge:stats", "duplicates") or 0) - caught_before
    return Result(
        options.messages, lost, doubled, len(commands.left), commands_lost, commands_doubled, caught, kills, round(back_s, 1)
    )


def ready(portal: Portal, pool: str, *, standby: bool) -> None:
    """Have one worker with this pool, and another beside it that stands by or none."""
    unwanted = {"standby"} if pool == portal.pool else {"standby", "worker"}
    for name in unwanted & portal.processes.keys():
        portal.stop(name)
    portal.pool = pool
    if "worker" not in portal.processes:
        portal.valkey().delete("bridge:alive")  # the word of the one before
        portal.start_worker()
    if standby:
        portal.start_worker(name="standby", wait=False)
        wait_until(lambda: "standing by" in portal.log("standby"), "the stand-by")


def moments(options: argparse.Namespace) -> Iterator[int]:
    """Yield after how many messages something is killed: somewhere in the middle, never the same distance."""
    chance = random.Random(options.seed)
    step = options.messages * 0.8 / options.kills
    for number in range(options.kills):
        yield int(options.messages * 0.1 + step * (number + chance.random()))


def next_row(portal: Portal) -> float:
    """Return how long it takes until the history grows again."""
    began = time.monotonic()
    with portal.database() as connection, connection.cursor() as cursor:
        newest = "SELECT sequence FROM messaging_journalentry WHERE session = 'portal.bridge' AND packet_id = 0"
        cursor.execute(newest)
        before = cursor.fetchone()

        def grown() -> bool:
            cursor.execute(newest)
            return bool(cursor.fetchone() != before)

        wait_until(grown, "the next row", every_s=0.01)
    return time.monotonic() - began


def settle(portal: Portal, messages: int, first: int) -> None:
    """Wait until all is there, or nothing has been added for a while."""
    last, since = -1, time.monotonic()
    while time.monotonic() - since < 2.0:
        with portal.database() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT sequence FROM messaging_journalentry WHERE session = 'portal.bridge' AND packet_id = 0")
            (position,) = cursor.fetchone()
        backlog = portal.valkey().xpending("commands", "bridge")["pending"]
        if position != last or backlog:
            last, since = position, time.monotonic()
        time.sleep(0.1)


def count(portal: Portal, first: int, messages: int) -> tuple[int, int]:
    """Return how many numbered messages are missing, and how many rows are too many."""
    with portal.database() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT number, count(*) FROM (SELECT substring(payload FROM '[0-9]+')::bigint AS number FROM messaging_message"
            " WHERE api = 'write_uart' AND direction = 'from') AS said WHERE number BETWEEN %s AND %s GROUP BY 1",
            [first, first + messages - 1],
        )
        found = Counter(dict(cursor.fetchall()))
    return messages - len(found), sum(found.values()) - len(found)


class Recorder(threading.Thread):
    """Leaves a command's record for every ten messages, as gateways do."""

    def __init__(self, portal: Portal, devices: list[str], said: Any) -> None:
        super().__init__(daemon=True)
        self.left: list[str] = []
        self._portal, self._devices, self._said = portal, devices, said
        self._ended = threading.Event()

    def run(self) -> None:
        """Keep pace with the devices."""
        link = self._portal.valkey()
        while not self._ended.is_set():
            while len(self.left) < self._said.value // 10:
                key = uuid7()
                link.xadd("commands", {"r": json.dumps(self._record(key))})
                self.left.append(str(key))
            self._ended.wait(0.005)

    def stop(self) -> None:
        """End when every record is left."""
        self._ended.set()
        self.join()

    def count(self) -> tuple[int, int]:
        """Return how many commands are missing and how many are too many."""
        with self._portal.database() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT id::text, count(*) FROM messaging_command WHERE id = ANY(%s::uuid[]) GROUP BY 1", [self.left])
            found = dict(cursor.fetchall())
        return len(self.left) - len(found), sum(found.values()) - len(found)

    def _record(self, key: Any) -> dict[str, Any]:
        return {
            "v": 1, "id": key.hex, "time": time_of(key).timestamp(), "account": "0" * 32, "device": self._devices[0],
            "user": None, "source": "api", "api": "get_rtc", "payload": "{}", "outcome": "answered",
            "answer": '{"value": 1574000000}',
            "attempts": 1, "timeout_s": 5.0, "sent_ms": 0.3, "broker_ms": 0.9, "answered_ms": 1.4, "delivered_ms": 1.5,
        }  # fmt: skip


@contextmanager
def told_why(portal: Portal) -> Iterator[None]:
    """Print what the processes said when a run cannot be finished."""
    try:
        yield
    except TimeoutError:
        for name in ("worker", "broker"):
            print(f"--- {name}\n{portal.log(name)[-4000:]}")
        raise


def main() -> int:
    """Run the matrix and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--devices", type=int, default=20)
    parser.add_argument("--rate", type=float, default=2_000)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--only", default=",".join(FAULTS))
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--pool", default="threads", choices=["threads", "solo"])
    options = parser.parse_args()
    results: dict[str, Result] = {}
    with Portal(options.pool) as portal, told_why(portal):
        logging.disable(logging.WARNING)
        devices = portal.register(options.devices)
        print(f"{'killed':16}  kills  messages  lost  doubled  caught  commands  lost  doubled  back in s", flush=True)
        for number, name in enumerate(options.only.split(",")):
            fault, pool = FAULTS[name.partition(":")[0]], name.partition(":")[2] or options.pool
            ready(portal, pool, standby=fault is takeover)
            one = results[name] = run(portal, devices, fault, options, first=10**9 * (number + 1))
            print(
                f"{name:16}  {one.kills:5}  {one.messages:8}  {one.lost:4}  {one.doubled:7}  {one.caught:6}"
                f"  {one.commands:8}  {one.commands_lost:4}  {one.commands_doubled:7}  {one.back_s:9}",
                flush=True,
            )
        if not all(one.exact for one in results.values()):
            print(portal.log("worker")[-4000:])
    return 0 if all(one.exact for one in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
