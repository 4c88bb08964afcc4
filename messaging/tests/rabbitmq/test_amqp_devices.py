"""A device on AMQP is for the portal what one on MQTT is: the simulator, the gateway, a real RabbitMQ between them."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pika
import pytest
from asgiref.sync import sync_to_async
from pika.credentials import ExternalCredentials, PlainCredentials
from pika.exceptions import AMQPError, ChannelClosedByBroker
from pytest_django import Settings

from accounts.services import personal_account
from devices.downloads import device_files
from devices.models import Device
from devices.services import issue_secret, register_device
from devices.tests.factories import make_account, make_device
from messaging.gateway.admission import Caller
from messaging.gateway.amqp import AmqpTransport
from messaging.models import Presence
from messaging.rabbitmq.names import STREAM, TOPICS, device_queue
from messaging.tests.broker.wire import Wire
from messaging.tests.gateway.world import until
from messaging.tests.identity import client_context, files_of
from messaging.tests.rabbitmq.broker import RabbitWorld, RunningRabbit, service_parameters
from messaging.tests.rabbitmq.conftest import StartBridge
from simulators.amqp import AmqpDevice
from simulators.mqtt import Options
from simulators.profiles import STANDARD
from simulators.settings import DeviceSettings
from simulators.transport import make_context


def simulated(device: Device, rabbit: RunningRabbit, folder: Path, password: str | None = None) -> AmqpDevice:
    """Return a simulator of a registered device."""
    files = device_files(device)
    written = {"root-ca.pem": files.root_ca, "device.crt": files.certificate, "device.key": files.private_key or b""}
    for name, content in written.items():
        (folder / name).write_bytes(content)
    ca, certificate, key = (folder / name for name in written)
    settings = DeviceSettings(
        device.hex, "Pump", "localhost", rabbit.ports.amqps, STANDARD, ca, certificate, key, password=password
    )
    return AmqpDevice(settings, make_context(settings), Options())


@pytest.fixture(params=["certificate", "password"])
async def pump(
    world: RabbitWorld, start_bridge: StartBridge, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[AmqpDevice]:
    await sync_to_async(start_bridge)()

    def make() -> AmqpDevice:
        device = register_device(account=personal_account(world.user), name="Pump").device
        return simulated(device, world.running, tmp_path, issue_secret(device=device) if request.param == "password" else None)

    made = await sync_to_async(make)()
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    await until(made.listening.is_set, "the simulator listens")
    yield made
    made.stop()
    await sync_to_async(thread.join)(10)


async def test_every_kind_of_command_is_answered(world: RabbitWorld, pump: AmqpDevice) -> None:
    gateway, id = await world.gateway(), pump.settings.device_id
    await until(lambda: Presence.objects.filter(device_id=id, connected=True).aexists(), "presence")
    asked: dict[str, dict[str, object]] = {
        "get_status": {}, "set_gpio": {"number": 10, "value": 1}, "get_gpio": {"number": 10}, "set_rtc": {"value": 1574000000},
        "get_mac": {}, "get_ip": {}, "write_uart": {"value": "hello world"},
    }  # fmt: skip
    answers = {api: (await gateway.send(Caller(world.user.pk), id, api, fields)).answer for api, fields in asked.items()}
    assert answers["get_status"] == {"value": "running"}
    assert answers["get_gpio"] == {"number": 10, "value": 1}
    assert answers["write_uart"] == {"value": "hello world"}
    assert "hello world" in pump.device.uart
    presence = await Presence.objects.aget(device_id=id)
    assert presence.protocol.startswith("AMQP")


def parameters_of(device: Device, rabbit: RunningRabbit) -> pika.ConnectionParameters:
    tls = pika.SSLOptions(client_context(rabbit.pki, files_of(device)), "localhost")
    return pika.ConnectionParameters("localhost", rabbit.ports.amqps, "/", ExternalCredentials(), ssl_options=tls)


async def test_what_a_queue_threw_away_is_nobodys_answer(rabbit: RunningRabbit) -> None:
    heard: list[bytes] = []
    transport = AmqpTransport("localhost", rabbit.ports.amqps, rabbit.pki)
    transport.on_answer = lambda _topic, payload: heard.append(payload)
    await transport.start()
    device = await sync_to_async(lambda: make_device(make_account("bob")))()
    await transport.wait_connected(5)
    await transport.bind(device.hex)

    def say() -> None:
        with pika.BlockingConnection(parameters_of(device, rabbit)) as link:
            for payload, headers in ((b"dead", {"x-death": [{"reason": "rejected"}]}), (b"said", None)):
                about = pika.BasicProperties(headers=headers)
                link.channel().basic_publish(TOPICS, f"server.{device.hex}.get_status", payload, about)

    await sync_to_async(say)()
    await until(lambda: bool(heard), "what was said")
    await transport.stop()
    assert heard == [b"said"]


def test_where_devices_may_not_speak_amqp_the_portal_and_mqtt_alone_get_in(rabbit: RunningRabbit, settings: Settings) -> None:
    device = make_device(make_account("bob"))
    settings.AMQP_DEVICES = False
    with pytest.raises(AMQPError):
        pika.BlockingConnection(parameters_of(device, rabbit))
    wire = Wire.open(rabbit.ports.mqtts, client_context(rabbit.pki, files_of(device)))
    rabbit.wires.append(wire)
    assert wire.connect(device.hex) == 0
    with pika.BlockingConnection(service_parameters(rabbit, "gateway")) as link:
        assert link.is_open


def test_an_amqp_device_touches_nothing_of_others(rabbit: RunningRabbit) -> None:
    mine, other = make_device(make_account("bob")), make_device(make_account("carol"))
    parameters = parameters_of(mine, rabbit)
    own = device_queue(mine.hex)

    def attempt(what: str, *arguments: object, **more: object) -> int:
        with pika.BlockingConnection(parameters) as link:
            channel = link.channel()
            channel.confirm_delivery()
            channel.queue_declare(own, durable=True, auto_delete=True)
            try:
                getattr(channel, what)(*arguments, **more)
            except ChannelClosedByBroker as closed:
                return int(closed.reply_code)
            return 0

    assert attempt("queue_bind", own, "amq.topic", f"{mine.hex}.#") == 0
    assert attempt("basic_publish", "amq.topic", f"server.{mine.hex}.get_status", json.dumps({"value": "running"}).encode()) == 0
    assert attempt("queue_bind", own, "amq.topic", "#") == 403
    assert attempt("queue_bind", own, "amq.topic", f"{other.hex}.#") == 403
    assert attempt("queue_bind", own, "amq.rabbitmq.event", "#") == 403
    assert attempt("queue_declare", device_queue(other.hex), durable=True, auto_delete=True) == 403
    assert attempt("basic_get", STREAM) in {403, 404}
    assert attempt("basic_publish", "amq.topic", f"server.{other.hex}.get_status", b"{}") == 403
    assert attempt("basic_publish", "amq.topic", f"{other.hex}.set_gpio", b"{}") == 403
    assert attempt("basic_publish", "", device_queue(other.hex), b"{}") == 403
    plain = parameters_of(mine, rabbit)
    plain.credentials = PlainCredentials(mine.hex, "")
    with pytest.raises(AMQPError):
        pika.BlockingConnection(plain)
