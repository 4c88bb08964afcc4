"""Kill each part of the production stack under load and count what became of every command and message.

    .venv/bin/python -m bench.faults.rabbitmq [--commands 250] [--messages 250] [--kills 3] [--every 8] [--only web,bridge]
    .venv/bin/python -m bench.faults.rabbitmq --short

RabbitMQ, nginx, two web processes, two bridges, PostgreSQL with fsync, Valkey. Callers send commands through nginx's TLS port to
simulated devices, and other devices say numbered messages over mutual TLS, each published once and never again. Meanwhile a part
is killed with SIGKILL and started again at once, several times. Then:

* lost, doubled: messages that RabbitMQ acknowledged, and commands that were answered, against the history;
* wrong: a caller got an answer that was not its own; silent: none, and no clear error, within the command's timeout and 2 s;
* errors: commands that ended with an error that says so;
* back: the longest from the end of a restart (of a kill, where another process takes over) until a command is answered, and until
  a message said since is in the history.

Exit status 1 if anything was lost, doubled, wrong or silent, or was back later than 10 s.

`--short` kills a bridge, a web process and each server once, one after the other under the same few hundred commands and
messages, in a minute. It asks for the same counts, but for no speed: it runs among tests on machines that have much else to do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import ssl
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psycopg2

from bench.portal import wait_until
from bench.rabbit import RabbitPortal
from iotportal.embedded import nginx, rabbitmq
from messaging.broker.client import Address
from messaging.gateway.mqtt import MqttTransport
from messaging.gateway.transport import BrokerUnavailable

TIMEOUT_S = 5.0  # of a command, unless the caller says
GIVE_UP_S = 60.0
SHORT = {
    "commands": 20.0, "messages": 40.0, "devices": 4, "kills": 1, "every": 0.0, "together": True,
    "grace": 30.0, "back": GIVE_UP_S, "quiet": 1.5, "only": "bridge,web,rabbitmq,postgres,valkey",
}  # fmt: skip
NEWEST = """
SELECT max(substring(payload FROM '[0-9]+')::bigint) FROM (
  SELECT payload FROM messaging_message WHERE direction = 'from' AND api = 'write_uart' ORDER BY time DESC, id DESC LIMIT 200
) AS last
"""
NUMBERS = """
SELECT substring(payload FROM '[0-9]+')::bigint, count(*) FROM messaging_message
WHERE direction = 'from' AND api = 'write_uart' GROUP BY 1
"""


# --- the faults: each kills one part and starts it again ---------------------------------------------------------------------


def web(portal: RabbitPortal, number: int) -> None:
    """One of the web processes dies; nginx asks the other."""
    name = f"web-{number % 2 + 1}"
    wait_until(portal.all_webs_listen, "the one that was killed before is back")
    portal.kill(name)
    portal.start_one_web(name)


def bridge(portal: RabbitPortal, number: int) -> None:
    """The bridge that writes dies, the other takes over; the dead one comes back as the stand-by."""
    name = portal.writing_bridge()
    if name is None:
        raise RuntimeError("no bridge writes")
    portal.kill(name)
    portal.start_bridge(name)


def rabbit(portal: RabbitPortal, number: int) -> None:
    """RabbitMQ dies with all connections."""
    portal.kill("rabbitmq")
    portal.start_rabbitmq()


def postgres(portal: RabbitPortal, number: int) -> None:
    """PostgreSQL dies with all its sessions."""
    portal.kill("postgres")
    portal.start_postgres()


def valkey(portal: RabbitPortal, number: int) -> None:
    """Valkey dies: lanes, quotas, caches, the records on their way to the bridge."""
    portal.kill("valkey")
    portal.start_valkey()


def auth(portal: RabbitPortal, number: int) -> None:
    """Who RabbitMQ asks dies: who is connected stays, who comes is asked to come again."""
    portal.kill("broker-auth")
    portal.start_process("broker-auth")


Fault = Callable[[RabbitPortal, int], None]
FAULTS: dict[str, Fault] = {
    "web": web, "bridge": bridge, "rabbitmq": rabbit, "postgres": postgres, "valkey": valkey, "broker-auth": auth,
}  # fmt: skip
TAKEN_OVER = (web, bridge, auth)  # whose work another process does meanwhile, or nobody needs at once


# --- who works meanwhile ------------------------------------------------------------------------------------------------------


class DeviceAddress(Address):
    """RabbitMQ for a device, with the files that `RabbitPortal` has made below `pki`'s parent."""

    def context(self) -> ssl.SSLContext:
        """Return the TLS settings of the device that stands in the service's place."""
        context = ssl.create_default_context(cafile=str(self.pki / "root-ca.pem"))
        files = self.pki.parent / "devices"
        context.load_cert_chain(files / f"{self.service}.pem", files / f"{self.service}.key")
        return context


class Speaker(MqttTransport):
    """A device that says numbered messages: each once, with QoS 1, never again over a new connection."""

    def __init__(self, root: Path, device: str, port: int) -> None:
        super().__init__("localhost", port, root / "pki")
        self._client_id = self.device = device
        self._address = DeviceAddress("localhost", port, root / "pki", device)


@dataclass
class Told:
    """What was said and asked in one run."""

    said: int = 0
    taken: set[int] = field(default_factory=set)  # numbers that RabbitMQ acknowledged
    answered: set[str] = field(default_factory=set)  # ids of commands
    moments: list[float] = field(default_factory=list)  # when answered commands were asked
    wrong: int = 0
    silent: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0


async def speak(speakers: list[Speaker], rate: float, first: int, told: Told, stop: asyncio.Event) -> None:
    """Say numbered messages in turn until `stop`."""
    began = time.monotonic()
    while not stop.is_set():
        if (ahead := told.said / rate - (time.monotonic() - began)) > 0:
            await asyncio.sleep(ahead)
        speaker, number = speakers[told.said % len(speakers)], first + told.said
        told.said += 1
        try:
            speaker.publish(f"server/{speaker.device}/write_uart", b'{"value": "%d"}' % number, partial(told.taken.add, number))
        except BrokerUnavailable:
            continue


class Line:
    """One caller's keep-alive connection to nginx, opened anew when it was closed."""

    def __init__(self, portal: RabbitPortal) -> None:
        self._port, self._token = portal.https_port, portal.token
        self._context = ssl.create_default_context(cafile=str(portal.state.pki / "root-ca.pem"))
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def put(self, device: str, pin: int, value: int) -> tuple[int, bytes]:
        """Set a pin; return status and body. Raises OSError, EOFError."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("localhost", self._port, ssl=self._context)
        reader, writer = self._streams
        body = json.dumps({"value": value}).encode()
        head = f"PUT /api/v1/devices/{device}/gpio/{pin} HTTP/1.1\r\nhost: localhost:{self._port}\r\n"
        head += f"authorization: Bearer {self._token}\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        status, length, closes = int((await reader.readline()).split()[1]), 0, False
        while (line := (await reader.readline()).strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
            closes |= line == b"connection: close"
        answer = await reader.readexactly(length)
        if closes:
            self.close()
        return status, answer

    def close(self) -> None:
        """Let go."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def call(line: Line, device: str, rate: float, grace_s: float, told: Told, stop: asyncio.Event) -> None:
    """Set pins of a device until `stop`, and judge what comes."""
    count, due = 0, time.monotonic()
    while not stop.is_set():
        due = max(due + 1 / rate, time.monotonic() - 1)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        count += 1
        began = time.monotonic()
        try:
            status, body = await asyncio.wait_for(line.put(device, count % 32, count % 2), TIMEOUT_S + grace_s)
        except TimeoutError:
            told.silent += 1
            line.close()
        except (OSError, EOFError, IndexError) as error:  # nginx itself is not killed, and a broken connection tells nobody why
            told.errors[type(error).__name__] += 1
            told.silent += 1
            line.close()
        else:
            judge(status, body, {"number": count % 32, "value": count % 2}, began, told)
        told.slowest_s = max(told.slowest_s, time.monotonic() - began)


def judge(status: int, body: bytes, asked: dict[str, int], began: float, told: Told) -> None:
    """Note whether it was the answer to what was asked, or an error that says so."""
    if status == 200:
        answer = json.loads(body)
        told.wrong += answer["answer"] != asked
        told.answered.add(answer["id"])
        told.moments.append(began)
    else:
        told.errors[f"{status} {json.loads(body)['code'] if body.startswith(b'{') else 'nginx'}"] += 1


# --- one run ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Result:
    """What one run came to."""

    told: Told
    messages_lost: list[int]
    messages_doubled: int
    commands_lost: int
    commands_doubled: int
    command_back_s: float
    history_back_s: float

    def is_good(self, back_s: float) -> bool:
        """Say whether all is as it must be, and was back in time."""
        counted = len(self.messages_lost) + self.messages_doubled + self.commands_lost + self.commands_doubled
        return not (counted or self.told.wrong or self.told.silent) and max(self.command_back_s, self.history_back_s) <= back_s


async def run(portal: RabbitPortal, faults: list[Fault], work: Work, options: argparse.Namespace) -> Result:
    """Let all work, kill and start again one after the other, let it settle, count."""
    told, stop = Told(), asyncio.Event()
    first = work.next_number()
    tasks = [asyncio.create_task(speak(work.speakers, options.messages, first, told, stop))]
    rate = options.commands / len(work.devices)
    tasks += [
        asyncio.create_task(call(line, device, rate, options.grace, told, stop))
        for line, device in zip(work.lines, work.devices, strict=True)
    ]
    await asyncio.sleep(2)
    command_back_s = history_back_s = 0.0
    for number, fault in enumerate(faults):
        killed = time.monotonic()
        await asyncio.to_thread(fault, portal, number)
        restored = killed if fault in TAKEN_OVER else time.monotonic()
        command_s, history_s = await asyncio.gather(
            within(partial(has_answered, told, restored)), within(partial(has_written, portal, first + told.said))
        )
        command_back_s, history_back_s = max(command_back_s, command_s), max(history_back_s, history_s)
        await asyncio.sleep(max(1.0, options.every - (time.monotonic() - restored)))
    stop.set()
    await asyncio.gather(*tasks)
    await asyncio.to_thread(settle, portal, told, first, options.quiet)
    return count(portal, told, first, command_back_s, history_back_s)


async def within(condition: Callable[[], Awaitable[bool]]) -> float:
    """Return after how many seconds a condition holds."""
    began = time.monotonic()
    while time.monotonic() - began < GIVE_UP_S and not await condition():
        await asyncio.sleep(0.1)
    return time.monotonic() - began


async def has_answered(told: Told, since: float) -> bool:
    """Say whether a command that was asked since then has been answered."""
    return bool(told.moments) and told.moments[-1] >= since


async def has_written(portal: RabbitPortal, mark: int) -> bool:
    """Say whether a message from that number on is in the history."""

    def ask() -> bool:
        try:
            with portal.database() as connection, connection.cursor() as cursor:
                cursor.execute(NEWEST)
                return int(cursor.fetchone()[0] or 0) >= mark
        except psycopg2.Error:  # it is just being started
            return False

    return await asyncio.to_thread(ask)


def settle(portal: RabbitPortal, told: Told, first: int, enough_s: float) -> None:
    """Wait until nothing has been added to the history for a while, and nothing is to come (for 30 s)."""
    before, since = -1, time.monotonic()
    while (quiet_s := time.monotonic() - since) < enough_s or (quiet_s < 30 and (waiting(portal) or lost(portal, told, first))):
        with portal.database() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT (SELECT count(*) FROM messaging_message) + (SELECT count(*) FROM messaging_command)")
            (rows,) = cursor.fetchone()
        if rows != before:
            before, since = rows, time.monotonic()
        time.sleep(0.2)


def waiting(portal: RabbitPortal) -> int:
    """Return how many commands' records the bridge has not written."""
    (group,) = portal.valkey().xinfo_groups("commands")
    return int(group["pending"]) + int(group["lag"] or 0)


def written(portal: RabbitPortal, told: Told, first: int) -> dict[int, int]:
    """Return the numbers of this run that are in the history, and how often."""
    with portal.database() as connection, connection.cursor() as cursor:
        cursor.execute(NUMBERS)
        return {number: times for number, times in cursor.fetchall() if first <= number < first + told.said}


def lost(portal: RabbitPortal, told: Told, first: int) -> list[int]:
    """Return which of the acknowledged messages are not in the history, the first that was said being 0."""
    return sorted(number - first for number in told.taken - written(portal, told, first).keys())


def count(portal: RabbitPortal, told: Told, first: int, command_back_s: float, history_back_s: float) -> Result:
    """Hold the history against what was acknowledged and answered."""
    with portal.database() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT replace(id::text, '-', ''), count(*) FROM messaging_command GROUP BY 1")
        commands = dict(cursor.fetchall())
    return Result(
        told,
        messages_lost=lost(portal, told, first),
        messages_doubled=sum(times - 1 for times in written(portal, told, first).values()),
        commands_lost=len(told.answered - commands.keys()),
        commands_doubled=sum(times - 1 for times in commands.values()),
        command_back_s=command_back_s,
        history_back_s=history_back_s,
    )


class Work:
    """The devices and callers, over all runs."""

    def __init__(self, portal: RabbitPortal, devices: list[str], spoken: list[str]) -> None:
        self.devices = devices
        self.lines = [Line(portal) for _ in devices]
        self.speakers = [Speaker(portal.state.root, device, portal.mqtt_port) for device in spoken]
        self._number = 0

    def next_number(self) -> int:
        """Return the first number of another run."""
        self._number += 10**9
        return self._number

    async def begin(self) -> None:
        """Connect the devices that speak."""
        for speaker in self.speakers:
            await speaker.start()
            await speaker.wait_connected(30)

    async def all_back(self) -> None:
        """Wait until each device answers: what an earlier fault did to them must not count against the next."""

        async def answers(line: Line, device: str) -> None:
            deadline = time.monotonic() + GIVE_UP_S
            while time.monotonic() < deadline and (await line.put(device, 0, 0))[0] != 200:
                await asyncio.sleep(0.5)

        await asyncio.gather(*map(answers, self.lines, self.devices))
        await asyncio.gather(*(speaker.wait_connected(GIVE_UP_S) for speaker in self.speakers))

    async def end(self) -> None:
        """Let go."""
        for speaker in self.speakers:
            await speaker.stop()
        for line in self.lines:
            line.close()


TITLES = (
    f"{'killed':12} kills | commands: answered errors wrong silent lost doubled slowest s"
    " | messages: acknowledged lost doubled | back s: command history | errors"
)


def row(name: str, one: Result, kills: int) -> str:
    """Return a line of the table."""
    told = one.told
    commands = (
        f"{len(told.answered):18} {sum(told.errors.values()):6} {told.wrong:5} {told.silent:6} {one.commands_lost:4}"
        f" {one.commands_doubled:7} {told.slowest_s:9.1f}"
    )
    messages = f"{len(told.taken):22} {len(one.messages_lost):4} {one.messages_doubled:7}"
    back = f"{one.command_back_s:15.1f} {one.history_back_s:7.1f}"
    return f"{name:12} {kills:5} | {commands} | {messages} | {back} | {dict(told.errors.most_common(4))}"


async def matrix(portal: RabbitPortal, work: Work, options: argparse.Namespace) -> bool:
    """Run every fault and print its line; whether all was good."""
    await work.begin()
    print(TITLES, flush=True)
    good = True
    logging.getLogger("messaging").setLevel(logging.ERROR)  # each of the devices would say that it was cut off
    rows = {name: [FAULTS[name]] * options.kills for name in options.only.split(",")}
    if options.together:
        rows = {"each": [fault for faults in rows.values() for fault in faults]}
    for name, faults in rows.items():
        await work.all_back()
        one = await run(portal, faults, work, options)
        print(row(name, one, len(faults)), flush=True)
        if one.messages_lost:
            print(f"             of {one.told.said} that were said these were lost: {one.messages_lost[:50]}")
        good &= one.is_good(options.back)
    await work.end()
    return good


def main() -> int:
    """Start everything, run the matrix."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=float, default=250, help="a second")
    parser.add_argument("--messages", type=float, default=250, help="a second")
    parser.add_argument("--devices", type=int, default=25)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--every", type=float, default=8, metavar="SECONDS")
    parser.add_argument("--only", default=",".join(FAULTS))
    parser.add_argument("--together", action="store_true", help="strike one after the other under the same load, in one row")
    parser.add_argument("--grace", type=float, default=2, metavar="SECONDS", help="how late an answer may come")
    parser.add_argument("--back", type=float, default=10, metavar="SECONDS", help="how soon all must work again")
    parser.add_argument("--quiet", type=float, default=5, metavar="SECONDS", help="without a new row, before they are counted")
    parser.add_argument("--short", action="store_true", help="all of it in a minute")
    if parser.parse_known_args()[0].short:
        parser.set_defaults(**SHORT)
    options = parser.parse_args()
    if rabbitmq.program() is None or nginx.program() is None:
        print("RabbitMQ and nginx must be installed (Debian: apt install rabbitmq-server nginx-light).", file=sys.stderr)
        return 2
    with RabbitPortal() as portal:
        spoken = portal.register(options.devices)
        for name in ("bridge-1", "bridge-2"):
            portal.start_bridge(name)
        if not options.short:  # nothing that is counted depends on them
            portal.start_process("tasks")
        portal.start_webs(2)
        devices = portal.start_simulators(options.devices)
        wait_until(portal.writing_bridge, "the bridge")
        good = asyncio.run(matrix(portal, Work(portal, devices, spoken), options))
        if not good:
            for name in ("bridge-1", "bridge-2", "web-1"):
                print(f"--- {name}\n{portal.log(name)[-3000:]}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
