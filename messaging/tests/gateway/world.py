"""A broker, a gateway and scripted devices, all real but for the device's mind."""

from __future__ import annotations

import asyncio
import json
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.management import call_command
from paho.mqtt.enums import CallbackAPIVersion
from pytest_django import Settings

from accounts.models import Account, ApiToken, User
from accounts.services import create_personal_account, create_token, personal_account
from devices.downloads import device_files
from devices.models import Device
from devices.services import register_device
from iotportal.valkey import Valkey
from messaging import cache
from messaging.authorization import Identity, Refusal, identify
from messaging.broker.server import Broker
from messaging.broker.tls import server_context
from messaging.gateway.admission import SCRIPTS
from messaging.gateway.core import Gateway
from messaging.gateway.mqtt import MqttTransport
from messaging.gateway.transport import Transport

DEADLINE_S = 10.0
Script = Callable[[str, bytes], list[tuple[float, str, bytes]]]  # api, payload -> [(after s, api, payload)]


def obedient(api: str, payload: bytes) -> list[tuple[float, str, bytes]]:
    """Answer as a plain device does: a pin's value is its number modulo 2, a set is repeated."""
    asked = json.loads(payload)
    if api == "get_gpio":
        return [(0, api, json.dumps({"number": asked["number"], "value": asked["number"] % 2}).encode())]
    return [(0, api, payload)] if api.startswith("set_") or asked else [(0, api, b'{"value": "running"}')]


async def until(condition: Callable[[], Any | Awaitable[Any]], what: str) -> Any:
    """Wait for a condition; fail with `what` after the deadline."""
    end = asyncio.get_running_loop().time() + DEADLINE_S
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        if asyncio.get_running_loop().time() > end:
            raise AssertionError(f"not within {DEADLINE_S:g} s: {what}")
        await asyncio.sleep(0.005)


@dataclass
class ScriptedDevice:
    """A device over mutual TLS whose answers a test decides."""

    device: Device
    script: Script = obedient
    heard: list[tuple[str, bytes]] = field(default_factory=list)

    async def connect(self, port: int) -> ScriptedDevice:
        self.loop = asyncio.get_running_loop()
        files = await sync_to_async(device_files)(self.device)
        context = ssl.create_default_context(cadata=files.root_ca.decode())
        with tempfile.TemporaryDirectory() as folder:
            pem = Path(folder, "device.pem")
            pem.write_bytes(files.certificate + (files.private_key or b""))
            context.load_cert_chain(pem)
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=self.device.hex, clean_session=True)
        self.client.tls_set_context(context)
        ready = asyncio.Event()
        self.client.on_connect = lambda client, *_: client.subscribe(f"{self.device.hex}/#", 1)

        def subscribed(*_: Any) -> None:
            self.loop.call_soon_threadsafe(ready.set)

        self.client.on_subscribe = subscribed
        self.client.on_message = self._on_message
        await self.loop.run_in_executor(None, self.client.connect, "localhost", port)
        self.client.loop_start()
        await asyncio.wait_for(ready.wait(), DEADLINE_S)
        return self

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        self.take(message.topic.partition("/")[2], bytes(message.payload))

    def take(self, api: str, said: bytes) -> None:
        """Hear a message and answer as the script says."""
        self.heard.append((api, said))
        for after, answer_api, payload in self.script(api, said):
            if after:
                self.loop.call_soon_threadsafe(self.loop.call_later, after, self.say, answer_api, payload)
            else:
                self.say(answer_api, payload)

    def say(self, api: str, payload: bytes) -> None:
        self.client.publish(f"server/{self.device.hex}/{api}", payload, qos=1)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class World:
    """What a gateway test needs; close it with `await world.close()`."""

    device_type = ScriptedDevice

    def __init__(self) -> None:
        self.devices: list[ScriptedDevice] = []
        self.gateways: list[Gateway] = []
        self.broker: Broker | None = None
        self.port = 0

    async def open(self) -> World:
        await sync_to_async(call_command)("setup_pki", verbosity=0)
        cache.client.cache_clear()
        await sync_to_async(lambda: cache.client().flushdb())()
        await self.start_broker()
        self.user, self.token, self.secret = await sync_to_async(make_user)("alice")
        return self

    async def start_broker(self) -> None:
        pki = settings.PKI_DIR

        async def admit(name: str, _fingerprint: str, client_id: str) -> Identity | Refusal:
            return identify(name, client_id)

        tls = server_context(pki / "server.pem", pki / "server.key", [pki / "issuing-ca.pem", pki / "root-ca.pem"])
        self.broker = Broker(tls=tls, admit=admit, port=self.port)
        await self.broker.start()
        self.port = self.broker.port

    async def stop_broker(self) -> None:
        if self.broker is not None:
            await self.broker.stop()
            self.broker = None

    def transport(self) -> Transport:
        """Return what a gateway here speaks to the broker with."""
        return MqttTransport("localhost", self.port, settings.PKI_DIR)

    async def gateway(self) -> Gateway:
        transport = self.transport()
        gateway = Gateway(transport, Valkey(settings.VALKEY_URL, SCRIPTS))
        await gateway.start()
        self.gateways.append(gateway)
        await transport.wait_connected(DEADLINE_S)
        return gateway

    async def device(
        self, name: str = "Pump", profile: str = "standard", script: Script = obedient, account: Account | None = None
    ) -> ScriptedDevice:
        made = await sync_to_async(self._register)(name, profile, account)
        device = await self.device_type(made, script).connect(self.port)
        self.devices.append(device)
        return device

    def _register(self, name: str, profile: str, account: Account | None) -> Device:
        return register_device(account=account or personal_account(self.user), name=name, profile=profile).device

    async def records(self) -> list[dict[str, Any]]:
        """Return what the gateway left for the bridge."""
        entries: Any = await sync_to_async(cache.client().xrange)(cache.COMMAND_STREAM)
        return [json.loads(fields["r"]) for _, fields in entries]

    async def close(self) -> None:
        for device in self.devices:
            device.close()
        for gateway in self.gateways:
            await gateway.stop()
        await self.stop_broker()


def make_user(name: str) -> tuple[User, ApiToken, str]:
    """Make a user with a personal account and a token."""
    user = User.objects.create_user(name, f"{name}@example.com", "correct horse battery")
    create_personal_account(user)
    token, secret = create_token(user=user, name="test")
    return user, token, secret


def throttle(settings: Settings, rate: str, **more: object) -> None:
    """Bound what an address may ask without a sign-in; `more`: other settings of the API."""
    rates = {**settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"], "anon": rate}
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": rates, **more}
