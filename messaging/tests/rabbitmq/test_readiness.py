"""Nobody gets in and no command leaves while RabbitMQ would lose what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator

import pika
import pytest
from asgiref.sync import sync_to_async
from pytest_django import Settings

from accounts.models import Account
from devices.tests.factories import make_device
from messaging.gateway.transport import BrokerUnavailable
from messaging.rabbitmq import names, readiness
from messaging.rabbitmq.readiness import NotReady, Readiness, look
from messaging.tests.broker.wire import Wire
from messaging.tests.gateway.world import DEADLINE_S
from messaging.tests.identity import client_context, files_of
from messaging.tests.rabbitmq.broker import RabbitWorld, RunningRabbit, declare_bridge_queues, service_parameters
from messaging.tests.rabbitmq.conftest import StartBridge

ACCEPTED = 0


class Connection:
    """One that RabbitMQ has made to us."""

    is_open = True


class Queues:
    """What the management interface says, one answer after the other; the last one again and again."""

    def __init__(self, *ready: bool) -> None:
        self.ready, self.looked = list(ready), 0
        self.on_look: Callable[[], None] = lambda: None

    def look(self) -> None:
        self.looked += 1
        self.on_look()
        if not (self.ready.pop(0) if len(self.ready) > 1 else self.ready[0]):
            raise NotReady("no queue")


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "AGAIN_S", 0.001)


async def test_it_waits_until_the_queues_are_there_and_looks_no_more() -> None:
    queues = Queues(False, False, True)
    ready = Readiness(queues.look)
    first, second = Connection(), Connection()
    await asyncio.gather(ready.wait(first), ready.wait(second), ready.wait(first))
    assert queues.looked == 3
    first.is_open = False
    await ready.wait(Connection())  # the second one is open still: it is the same RabbitMQ
    assert queues.looked == 3


async def test_a_rabbitmq_that_was_started_again_is_looked_at_again() -> None:
    queues = Queues(True, False, False, True)
    ready, before = Readiness(queues.look), Connection()
    await ready.wait(before)
    before.is_open = False
    await ready.wait(Connection())
    assert queues.looked == 4


async def test_what_was_seen_for_a_connection_that_ended_meanwhile_counts_for_no_other() -> None:
    queues, peer = Queues(True), Connection()
    queues.on_look = lambda: setattr(peer, "is_open", False)
    ready = Readiness(queues.look)
    await ready.wait(peer)
    await ready.wait(Connection())
    assert queues.looked == 2


async def test_who_is_never_ready_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "PATIENCE_S", 0.05)
    with pytest.raises(NotReady):
        await Readiness(Queues(False).look).wait(Connection())


async def test_who_is_not_answered_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "PATIENCE_S", 0.02)
    answered = threading.Event()
    with pytest.raises(NotReady, match="does not answer"):
        await Readiness(lambda: answered.wait(10)).wait(Connection())
    answered.set()


@pytest.fixture
def before_any_bridge(rabbit: RunningRabbit, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """RabbitMQ as at its very first start, for who asks it from now on."""
    monkeypatch.setattr(readiness, "PATIENCE_S", 0.2)
    monkeypatch.setattr(rabbit.auth.server, "_readiness", Readiness())
    with contextlib.closing(pika.BlockingConnection(service_parameters(rabbit, "bridge"))) as link:
        for queue in names.BRIDGE_QUEUES:
            link.channel().queue_delete(queue)
    yield
    declare_bridge_queues(rabbit)


def test_the_management_interface_knows_whether_the_queues_are_there(rabbit: RunningRabbit) -> None:
    look()


def test_queues_that_are_not_there_and_an_interface_that_is_not_are_told_apart(
    before_any_bridge: None, settings: Settings
) -> None:
    with pytest.raises(NotReady, match="queues are not there"):
        look()
    settings.RABBITMQ_URL = "http://127.0.0.1:1"
    with pytest.raises(NotReady, match="management interface"):
        look()


def test_no_device_gets_in_before_what_it_says_is_kept(
    rabbit: RunningRabbit, account: Account, before_any_bridge: None, start_bridge: StartBridge
) -> None:
    device = make_device(account)
    context = client_context(rabbit.pki, files_of(device))
    rabbit.wires.append(Wire.open(rabbit.ports.mqtts, context))
    with pytest.raises((AssertionError, OSError)):  # RabbitMQ closes in place of an answer
        assert rabbit.wires[-1].connect(device.hex) == ACCEPTED
    start_bridge()
    rabbit.wires.append(Wire.open(rabbit.ports.mqtts, context))
    assert rabbit.wires[-1].connect(device.hex) == ACCEPTED


async def test_no_command_leaves_before_it_is_kept(
    world: RabbitWorld, before_any_bridge: None, start_bridge: StartBridge
) -> None:
    transport = world.transport()
    await transport.start()
    try:
        with pytest.raises(BrokerUnavailable):
            await transport.wait_connected(0.5)
        await sync_to_async(start_bridge)()
        await transport.wait_connected(DEADLINE_S)
    finally:
        await transport.stop()
