"""What a command costs: through the HTTP API and over the WebSocket, beside the bare broker's own round trip in the same run.

    .venv/bin/python -m bench.commands [--seconds 4] [--rounds 3] [--devices 50] [--no-bridge]

Everything runs on this machine: PostgreSQL, Valkey, the embedded broker, one web process, the worker with the bridge (so the
history is written meanwhile), one process of simulated devices, and this one, which asks. The ways take turns, `rounds` times, so
that a machine whose speed drifts does so for all. Every answer is checked against its question: another's counts as wrong.
The bare broker is what anybody has who speaks MQTT to it: TLS with a certificate. The portal's gateway comes in by its socket
(docs/adr/0010); the broker alone is shown by that as well.

Then: two web processes and 100 callers asking one device for different pins; and a device that is deaf while it works.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import uvloop
import websockets
from websockets.typing import Origin

from bench.fleet import FleetPortal

CALLERS = (1, 10, 50)


@dataclass
class Tally:
    """What came of one way of asking."""

    times_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0
    errors: int = 0
    wrong: int = 0
    first_error: str = ""

    def fail(self, what: object) -> None:
        self.errors += 1
        self.first_error = self.first_error or str(what)[:160]

    def add(self, elapsed_ms: float, *, right: bool) -> None:
        self.times_ms.append(elapsed_ms)
        self.wrong += not right

    @property
    def median(self) -> float:
        return statistics.median(self.times_ms) if self.times_ms else float("nan")

    @property
    def p99(self) -> float:
        return sorted(self.times_ms)[int(len(self.times_ms) * 0.99)] if self.times_ms else float("nan")

    @property
    def rate(self) -> float:
        return len(self.times_ms) / self.seconds if self.seconds else 0.0


_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
Ask = Callable[[str, int, int], Awaitable[bool]]  # device, pin, value -> was it our answer


class Http(asyncio.Protocol):
    """One keep-alive connection that speaks just enough HTTP/1.1, one request after the other.

    As lean as `Bare`: what the asking side needs to read an answer would count as the portal's time.
    """

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._fields = f"host: localhost\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
        self._buffer = b""
        self._answer: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    async def open(self) -> Self:
        """Connect, anew if it was connected before."""
        if self._transport is not None:
            self._transport.abort()
        self._transport, _ = await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._port)
        return self

    def data_received(self, data: bytes) -> None:
        self._buffer = data = self._buffer + data
        body = data.find(b"\r\n\r\n") + 4
        length = _LENGTH.search(data, 0, body) if body >= 4 else None
        if length is not None and len(data) >= body + int(length[1]):
            self._buffer = b""
            self._end(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._buffer = b""
        self._end(ConnectionResetError("the connection was closed"))

    def _end(self, answer: bytes | Exception) -> None:
        if self._answer is None or self._answer.done():
            return
        if isinstance(answer, bytes):
            self._answer.set_result(answer)
        else:
            self._answer.set_exception(answer)

    async def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the connection was closed")
        data = json.dumps(body).encode() if body is not None else b""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(f"{method} {path} HTTP/1.1\r\n{self._fields}content-length: {len(data)}\r\n\r\n".encode() + data)
        answer = await self._answer
        return int(answer[9:12]), json.loads(answer[answer.index(b"\r\n\r\n") :])

    async def ask(self, device: str, pin: int, value: int) -> bool:
        status, body = await self.request("PUT", f"/api/v1/devices/{device}/gpio/{pin}", {"value": value})
        if status != 200:
            raise RuntimeError(body)
        return bool(body["device"] == device and body["answer"] == {"number": pin, "value": value})


class Socket:
    """The page's WebSocket; many commands may be on their way."""

    def __init__(self, port: int, cookie: str) -> None:
        self._port, self._cookie = port, cookie
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._count = 0

    async def open(self) -> Socket:
        headers = {"Cookie": self._cookie}
        self._socket = await websockets.connect(
            f"ws://127.0.0.1:{self._port}/ws/live",
            additional_headers=headers,
            origin=Origin(f"http://127.0.0.1:{self._port}"),
            compression=None,
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def _read(self) -> None:
        async for text in self._socket:
            frame = json.loads(text)
            if frame["kind"] == "result":
                self._waiting.pop(frame["ref"]).set_result(frame)

    async def ask(self, device: str, pin: int, value: int) -> bool:
        self._count += 1
        ref = f"c{self._count}"
        future = self._waiting[ref] = asyncio.get_running_loop().create_future()
        frame = {"do": "command", "ref": ref, "device": device, "api": "set_gpio", "arguments": {"number": pin, "value": value}}
        await self._socket.send(json.dumps(frame))
        answer = await future
        if not answer["ok"]:
            raise RuntimeError(answer["problem"])
        command = answer["command"]
        return bool(command["device"] == device and command["answer"] == {"number": pin, "value": value})


class Bare:
    """The broker alone: publish, wait for what the device says. No check of any kind. With `sockets` by the gateway's socket."""

    def __init__(self, sockets: Path | None = None) -> None:
        self._sockets = sockets

    async def open(self) -> Bare:
        from django.conf import settings

        from messaging.gateway.mqtt import MqttTransport

        self._transport = MqttTransport(settings.MQTT_HOST, settings.MQTT_PORT, settings.PKI_DIR, self._sockets)
        self._transport.on_answer = self._on_answer
        self._waiting: dict[str, asyncio.Future[bytes]] = {}
        await self._transport.start()
        await self._transport.wait_connected(10)
        return self

    def _on_answer(self, topic: str, payload: bytes) -> None:
        future = self._waiting.pop(topic, None)
        if future is not None:
            future.set_result(payload)

    async def bind(self, devices: list[str]) -> None:
        for device in devices:
            await self._transport.bind(device)

    async def ask(self, device: str, pin: int, value: int) -> bool:
        payload = json.dumps({"number": pin, "value": value}).encode()
        future = self._waiting[f"server/{device}/set_gpio"] = asyncio.get_running_loop().create_future()
        self._transport.publish(f"{device}/set_gpio", payload, lambda: None)
        return bool(await future == payload)

    async def close(self) -> None:
        await self._transport.stop()


async def load(tally: Tally, asks: list[Ask], devices: list[str], seconds: float, offset: int) -> None:
    """Have each caller ask its own device, over and over, for `seconds`."""
    end = time.perf_counter() + seconds
    start = time.perf_counter()

    async def caller(number: int, ask: Ask) -> None:
        device, count = devices[number % len(devices)], 0
        while time.perf_counter() < end:
            count += 1
            before = time.perf_counter()
            try:
                right = await asyncio.wait_for(ask(device, (offset + count) % 32, count % 2), 10)
            except (RuntimeError, TimeoutError, OSError) as error:
                tally.fail(repr(error))
                await asyncio.sleep(0.05)
            else:
                tally.add((time.perf_counter() - before) * 1000, right=right)

    await asyncio.gather(*(caller(number, ask) for number, ask in enumerate(asks)))
    tally.seconds += time.perf_counter() - start


async def measure(
    arguments: argparse.Namespace, token: str, cookie: str, port: int, devices: list[str], bare_devices: list[list[str]]
) -> None:
    """Let the ways take turns and print the table.

    The bare ways have devices of their own: what those of the portal say, its web process hears too.
    """
    from django.conf import settings

    tallies: dict[tuple[str, int], Tally] = defaultdict(Tally)
    bare, by_socket = [await Bare(sockets).open() for sockets in (None, settings.BROKER_SOCKETS)]
    for one, its_devices in zip((bare, by_socket), bare_devices, strict=True):
        await one.bind(its_devices)
    https = [await Http(port, token).open() for _ in range(max(CALLERS))]
    sockets = [await Socket(port, cookie).open() for _ in range(5)]
    for http in https[:1]:
        for device in devices:
            await http.ask(device, 1, 1)  # so that nobody pays for a first time
    for round_number in range(arguments.rounds):
        for callers in CALLERS:
            ways: dict[str, tuple[list[Ask], list[str]]] = {
                "bare broker": ([bare.ask] * callers, bare_devices[0]),
                "bare, socket": ([by_socket.ask] * callers, bare_devices[1]),
                "HTTP API": ([http.ask for http in https[:callers]], devices),
                "WebSocket": ([sockets[number % len(sockets)].ask for number in range(callers)], devices),
            }
            for way, (asks, asked) in ways.items():
                await load(tallies[way, callers], asks, asked, arguments.seconds, round_number)
    await bare.close()
    await by_socket.close()
    print_table(tallies)


def print_table(tallies: dict[tuple[str, int], Tally]) -> None:
    """Print medians, p99 and rates, and the ratio to the bare broker."""
    titles = ("median ms", "p99 ms", "per s", "errors", "wrong", "median/bare", "p99/bare median")
    print(f"\n{'way':12} {'callers':>7}" + "".join(f" {title:>{len(title) + 2}}" for title in titles))
    for (way, callers), tally in sorted(tallies.items(), key=lambda item: item[0][1]):
        bare = tallies["bare broker", callers]
        print(
            f"{way:12} {callers:7} {tally.median:11.2f} {tally.p99:8.2f} {tally.rate:7.0f} {tally.errors:8} {tally.wrong:7}"
            f" {tally.median / bare.median:13.2f} {tally.p99 / bare.median:17.2f}"
        )
        if tally.first_error:
            print(f"             first error: {tally.first_error}")


async def one_device_two_processes(ports: list[int], token: str, device: str, seconds: float) -> None:
    """100 callers over two web processes ask one device for different pins."""
    clients = [await Http(ports[number % 2], token).open() for number in range(100)]
    tally = Tally()
    end = time.perf_counter() + seconds
    start = time.perf_counter()

    async def caller(pin: int, http: Http) -> None:
        while time.perf_counter() < end:
            before = time.perf_counter()
            status, body = await http.request("GET", f"/api/v1/devices/{device}/gpio/{pin % 32}?timeout=30")
            if status == 200:
                tally.add((time.perf_counter() - before) * 1000, right=body["answer"]["number"] == pin % 32)
            else:
                tally.fail(body)

    await asyncio.gather(*(caller(pin, http) for pin, http in enumerate(clients)))
    tally.seconds = time.perf_counter() - start
    print(
        f"\n2 web processes, 100 callers on ONE device, different pins: {len(tally.times_ms)} answers, {tally.rate:.0f} per s,"
        f" median {tally.median:.1f} ms, p99 {tally.p99:.1f} ms, errors {tally.errors}, wrong {tally.wrong} {tally.first_error}"
    )


async def deaf(port: int, token: str, device: str, count: int) -> None:
    """Ask a device that is deaf while it works, as fast as it lets."""
    http = await Http(port, token).open()
    tally = Tally()
    start = time.perf_counter()
    for number in range(count):
        before = time.perf_counter()
        try:
            right = await http.ask(device, number % 16, number % 2)
        except RuntimeError as error:
            tally.fail(error)
        else:
            tally.add((time.perf_counter() - before) * 1000, right=right)
    tally.seconds = time.perf_counter() - start
    print(
        f"\nA device that is deaf while it works: {len(tally.times_ms)} of {count} commands in a row answered,"
        f" lost {tally.errors}, wrong {tally.wrong}, {tally.seconds / count * 1000:.0f} ms each {tally.first_error}"
    )


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4, help="per way and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--devices", type=int, default=50)
    parser.add_argument("--deaf", type=int, default=200, help="commands to the deaf device")
    parser.add_argument("--no-bridge", action="store_true", help="write no history meanwhile")
    arguments = parser.parse_args()
    with FleetPortal() as portal:
        started = portal.start_simulators(3 * arguments.devices)
        devices, *bare_devices = (started[at : at + arguments.devices] for at in range(0, len(started), arguments.devices))
        (deaf_device,) = portal.start_simulators(1, "ft900")
        if not arguments.no_bridge:
            portal.start_worker()
        port = portal.start_web()
        uvloop.run(measure(arguments, portal.token, portal.cookie(), port, devices, bare_devices))
        second = portal.start_web("web2")
        uvloop.run(one_device_two_processes([port, second], portal.token, devices[0], arguments.seconds))
        uvloop.run(deaf(port, portal.token, deaf_device, arguments.deaf))
        if said := portal.log("web").strip():
            print(f"\n--- the web process said:\n{said[-1500:]}", file=sys.stderr)


if __name__ == "__main__":
    main()
