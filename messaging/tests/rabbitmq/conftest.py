"""Fixtures: one RabbitMQ for all tests of this folder, and the settings that make the portal use it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from accounts.models import Account
from devices.tests.factories import make_account
from messaging import cache
from messaging.bridge.factory import make_bridge
from messaging.bridge.runner import Bridge
from messaging.partitions import make_partitions
from messaging.rabbitmq.arrivals import Arrivals
from messaging.tests.rabbitmq.broker import RabbitWorld, RunningRabbit, start_rabbit

StartBridge = Callable[[], Bridge]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep these tests in one process: each that runs one of them starts a RabbitMQ."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("rabbitmq"))


@pytest.fixture(scope="session")
def running_rabbit(pki: Path) -> RunningRabbit:
    return start_rabbit()


@pytest.fixture
def rabbit(
    running_rabbit: RunningRabbit, transactional_db: None, clean_valkey: None, settings: Settings
) -> Iterator[RunningRabbit]:
    cache.client.cache_clear()
    settings.BROKER = "rabbitmq"
    settings.AMQP_PORT = running_rabbit.ports.amqps
    settings.RABBITMQ_URL = running_rabbit.management_url
    settings.DEVICE_PASSWORDS = settings.AMQP_DEVICES = True
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE messaging_message, messaging_command")
    make_partitions(0)
    yield running_rabbit
    while running_rabbit.wires:
        running_rabbit.wires.pop().socket.close()
    running_rabbit.auth.close_connections()


@pytest.fixture
def account(rabbit: RunningRabbit) -> Account:
    return make_account("alice")


@pytest.fixture
def start_bridge(rabbit: RunningRabbit) -> Iterator[StartBridge]:
    """Start a bridge as the settings say, with who looks at arrivals; wait until it serves; `bridge.stop()` ends it earlier."""
    with ExitStack() as stack:

        def begin() -> Bridge:
            arrivals = Arrivals()
            bridge = make_bridge(arrivals.came)
            stack.callback(arrivals.stop)
            stack.callback(bridge.stop)
            arrivals.start()
            bridge.start()
            assert bridge.serving.wait(15)
            return bridge

        yield begin


@pytest.fixture
async def world(rabbit: RunningRabbit) -> AsyncIterator[RabbitWorld]:
    opened = RabbitWorld(rabbit)
    await opened.open()
    yield opened
    await opened.close()
