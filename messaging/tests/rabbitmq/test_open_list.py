"""The list of open connections comes late: what else RabbitMQ tells meanwhile is not held up, and is believed before the list."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pytest_django import Settings

from accounts.models import Account
from devices.models import Device
from devices.tests.factories import make_device
from messaging.models import BrokerConnection, Message, Presence
from messaging.tests.broker.wire import DEADLINE, Wire, wait_until
from messaging.tests.identity import client_context, files_of
from messaging.tests.rabbitmq.broker import RunningRabbit
from messaging.tests.rabbitmq.conftest import StartBridge

LONG_AGO_S = 3600


class SlowManagement(ThreadingHTTPServer):
    """A management interface that tells who is connected when a test lets it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked, self.may_answer = threading.Event(), threading.Event()
        self.connections: list[dict[str, Any]] = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def list(self, name: str, device: Device) -> None:
        """Have a connection among those that are open since long."""
        at = int((time.time() - LONG_AGO_S) * 1000)
        self.connections.append({"name": name, "user": device.hex, "connected_at": at, "protocol": "MQTT 3.1.1"})


class _Answer(BaseHTTPRequestHandler):
    server: SlowManagement

    def do_GET(self) -> None:
        """Answer once that is allowed."""
        self.server.asked.set()
        assert self.server.may_answer.wait(DEADLINE)
        body = json.dumps(self.server.connections).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def management(rabbit: RunningRabbit, settings: Settings) -> Iterator[SlowManagement]:
    with SlowManagement() as server:
        settings.RABBITMQ_URL = f"http://127.0.0.1:{server.server_address[1]}"
        yield server
        server.may_answer.set()
        server.shutdown()


def board(rabbit: RunningRabbit, device: Device) -> Wire:
    """Return a device that is connected."""
    wire = Wire.open(rabbit.ports.mqtts, client_context(rabbit.pki, files_of(device)))
    rabbit.wires.append(wire)
    assert wire.connect(device.hex) == 0
    return wire


def test_history_and_presence_go_on_while_the_list_is_awaited_and_who_left_meanwhile_does_not_come_back_by_it(
    rabbit: RunningRabbit, management: SlowManagement, start_bridge: StartBridge, account: Account
) -> None:
    pump, ghost = make_device(account), make_device(account, name="Ghost")
    start_bridge()
    assert management.asked.wait(DEADLINE)
    wire = board(rabbit, pump)
    wire.publish(f"server/{pump.hex}/write_uart", b'{"value": "on"}')
    wait_until(Message.objects.filter(device_id=pump.pk).exists, "its message in the history")
    wait_until(BrokerConnection.objects.filter(device_id=pump.pk).exists, "its connection in the table")
    management.list(BrokerConnection.objects.get(device_id=pump.pk).name, pump)
    management.list("10.0.0.9:50000 -> 10.0.0.1:8883", ghost)
    wire.die()
    wait_until(Presence.objects.filter(device=pump, connected=False).exists, "its absence")
    management.may_answer.set()
    wait_until(Presence.objects.filter(device=ghost, connected=True).exists, "what the list alone knows")
    assert not Presence.objects.get(device=pump).connected
    assert not BrokerConnection.objects.filter(device_id=pump.pk).exists()


def test_an_answer_that_comes_after_its_link_has_ended_is_nobodys(
    rabbit: RunningRabbit, management: SlowManagement, start_bridge: StartBridge, account: Account
) -> None:
    ghost, pump = make_device(account, name="Ghost"), make_device(account)
    first = start_bridge()
    assert management.asked.wait(DEADLINE)
    asking = next(one for one in threading.enumerate() if one.name == "open connections")
    assert first.stop()
    management.list("10.0.0.9:50000 -> 10.0.0.1:8883", ghost)
    management.may_answer.set()
    asking.join(DEADLINE)
    assert not asking.is_alive()
    management.connections.clear()
    management.list("10.0.0.8:50000 -> 10.0.0.1:8883", pump)
    start_bridge()
    wait_until(Presence.objects.filter(device=pump, connected=True).exists, "what the next answer says")
    assert not BrokerConnection.objects.filter(device_id=ghost.pk).exists()
