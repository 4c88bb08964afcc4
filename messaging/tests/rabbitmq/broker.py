"""A RabbitMQ of our own for a test run, started with the configuration that the portal writes, and the server that it asks."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pika
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from pika.credentials import ExternalCredentials

from iotportal.embedded import pytest_plugin, rabbitmq
from iotportal.embedded.ports import free_port
from messaging.bridge.stream import MAX_EVENTS
from messaging.gateway.amqp import AmqpTransport
from messaging.rabbitmq import names
from messaging.rabbitmq.auth_server import AuthServer
from messaging.rabbitmq.config import stream_arguments
from messaging.rabbitmq.link import Address
from messaging.tests.broker.wire import Wire
from messaging.tests.gateway.world import ScriptedDevice, World
from messaging.tests.identity import client_context, files_of


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
    running = RunningRabbit(ports, auth)
    declare_bridge_queues(running)
    return running


def declare_bridge_queues(running: RunningRabbit) -> None:
    """Make what a bridge makes at its first start, and without which nobody is let in."""
    with contextlib.closing(pika.BlockingConnection(service_parameters(running, "bridge"))) as link:
        channel = link.channel()
        channel.queue_declare(names.STREAM, durable=True, arguments=stream_arguments())
        channel.queue_bind(names.STREAM, names.TOPICS, "#")
        channel.queue_declare(names.EVENT_QUEUE, durable=True, arguments={"x-max-length": MAX_EVENTS})


def service_parameters(running: RunningRabbit, service: str) -> pika.ConnectionParameters:
    """Return how a service of the portal connects, for pika."""
    context = Address("localhost", running.ports.amqps, running.pki, service).context()
    tls = pika.SSLOptions(context, "localhost")
    return pika.ConnectionParameters("localhost", running.ports.amqps, "/", ExternalCredentials(), ssl_options=tls)


class AmqpScripted(ScriptedDevice):
    """A device on AMQP whose answers a test decides: pika in a thread of its own."""

    async def connect(self, port: int) -> AmqpScripted:
        self.loop = asyncio.get_running_loop()
        context = await sync_to_async(lambda: client_context(Path(settings.PKI_DIR), files_of(self.device)))()
        tls = pika.SSLOptions(context, "localhost")
        parameters = pika.ConnectionParameters("localhost", port, "/", ExternalCredentials(), ssl_options=tls)
        self._link = await sync_to_async(pika.BlockingConnection, thread_sensitive=False)(parameters)
        self._channel, queue = self._link.channel(), names.device_queue(self.device.hex)
        self._channel.queue_declare(queue, durable=True, auto_delete=True)
        self._channel.queue_bind(queue, names.TOPICS, f"{self.device.hex}.#")
        self._channel.basic_consume(queue, self._came, auto_ack=True)
        self._thread = threading.Thread(target=self._channel.start_consuming, daemon=True, name="device")
        self._thread.start()
        return self

    def _came(self, _channel: object, method: Any, _properties: object, body: bytes) -> None:
        self.take(method.routing_key.partition(".")[2], body)

    def say(self, api: str, payload: bytes) -> None:
        key = f"server.{self.device.hex}.{api}"
        self._link.add_callback_threadsafe(lambda: self._channel.basic_publish(names.TOPICS, key, payload))

    def close(self) -> None:
        if self._link.is_open:
            self._link.add_callback_threadsafe(self._channel.stop_consuming)
        self._thread.join(10)
        if self._link.is_open:
            self._link.close()


class RabbitWorld(World):
    """The world of the gateway's tests, on RabbitMQ: gateways over AMQP, devices over what `speaks` says."""

    def __init__(self, running: RunningRabbit, speaks: str = "mqtt") -> None:
        super().__init__()
        self.running = running
        self.device_type = AmqpScripted if speaks == "amqp" else ScriptedDevice
        self._device_port = running.ports.amqps if speaks == "amqp" else running.ports.mqtts

    async def start_broker(self) -> None:
        """It runs."""
        self.port = self._device_port

    def transport(self) -> AmqpTransport:
        """Return an AMQP transport."""
        return AmqpTransport("localhost", self.running.ports.amqps, settings.PKI_DIR)
