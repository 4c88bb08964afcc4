"""A RabbitMQ of our own for a test run, started with the configuration that the portal writes, and the server that it asks."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections

from iotportal.embedded import pytest_plugin, rabbitmq
from iotportal.embedded.ports import free_port
from messaging.gateway.amqp import AmqpTransport
from messaging.rabbitmq import names
from messaging.rabbitmq.auth_server import AuthServer
from messaging.tests.broker.wire import Wire
from messaging.tests.gateway.world import World


class AuthThread:
    """The auth server, on an event loop of its own in this process, so that it sees the test's database."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True, name="broker-auth").start()
        self.server = AuthServer(names.auth_path())
        self.call(self.server.start("127.0.0.1", 0))

    def call(self, work: Any) -> Any:
        """Run a coroutine on its loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def close_connections(self) -> None:
        """Give the test's database back: each of its threads has a connection."""
        threads = self.server._threads
        barrier = threading.Barrier(threads._max_workers)

        def close() -> None:
            barrier.wait(5)  # so that each thread gets one
            connections.close_all()

        for done in [threads.submit(close) for _ in range(threads._max_workers)]:
            done.result(10)


@dataclass(frozen=True)
class RunningRabbit:
    """A started RabbitMQ: where it listens, and who it asks."""

    ports: rabbitmq.Ports
    auth: AuthThread
    wires: list[Wire] = field(default_factory=list)  # the test's own sockets

    @property
    def pki(self) -> Path:
        """Where the portal's certificates are."""
        return Path(settings.PKI_DIR)

    @property
    def management_url(self) -> str:
        """Where its management interface is."""
        return f"http://127.0.0.1:{self.ports.management}"


def start_rabbit() -> RunningRabbit:
    """Start one; it ends with the test run."""
    if rabbitmq.program() is None:
        pytest.skip("RabbitMQ is not installed here (Debian: apt install rabbitmq-server)")
    servers = pytest_plugin._servers
    assert servers is not None
    auth = AuthThread()
    ports = rabbitmq.Ports(*(free_port() for _ in range(6)))
    where = {"amqps": ports.amqps, "mqtts": ports.mqtts, "management": ports.management, "metrics": ports.metrics}
    url = f"http://127.0.0.1:{auth.server.port}"
    passwords, settings.DEVICE_PASSWORDS = settings.DEVICE_PASSWORDS, True
    try:
        call_command("broker_config", rabbitmq.folder(servers.state), bind="127.0.0.1", auth=url, verbosity=0, **where)
    finally:
        settings.DEVICE_PASSWORDS = passwords
    servers.start_rabbitmq(ports, names.MANAGER, names.manager_password())
    return RunningRabbit(ports, auth)


class RabbitWorld(World):
    """The world of the gateway's tests, on RabbitMQ: devices over MQTT, gateways over AMQP."""

    def __init__(self, running: RunningRabbit) -> None:
        super().__init__()
        self.running = running

    async def start_broker(self) -> None:
        """It runs."""
        self.port = self.running.ports.mqtts

    def transport(self) -> AmqpTransport:
        """Return an AMQP transport."""
        return AmqpTransport("localhost", self.running.ports.amqps, settings.PKI_DIR)
