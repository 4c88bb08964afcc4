"""The portal's side for end-to-end tests: the real broker over mutual TLS, and a client that asks as the gateway does."""

import asyncio
import json
import queue
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from messaging.authorization import Identity, Refusal, identify
from messaging.broker.server import Broker
from messaging.broker.tls import server_context
from simulators.console import Console
from simulators.mqtt import Fleet, Options
from simulators.settings import Overrides, load
from simulators.tests.pki import Authority, Issued, write
from simulators.transport import make_context

DEADLINE_S = 10.0


class Portal:
    """A broker with its authority. `banned`: common names it refuses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority()
        self.banned: set[str] = set()
        self.port = 0
        self.broker: Broker

    async def admit(self, common_name: str, fingerprint: str, client_id: str) -> Identity | Refusal:
        return Refusal("revoked") if common_name in self.banned else identify(common_name, client_id)

    async def start(self, issued: Issued | None = None) -> None:
        """Start the broker, on the port it had before if it ran before; `issued`: with this certificate."""
        issued = issued or self.authority.broker()
        context = server_context(
            write(self.folder, "server.pem", issued.certificate),
            write(self.folder, "server.key", issued.key),
            [write(self.folder, "ca.pem", self.authority.root)],
        )
        self.broker = Broker(tls=context, admit=self.admit, port=self.port)
        await self.broker.start()
        self.port = self.broker.port

    def device_folder(
        self, device_id: str, *, profile: str = "standard", host: str = "localhost", authority: Authority | None = None
    ) -> Path:
        """Return a registered device's download, unpacked; `authority`: whose certificate it holds."""
        folder = self.folder / device_id
        folder.mkdir()
        issued = (authority or self.authority).device(device_id)
        config = {"device_id": device_id, "name": device_id[:4], "host": host, "port": self.port, "profile": profile}
        write(folder, "config.json", json.dumps(config).encode())
        write(folder, "root-ca.pem", self.authority.root)
        write(folder, "device.crt", issued.certificate)
        write(folder, "device.key", issued.key)
        return folder

    @asynccontextmanager
    async def fleet(self, *folders: Path, options: Options | None = None, console: Console | None = None) -> AsyncIterator[Fleet]:
        """Run the devices of `folders` until the end of the block."""
        settings = [load(folder, Overrides(), self.folder) for folder in folders]
        devices = [(found, make_context(found)) for found in settings]
        fleet = Fleet(devices, options or Options(), console or Console(quiet=True))
        running = asyncio.ensure_future(fleet.run())
        try:
            yield fleet
        finally:
            fleet.stop()
            await asyncio.wait_for(running, DEADLINE_S)

    def caller(self, *device_ids: str) -> "AbstractAsyncContextManager[Caller]":
        """Return a connected client that hears the answers of `device_ids`."""
        return _connected(self, "portal.gateway", [f"server/{device_id}/#" for device_id in device_ids])

    def watcher(self) -> "AbstractAsyncContextManager[Caller]":
        """Return a connected client that hears who comes and goes."""
        return _connected(self, "portal.bridge", ["$SYS/portal/#"])


class Caller:
    """Sends commands and waits for what comes on `server/...`."""

    def __init__(self, client: mqtt.Client, heard: "asyncio.Queue[tuple[str, bytes]]") -> None:
        self._client = client
        self._heard = heard

    def send(self, device_id: str, api: str, payload: bytes = b"{}") -> None:
        self._client.publish(f"{device_id}/{api}", payload, qos=1)

    async def hear(self) -> tuple[str, bytes]:
        """Return the next message as (topic below server/, payload)."""
        topic, payload = await asyncio.wait_for(self._heard.get(), DEADLINE_S)
        return topic.removeprefix("server/"), payload

    async def ask(self, device_id: str, api: str, payload: bytes = b"{}") -> bytes:
        """Return the payload of the next message, which must be this api's answer."""
        self.send(device_id, api, payload)
        topic, answer = await self.hear()
        assert topic == f"{device_id}/{api}"
        return answer

    async def event(self, kind: str) -> dict[str, Any]:
        """Return the next event of this kind from the broker's own announcements."""
        while True:
            _, payload = await self.hear()
            found: dict[str, Any] = json.loads(payload)
            if found["event"] == kind:
                return found


@asynccontextmanager
async def _connected(portal: Portal, name: str, filters: list[str]) -> AsyncIterator[Caller]:
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
    subscribed: queue.Queue[int] = queue.Queue()
    issued = portal.authority.device(name)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name)
    client.tls_set(
        str(write(portal.folder, "ca.pem", portal.authority.root)),
        str(write(portal.folder, f"{name}.pem", issued.certificate)),
        str(write(portal.folder, f"{name}.key", issued.key)),
    )

    def on_message(_: mqtt.Client, __: Any, message: mqtt.MQTTMessage) -> None:
        loop.call_soon_threadsafe(heard.put_nowait, (message.topic, bytes(message.payload)))

    def on_connect(*_: Any) -> None:
        client.subscribe([(topic_filter, 1) for topic_filter in filters])

    def on_socket_open(_: mqtt.Client, __: Any, sock: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    client.on_socket_open = on_socket_open
    client.on_message = on_message
    client.on_connect = on_connect
    client.on_subscribe = lambda *_: subscribed.put(1)
    # The broker runs in this loop: connecting must not block it.
    await asyncio.to_thread(client.connect, "localhost", portal.port)
    client.loop_start()
    try:
        await asyncio.to_thread(subscribed.get, timeout=DEADLINE_S)
        yield Caller(client, heard)
    finally:
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)
