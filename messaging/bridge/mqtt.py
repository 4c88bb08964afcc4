"""Messages from a broker that speaks MQTT, over one persistent session.

The broker sends at most its window of un-acknowledged messages (2,000) and keeps the rest: that is the back-pressure. Every
connection gets a fresh paho client, so nothing of an older one, least of all a pending acknowledgement, can reach a newer: after
a new session the same packet ids mean other messages.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from iotportal.uuid7 import uuid7
from messaging.bridge.source import Deliver, Incoming, SourceLost

logger = logging.getLogger(__name__)

CLIENT_ID = "portal.bridge"
FILTERS = ("#", "$SYS/portal/#")
KEEPALIVE_S = 20
CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 10.0


class MqttSource:
    """The session `portal.bridge`, with the bridge's certificate."""

    def __init__(self, host: str, port: int, pki: Path) -> None:
        self.session = CLIENT_ID
        self._host, self._port, self._pki = host, port, pki
        self._link: _Link | None = None
        self._links = 0

    def connect(self, deliver: Deliver, lost: Callable[[], None]) -> bool:
        """Open a connection; return whether the broker still has the session.

        Raises:
            SourceLost: the broker cannot be reached, or does not let us in.
        """
        self.close()
        self._links += 1
        link = _Link(self._links, deliver, lost)
        try:
            resumed = link.open(self._host, self._port, self._context())
        except OSError as error:  # TLS errors and missing files too
            link.close()
            raise SourceLost(str(error)) from error
        except SourceLost:
            link.close()
            raise
        self._link = link
        return resumed

    def begin(self) -> None:
        """Subscribe to everything, also where the session has the subscriptions: the broker then tells who is connected."""
        if self._link is None:
            raise SourceLost("not connected")
        self._link.subscribe()

    def ack(self, messages: Iterable[Incoming]) -> None:
        """Acknowledge messages of the present connection."""
        if self._link is not None:
            self._link.ack(messages)

    def close(self) -> None:
        """Say goodbye, after what was acknowledged has been said; the session stays."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self._pki / "root-ca.pem"))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._pki / "bridge.pem", self._pki / "bridge.key")
        return context


class _Link:
    """One connection and its paho client, whose network thread calls the `_on` methods."""

    def __init__(self, number: int, deliver: Deliver, lost: Callable[[], None]) -> None:
        self._number = number
        self._deliver = deliver
        self._lost = lost
        self._answered = threading.Event()
        self._subscribed = threading.Event()
        self._refusal = ""
        self._resumed = False
        self._over = False
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=CLIENT_ID,
            clean_session=False,
            protocol=mqtt.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        self._client = client

    def open(self, host: str, port: int, context: ssl.SSLContext) -> bool:
        """Connect and wait for the broker's word. Raises OSError or SourceLost."""
        self._client.tls_set_context(context)
        self._client.connect(host, port, KEEPALIVE_S)
        sock = self._client.socket()
        if not isinstance(sock, socket.socket):
            raise SourceLost("the connection closed at once")
        # paho leaves Nagle on: acknowledgements would wait 40 ms for one another.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client.loop_start()
        if not self._answered.wait(ANSWER_TIMEOUT_S):
            raise SourceLost("the broker does not answer")
        if self._refusal:
            raise SourceLost(self._refusal)
        return self._resumed

    def subscribe(self) -> None:
        """Subscribe and wait for the broker to agree. Raises SourceLost."""
        code, _ = self._client.subscribe([(topic_filter, 1) for topic_filter in FILTERS])
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise SourceLost(f"cannot subscribe: {code}")
        if not self._subscribed.wait(ANSWER_TIMEOUT_S):
            raise SourceLost("the broker does not answer the subscription")
        if self._refusal:
            raise SourceLost(self._refusal)

    def ack(self, messages: Iterable[Incoming]) -> None:
        """Acknowledge those of this connection that are to be acknowledged."""
        for message in messages:
            if message.delivery and message.link == self._number:
                self._client.ack(message.delivery, 1)

    def close(self) -> None:
        """End the connection; what was queued for it leaves first."""
        self._over = True
        with contextlib.suppress(OSError, ValueError):
            self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, _client: mqtt.Client, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._refusal = f"the broker refuses the bridge: {reason}"
        self._resumed = bool(flags.session_present)
        self._answered.set()

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._refusal = self._refusal or f"the connection broke: {reason}"
        self._answered.set()
        self._subscribed.set()
        if not self._over:
            self._lost()

    def _on_subscribe(self, _client: mqtt.Client, _data: Any, _mid: int, reasons: list[Any], _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._refusal = "the broker refuses the bridge's subscription"
        self._subscribed.set()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""  # no topic of the protocol: counted and dropped like any other
        delivery = message.mid if message.qos else 0
        self._deliver([Incoming(uuid7(), topic, bytes(message.payload), delivery, message.dup, message.retain, self._number)])
