"""Orders from Valkey and counts for it, with a real server that is stopped and started."""

import asyncio
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from iotportal.embedded.valkey import program
from messaging.authorization import Identity, Refusal, identify
from messaging.broker.valkey import DISCONNECT_CHANNEL, REFUSED_HASH, ValkeyLink
from messaging.tests.broker.conftest import DEVICE, OTHER, StartBroker
from messaging.tests.broker.wire import RunningBroker, wait_until


class _Server:
    """A Valkey of this test's own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client: Redis = Redis.from_url(self.url, decode_responses=True)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        self._process = subprocess.Popen([program(), *options], stdout=subprocess.DEVNULL)
        wait_until(self._answers, "Valkey")

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except RedisError:
            return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def listeners(self) -> int:
        """Return how many listen for orders."""
        return dict(self.client.pubsub_numsub(DISCONNECT_CHANNEL)).get(DISCONNECT_CHANNEL, 0)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[_Server]:
    server = _Server(tmp_path)
    yield server
    server.stop()
    server.client.close()


@pytest.fixture
def revoked() -> set[str]:
    return set()


@pytest.fixture
def linked(start: StartBroker, valkey: _Server, revoked: set[str]) -> Iterator[RunningBroker]:
    async def admit(common_name: str, _fingerprint: str, client_id: str) -> Identity | Refusal:
        return Refusal("revoked") if common_name in revoked else identify(common_name, client_id)

    running = start(admit=admit)
    link = ValkeyLink(running.broker, valkey.url, retry_seconds=0.02, count_seconds=0.02)
    task = running.call(lambda: running.loop.create_task(link.run()))
    yield running
    assert not task.done()
    running.call(task.cancel)
    running.run(asyncio.wait([task]))


def test_an_order_cuts_the_device_at_once(linked: RunningBroker, valkey: _Server) -> None:
    valkey.start()
    wait_until(lambda: valkey.listeners() == 1)
    device, other = linked.client(DEVICE), linked.client(OTHER)
    valkey.client.publish(DISCONNECT_CHANNEL, DEVICE)
    assert device.is_closed()
    other.ping()
    valkey.client.publish(DISCONNECT_CHANNEL, b"\xff not a device \0")
    other.ping()


@pytest.mark.parametrize(
    ("order", "reason"), [("", "kicked"), (" revoked", "revoked"), (" operator", "operator"), (" nonsense", "kicked")]
)
def test_an_order_says_why(linked: RunningBroker, valkey: _Server, order: str, reason: str) -> None:
    valkey.start()
    wait_until(lambda: valkey.listeners() == 1)
    bridge, device = linked.client("portal.bridge"), linked.client(DEVICE)
    bridge.subscribe("$SYS/portal/#")
    assert json.loads(bridge.receive().payload)["event"] == "connected"
    valkey.client.publish(DISCONNECT_CHANNEL, DEVICE + order)
    assert device.is_closed()
    assert json.loads(bridge.receive().payload)["reason"] == reason


def test_an_order_may_be_about_one_certificate_alone(linked: RunningBroker, valkey: _Server) -> None:
    valkey.start()
    wait_until(lambda: valkey.listeners() == 1)
    device, other = linked.client(DEVICE), linked.client(OTHER)
    peers = {connection.client_id: connection.peer for connection in linked.broker._sockets}
    own, others = (peers[name].fingerprint for name in (DEVICE, OTHER))  # type: ignore[union-attr]  # both are connected
    valkey.client.publish(DISCONNECT_CHANNEL, f"{DEVICE} revoked {others}")
    valkey.client.publish(DISCONNECT_CHANNEL, f"{OTHER} revoked {others}")  # orders are obeyed in turn
    assert other.is_closed()
    device.ping()
    valkey.client.publish(DISCONNECT_CHANNEL, f"{DEVICE} revoked {own}")
    assert device.is_closed()


def test_the_broker_works_without_valkey_and_checks_everybody_when_it_is_back(
    linked: RunningBroker, valkey: _Server, revoked: set[str]
) -> None:
    device, other = linked.client(DEVICE), linked.client(OTHER)
    revoked.add(DEVICE)
    device.ping()
    valkey.start()
    assert device.is_closed()
    other.ping()
    valkey.stop()
    revoked.add(OTHER)
    other.ping()
    valkey.start()
    assert other.is_closed()
    wait_until(lambda: valkey.listeners() == 1)


def test_refusals_are_counted_and_survive_an_outage(linked: RunningBroker, valkey: _Server) -> None:
    device = linked.client(DEVICE)
    device.subscribe("#", "+/x")
    device.publish(f"server/{OTHER}/x")
    assert linked.tls(OTHER).connect(DEVICE) == 2
    valkey.start()
    wait_until(lambda: valkey.client.hgetall(REFUSED_HASH) == {DEVICE: "3", OTHER: "1"})
    device.subscribe("#")
    wait_until(lambda: valkey.client.hget(REFUSED_HASH, DEVICE) == "4")
