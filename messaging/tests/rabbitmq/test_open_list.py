"""The list of open connections comes late: what else RabbitMQ tells meanwhile is not held up, and is believed before the list."""

from __future__ import annotations

import threading
from collections.abc import Iterator

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
from messaging.tests.rabbitmq.slow_management import SlowManagement, slow_management


@pytest.fixture
def management(rabbit: RunningRabbit, settings: Settings) -> Iterator[SlowManagement]:
    with slow_management() as server:
        settings.RABBITMQ_URL = server.url
        yield server


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
