"""The gateway's broker connection over MQTT: paho driven by the event loop, without a thread.

Every connection gets a fresh paho client, because paho would publish again after a reconnect what was not confirmed before, and a
command must never run a second time or an hour later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import socket
import ssl
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from messaging.gateway.transport import BrokerUnavailable
from messaging.protocol import topics

logger = logging.getLogger(__name__)

KEEPALIVE_S = 20
SUBACK_TIMEOUT_S = 5.0
RECONNECT_S = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0)  # ± 30 %, so that many processes do not come back at the same instant
MAX_BINDINGS = 5_000


class MqttTransport:
    """Connects as `portal.gateway.<random>` with the gateway's certificate."""

    def __init__(self, host: str, port: int, pki: Path) -> None:
        self.on_answer: Callable[[str, bytes], None] = lambda topic, payload: None
        self.on_lost: Callable[[], None] = lambda: None
        self._host, self._port, self._pki = host, port, pki
        self._client_id = f"portal.gateway.{secrets.token_hex(4)}"
        self._client: mqtt.Client | None = None
        self._socket: int | None = None
        self._connected = asyncio.Event()
        self._lost = asyncio.Event()
        self._bindings: OrderedDict[str, asyncio.Future[None]] = OrderedDict()
        self._subscribing: dict[int, asyncio.Future[None]] = {}
        self._taken: dict[int, Callable[[], None]] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to connect and keep connected."""
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._keep_connected())

    async def stop(self) -> None:
        """Disconnect for good."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._client is not None:
            self._client.disconnect()
            self._drop()

    async def wait_connected(self, timeout_s: float) -> None:
        """Return when connected."""
        if self._connected.is_set():
            return
        try:
            await asyncio.wait_for(self._connected.wait(), timeout_s)
        except TimeoutError:
            raise BrokerUnavailable("no connection to the broker") from None

    async def bind(self, device: str) -> None:
        """Subscribe to the answers of `device`, once."""
        binding = self._bindings.get(device)
        if binding is not None:
            self._bindings.move_to_end(device)
            if binding.done() and not binding.cancelled() and binding.exception() is None:
                return
            await asyncio.shield(binding)
            return
        binding = self._bindings[device] = self._loop.create_future()
        binding.add_done_callback(lambda future: future.cancelled() or future.exception())  # looked at, whoever waits
        try:
            await asyncio.wait_for(self._subscribe(topics.answers_filter(device), binding), SUBACK_TIMEOUT_S)
        except BaseException as error:
            if self._bindings.get(device) is binding:
                del self._bindings[device]
            failure = error if isinstance(error, BrokerUnavailable) else BrokerUnavailable("the broker did not agree in time")
            if not binding.done():
                binding.set_exception(failure)
            if isinstance(error, TimeoutError):
                raise failure from None
            raise
        self._forget_oldest()

    def publish(self, topic: str, payload: bytes, on_taken: Callable[[], None]) -> None:
        """Publish once with QoS 1."""
        if self._client is None or not self._connected.is_set():
            raise BrokerUnavailable("no connection to the broker")
        info = self._client.publish(topic, payload, qos=1)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise BrokerUnavailable(f"the broker connection failed: {info.rc}")
        self._taken[info.mid] = on_taken

    async def _subscribe(self, topic_filter: str, binding: asyncio.Future[None]) -> None:
        if self._client is None or not self._connected.is_set():
            raise BrokerUnavailable("no connection to the broker")
        # QoS 0 towards us: an answer lost with the connection ends as the caller's error either way, and nothing to acknowledge.
        code, mid = self._client.subscribe(topic_filter, qos=0)
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise BrokerUnavailable(f"the broker connection failed: {code}")
        self._subscribing[mid] = binding
        await asyncio.shield(binding)

    def _forget_oldest(self) -> None:
        while len(self._bindings) > MAX_BINDINGS and self._client is not None:
            device, _ = self._bindings.popitem(last=False)
            self._client.unsubscribe(topics.answers_filter(device))

    # --- the connection ---------------------------------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        attempt = 0
        while True:
            self._lost.clear()
            try:
                await self._connect()
                await asyncio.wait_for(self._connected.wait(), 10)
            except (OSError, TimeoutError) as error:
                if attempt in {0, 10}:
                    logger.warning("cannot reach the broker at %s:%s (%s), trying again", self._host, self._port, error)
            else:
                attempt = 0
                logger.info("connected to the broker as %s", self._client_id)
                while not self._lost.is_set():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._lost.wait(), 1)
                    if self._client is not None:
                        self._client.loop_misc()
                logger.warning("lost the connection to the broker")
            self._drop()
            pause = RECONNECT_S[min(attempt, len(RECONNECT_S) - 1)]
            attempt += 1
            await asyncio.sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311

    async def _connect(self) -> None:
        context = ssl.create_default_context(cafile=str(self._pki / "root-ca.pem"))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._pki / "gateway.pem", self._pki / "gateway.key")
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=self._client_id, protocol=mqtt.MQTTv311, clean_session=True)
        client.tls_set_context(context)
        client.max_inflight_messages_set(0)
        client.on_connect = self._on_connect
        client.on_disconnect = lambda *arguments: self._lost.set()
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.connect_timeout = 5.0
        await self._connect_in_thread(client)
        sock: Any = client.socket()
        if sock is None:
            raise OSError("the connection closed at once")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # paho leaves Nagle on: 44 ms instead of 1
        client.on_socket_register_write = self._on_register_write
        client.on_socket_unregister_write = self._on_unregister_write
        client.on_socket_close = self._on_socket_close
        self._client, self._socket = client, sock.fileno()
        self._loop.add_reader(self._socket, self._read, client, sock)
        self._write(client, sock)
        self._read(client, sock)

    async def _connect_in_thread(self, client: mqtt.Client) -> None:
        """Let paho connect and shake hands, which blocks; a daemon thread, so that a silent broker delays nobody's exit."""
        done: asyncio.Future[None] = self._loop.create_future()

        def finish(error: OSError | None) -> None:
            if done.cancelled():
                _close(client)
            elif error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

        def connect() -> None:
            error: OSError | None = None
            try:
                client.connect(self._host, self._port, KEEPALIVE_S)
            except OSError as failure:
                error = failure
            except ValueError as failure:
                error = OSError(str(failure))
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is interested any more
                self._loop.call_soon_threadsafe(finish, error)

        threading.Thread(target=connect, name="mqtt-connect", daemon=True).start()
        await done

    def _read(self, client: mqtt.Client, sock: Any) -> None:
        """Read all there is: TLS may hold more decrypted bytes than the socket shows as readable."""
        try:
            while client.loop_read() == MQTTErrorCode.MQTT_ERR_SUCCESS and sock.pending() > 0:
                pass
        except (OSError, ValueError):
            self._lost.set()

    def _write(self, client: mqtt.Client, sock: Any) -> None:
        """Write what one turn of the loop has queued; the loop watches the socket only while it takes no more."""
        try:
            client.loop_write()
            if client.want_write() and sock.fileno() >= 0:
                self._loop.add_writer(sock.fileno(), self._write, client, sock)
        except (OSError, ValueError):
            self._lost.set()

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            logger.error("the broker refused the gateway: %s", reason)
            self._lost.set()
        else:
            self._connected.set()

    def _on_register_write(self, client: mqtt.Client, _data: Any, sock: Any) -> None:
        self._loop.call_soon(self._write, client, sock)

    def _on_unregister_write(self, _client: mqtt.Client, _data: Any, sock: Any) -> None:
        with contextlib.suppress(OSError, ValueError):  # paho also calls it for a socket that is closed already
            self._loop.remove_writer(sock.fileno())

    def _on_socket_close(self, _client: mqtt.Client, _data: Any, sock: Any) -> None:
        for remove in (self._loop.remove_reader, self._loop.remove_writer):
            with contextlib.suppress(OSError, ValueError):
                remove(sock.fileno())
        self._lost.set()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        try:
            self.on_answer(message.topic, bytes(message.payload))
        except Exception:
            logger.exception("an answer could not be handled")

    def _on_publish(self, _client: mqtt.Client, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        taken = self._taken.pop(mid, None)
        if taken is not None:
            taken()

    def _on_subscribe(self, _client: mqtt.Client, _data: Any, mid: int, reasons: list[Any], _properties: Any) -> None:
        binding = self._subscribing.pop(mid, None)
        if binding is None or binding.done():
            return
        if any(reason.is_failure for reason in reasons):
            binding.set_exception(BrokerUnavailable("the broker refused the subscription"))
        else:
            binding.set_result(None)

    def _drop(self) -> None:
        """Close what is left of a connection and tell everyone who waits on it."""
        was_connected = self._connected.is_set()
        self._connected.clear()
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket = None
        client, self._client = self._client, None
        if client is not None:
            _close(client)
        waiting = list(self._bindings.values())
        self._bindings.clear()
        self._subscribing.clear()
        self._taken.clear()
        for binding in waiting:
            if not binding.done():
                binding.set_exception(BrokerUnavailable("lost the broker"))
        if was_connected:
            self.on_lost()


def _close(client: mqtt.Client) -> None:
    """Close a client's socket, if it has one."""
    sock = client.socket()
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.close()
