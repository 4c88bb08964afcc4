"""Round trips, requests/s and ingest rate of the bare embedded broker, with throw-away certificates.

    .venv/bin/python -m bench.broker_roundtrip [--seconds 5] [--messages 20000]

The broker runs in its own process; gateway, devices and bridge are paho clients over mutual TLS, QoS 1, TCP_NODELAY, in
one process of their own each. Printed: round trip gateway → device → gateway with the bridge subscribed to everything,
with 1, 10 and 50 devices' commands in flight, and messages/s from devices into the bridge.
"""

import argparse
import asyncio
import multiprocessing
import multiprocessing.connection
import multiprocessing.synchronize
import secrets
import socket
import ssl
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import psutil
import uvloop
from paho.mqtt.enums import CallbackAPIVersion

from messaging.authorization import Identity, Refusal, identify
from messaging.broker.server import Broker
from messaging.broker.tls import server_context
from messaging.tests.broker.pki import Authority

spawn = multiprocessing.get_context("spawn")
PAYLOAD = b'{"number": 10, "value": 1}'


async def _admit(common_name: str, _fingerprint: str, client_id: str) -> Identity | Refusal:
    return identify(common_name, client_id)


def serve(folder: Path, pipe: multiprocessing.connection.Connection) -> None:
    """Send the port of a broker through `pipe`, and run it until terminated."""

    async def main() -> None:
        tls = server_context(folder / "server.pem", folder / "server.key", [folder / "issuing-ca.pem", folder / "root-ca.pem"])
        broker = Broker(tls=tls, admit=_admit, standing={"portal.bridge": ("#", "$SYS/portal/#")})
        await broker.start()
        pipe.send(broker.port)
        await asyncio.Event().wait()

    uvloop.run(main())


def client(folder: Path, name: str, port: int, client_id: str | None = None, *, clean: bool = True) -> mqtt.Client:
    """Connect a paho client with the certificate of `name`; its loop is not started."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(folder / "root-ca.pem")
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    made = mqtt.Client(CallbackAPIVersion.VERSION2, client_id or name, clean)
    made.tls_set_context(context)
    made.max_inflight_messages_set(1000)
    made.connect("localhost", port)
    sock: Any = made.socket()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def _subscribe(subscriber: mqtt.Client, topic_filter: str) -> None:
    done = threading.Event()
    subscriber.on_subscribe = lambda *_: done.set()
    if not subscriber.is_connected():
        connected = threading.Event()
        subscriber.on_connect = lambda *_: connected.set()
        subscriber.loop_start()
        connected.wait(10)
    subscriber.subscribe(topic_filter, 1)
    if not done.wait(10):
        raise RuntimeError("no SUBACK")


def devices(folder: Path, names: list[str], port: int, ready: Any, stop: Any) -> None:
    """Answer every command of `names` with its own payload, in one process with one selector-driven loop."""

    def answer(device: mqtt.Client, name: str, message: mqtt.MQTTMessage) -> None:
        device.publish(f"server/{name}/{message.topic.partition('/')[2]}", message.payload, 1)

    clients = []
    for name in names:
        device = client(folder, name, port)
        device.user_data_set(name)
        device.on_message = answer
        _subscribe(device, f"{name}/#")
        clients.append(device)
    ready.set()
    stop.wait()


def bridge(folder: Path, port: int, ready: Any, stop: Any, counted: Any, last: Any) -> None:
    """Count everything, acknowledging at once."""
    listener = client(folder, "portal.bridge", port, clean=False)

    def count(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        if message.topic.startswith("server/"):
            counted.value += 1
            last.value = time.monotonic()

    listener.on_message = count
    _subscribe(listener, "#")
    ready.set()
    stop.wait()


def round_trips(gateway: mqtt.Client, names: list[str], in_flight: int, seconds: float) -> tuple[float, float, float, int]:
    """Keep `in_flight` commands outstanding, one a device; return (median ms, p99 ms, requests/s, wrong answers)."""
    took: list[float] = []
    sent: dict[str, tuple[bytes, float]] = {}
    wrong = 0
    finished = threading.Event()
    until = time.perf_counter() + seconds

    def ask(name: str) -> None:
        payload = b'{"number": 10, "value": "%s"}' % secrets.token_hex(4).encode()
        sent[name] = (payload, time.perf_counter())
        gateway.publish(f"{name}/set_gpio", payload, 1)

    def on_message(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        nonlocal wrong
        now = time.perf_counter()
        name = message.topic.split("/")[1]
        payload, began = sent.pop(name)
        wrong += payload != message.payload
        took.append((now - began) * 1000)
        if now < until:
            ask(name)
        elif not sent:
            finished.set()

    gateway.on_message = on_message
    began = time.perf_counter()
    for name in names[:in_flight]:
        ask(name)
    if not finished.wait(seconds + 30):
        raise RuntimeError(f"{len(sent)} answers never came")
    spent = time.perf_counter() - began
    took.sort()
    return statistics.median(took), took[int(len(took) * 0.99)], len(took) / spent, wrong


def publishers(folder: Path, names: list[str], port: int, count: int, ready: Any, go: Any) -> None:
    """Publish `count` QoS 1 messages from each of `names` as fast as the broker takes them."""
    clients = {name: client(folder, name, port) for name in names}
    for name, device in clients.items():
        _subscribe(device, f"{name}/#")
    ready.set()
    go.wait()
    threads = [threading.Thread(target=_publish, args=(device, name, count)) for name, device in clients.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _publish(device: mqtt.Client, name: str, count: int) -> None:
    sent = [device.publish(f"server/{name}/trigger_notification", PAYLOAD, 1) for _ in range(count)]
    sent[-1].wait_for_publish(120)
    device.disconnect()


def ingest(folder: Path, names: list[str], port: int, each: int, counted: Any, last: Any) -> tuple[float, int]:
    """Return (messages/s seen by the bridge, messages missing or double) for `each` messages of every device."""
    ready, go = spawn.Event(), spawn.Event()
    process = _start(publishers, folder, names, port, each, ready, go)
    ready.wait(60)
    before = counted.value
    began = time.monotonic()
    go.set()
    process.join()
    total = each * len(names)
    deadline = time.monotonic() + 30
    while counted.value - before < total and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)  # for doubles
    return total / (last.value - began), counted.value - before - total


def _cpu(broker: psutil.Process) -> float:
    """Return the CPU seconds the broker has used: on a busy machine a better figure than the clock's."""
    times = broker.cpu_times()
    return float(times.user + times.system)


def _start(target: Callable[..., None], *args: Any) -> Any:
    process = spawn.Process(target=target, args=args, daemon=True)
    process.start()
    return process


def main() -> None:
    """Run everything and print a table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    options.add_argument("--messages", type=int, default=20_000, help="messages of the ingest measurements")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        authority = Authority(folder)
        names = [secrets.token_hex(16) for _ in range(50)]
        authority.issue("server", server=True)
        chatty = [secrets.token_hex(16) for _ in range(10)]
        for name in [*names, *chatty, "portal.gateway", "portal.bridge"]:
            authority.issue(name)
        ours, theirs = spawn.Pipe()
        broker = _start(serve, folder, theirs)
        measure(folder, names, chatty, ours.recv(), psutil.Process(broker.pid), chosen)
        broker.terminate()
        broker.join()


def measure(
    folder: Path, names: list[str], chatty: list[str], port: int, broker: psutil.Process, chosen: argparse.Namespace
) -> None:
    """Measure the broker at `port` with `names` answering commands and `chatty` only speaking; print what was seen."""
    stop, counted, last = spawn.Event(), spawn.Value("q", 0), spawn.Value("d", 0.0)
    ready = [spawn.Event(), spawn.Event()]
    processes = [
        _start(devices, folder, names, port, ready[0], stop),
        _start(bridge, folder, port, ready[1], stop, counted, last),
    ]
    for event in ready:
        event.wait(60)
    gateway = client(folder, "portal.gateway", port, f"portal.gateway.{secrets.token_hex(4)}")
    for name in names:
        _subscribe(gateway, f"server/{name}/#")
    out = sys.stdout
    for in_flight in (1, 10, 50):
        spent = _cpu(broker)
        median, p99, rate, wrong = round_trips(gateway, names, in_flight, chosen.seconds)
        cpu = (_cpu(broker) - spent) / (rate * chosen.seconds) * 1e6
        line = f"round trip, {in_flight:2} in flight: {median:6.2f} ms median {p99:7.2f} ms p99 {rate:7.0f}/s"
        out.write(f"{line}, {wrong} wrong, {cpu:.0f} µs of the broker's CPU each\n")
        out.flush()
    gateway.disconnect()
    for count in (1, 10):
        spent = _cpu(broker)
        rate, off = ingest(folder, chatty[:count], port, chosen.messages // count, counted, last)
        cpu = (_cpu(broker) - spent) / chosen.messages * 1e6
        line = f"ingest, {count:2} devices → bridge: {rate:7.0f} messages/s, {off:+d} lost or double of {chosen.messages}"
        out.write(f"{line}, {cpu:.0f} µs of the broker's CPU each\n")
        out.flush()
    stop.set()
    for process in processes:
        process.join(10)


if __name__ == "__main__":
    main()
