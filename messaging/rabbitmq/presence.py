"""Who is connected, from RabbitMQ's event exchange: its events in the words of our own broker's presence topics.

RabbitMQ says of a connection that ends only its name, so the table BrokerConnection keeps which device that is. It changes in the
transaction of the batch that carries the event, which is acknowledged afterwards: an event that comes twice comes in its order,
and leaves things as they are. The table is held against the list of open connections from time to time: nobody says goodbye for
those that a killed broker took along.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg2.extras import execute_values

from messaging.authorization import is_device_id
from messaging.bridge.database import Cursor
from messaging.bridge.source import Incoming
from messaging.protocol import topics

CLOSED = "$SYS/portal/closed"  # a connection, by its name
OPEN = "$SYS/portal/open"  # all that are open
IGNORED = "$SYS/portal/ignored"
SETTLE_S = 15.0  # younger connections are left to their events: the list may lag behind them, or run ahead
_PREFIX = topics.CONNECTIONS

_OPENED = """
INSERT INTO messaging_brokerconnection (name, device_id, opened_at, cause) VALUES %s
ON CONFLICT (name) DO UPDATE SET device_id = excluded.device_id, opened_at = excluded.opened_at, cause = ''
"""
_ENDED = "DELETE FROM messaging_brokerconnection WHERE name = ANY(%s) RETURNING device_id, cause"
_LEFT = "SELECT EXISTS (SELECT 1 FROM messaging_brokerconnection WHERE device_id = %s)"
_KNOWN = "SELECT name, opened_at FROM messaging_brokerconnection"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A connection that a device has made. `validity`: the dates of its certificate ("FROM - TO"), "" where it brought none."""

    device: UUID
    name: str
    validity: str


def read_arrival(message: Incoming) -> Arrival | None:
    """Return whose new connection a message tells of, if it does."""
    if not message.topic.startswith(_PREFIX):
        return None
    event = json.loads(message.payload)
    return Arrival(UUID(message.topic.removeprefix(_PREFIX)), event["name"], event["validity"])


def read_event(key: str, event: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return topic and payload for an event: `connection.created`, `connection.closed`; all else is ignored."""
    name = _text(event.get("name"))
    if key == "connection.closed" and name:
        return CLOSED, json.dumps({"name": name, "at": _seconds(event.get("timestamp_in_ms"))}).encode()
    device = _text(event.get("user"))
    if key != "connection.created" or not name or not is_device_id(device):
        return IGNORED, b""
    return _PREFIX + device, json.dumps(_connected(name, event)).encode()


@dataclass(frozen=True, slots=True)
class OpenList:
    """What the management interface says of all open connections: name -> device and its event. `asked`: when (Unix time)."""

    asked: float
    open: dict[str, tuple[str, dict[str, Any]]]

    def payload(self, ended: Container[str] = (), *, alone: bool = False) -> bytes:
        """Return the payload of an OPEN message.

        `ended`: connections whose end was told, which the list may not know yet. `alone`: nothing else tells of the youngest
        either, for they were made before anybody listened to events.
        """
        still = {name: one for name, one in self.open.items() if name not in ended}
        return json.dumps({"at": self.asked, "settle": 0.0 if alone else SETTLE_S, "open": still}).encode()


def read_list(connections: list[dict[str, Any]], asked: float) -> OpenList:
    """Return what the management interface answered to a question of Unix time `asked`, as far as it is about devices."""
    told = {one["name"]: (_text(one.get("user")), _connected(one["name"], one)) for one in connections}
    return OpenList(asked, {name: one for name, one in told.items() if is_device_id(one[0])})


def _connected(name: str, about: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "event": "connected",
        "at": _seconds(about.get("connected_at")),
        "name": name,
        "address": _address(_text(about.get("peer_host"))),
        "protocol": _protocol(about.get("protocol")),
        "validity": _text(about.get("peer_cert_validity")),
        "tls": _text(about.get("ssl_protocol")).replace("tlsv", "TLSv"),
    }


def resolve(cursor: Cursor, messages: list[Incoming]) -> list[Incoming]:
    """Return messages with RabbitMQ's word on connections turned into presence, keeping track of who has which connection."""
    resolved: list[Incoming] = []
    for message in messages:
        if message.topic == IGNORED:
            continue
        if message.topic == CLOSED:
            event = json.loads(message.payload)
            resolved += _end(cursor, message, [event["name"]], event["at"], "")
        elif message.topic == OPEN:
            resolved += _compare(cursor, message, json.loads(message.payload))
        elif message.topic.startswith(_PREFIX):
            resolved += _begin(cursor, message)
        else:
            resolved.append(message)
    return resolved


def _begin(cursor: Cursor, message: Incoming) -> list[Incoming]:
    event = json.loads(message.payload)
    # A name that comes round was another connection's, whose end was not told.
    ended = _end(cursor, message, [event["name"]], event["at"], "")
    device = UUID(message.topic.removeprefix(_PREFIX))
    execute_values(cursor, _OPENED, [(event["name"], device, event["at"])], template="(%s, %s, to_timestamp(%s), '')")
    return [*ended, message]


def _end(cursor: Cursor, message: Incoming, names: list[str], at: float, reason: str) -> list[Incoming]:
    """Forget connections; those whose last one it was are offline."""
    cursor.execute(_ENDED, [names])
    ended = cursor.fetchall()
    told = []
    for device, cause in ended:
        cursor.execute(_LEFT, [device])
        if cursor.fetchone() == (False,):
            payload = json.dumps({"event": "disconnected", "at": at, "reason": cause or reason}).encode()
            told.append(message._replace(topic=_PREFIX + device.hex, payload=payload))
    return told


def _compare(cursor: Cursor, message: Incoming, listed: Mapping[str, Any]) -> list[Incoming]:
    """Hold what we know against what is open."""
    now, still = listed["at"], listed["open"]
    cursor.execute(_KNOWN)
    known = {name: opened.timestamp() for name, opened in cursor}
    gone = [name for name, opened in known.items() if name not in still and now - opened > SETTLE_S]
    told = _end(cursor, message, gone, now, "broker") if gone else []
    for name, (device, event) in still.items():
        if name not in known and now - event["at"] > listed["settle"]:
            told += _begin(cursor, message._replace(topic=_PREFIX + device, payload=json.dumps(event).encode()))
    return told


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value if isinstance(value, str) else ""


def _seconds(value: object) -> float:
    """Return Unix time from RabbitMQ's milliseconds; now where there is none."""
    return value / 1000 if isinstance(value, int) and value > 0 else time.time()


def _address(text: str) -> str:
    """Return an address as it is usually written; events have Erlang's tuples: {127,0,0,1}."""
    if not text.startswith("{"):
        return text
    parts = [int(part) for part in re.findall(r"[0-9]+", text)]
    return ".".join(map(str, parts)) if len(parts) == 4 else ":".join(f"{part:x}" for part in parts)


def _protocol(value: object) -> str:
    """Return a protocol and its version; events have Erlang's tuples: {0,9,1}, {'MQTT',"3.1.1"}."""
    text = _text(value)
    if not text.startswith("{"):
        return text
    return f"MQTT {'.'.join(re.findall('[0-9]+', text))}" if "MQTT" in text else "AMQP " + "-".join(re.findall("[0-9]+", text))
