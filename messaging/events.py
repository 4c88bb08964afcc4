"""Live events: what open pages are told, one builder a kind, and how it reaches them.

An event is a small JSON object with a `kind`; `docs/live.md` has the shapes for programs. Events travel in batches,
``{"type": "live.events", "events": [...]}``, one a group (`device_group`, `account_group`), through Channels' pub/sub layer.

The bridge hands over hundreds of groups at once. Through the layer's coroutine each is a round trip of 0.2–0.3 ms; here they
leave in one pipeline, in the layer's own serialisation on its own channel name. Where the layer is another, its API is used.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, TypedDict, cast
from uuid import UUID

import redis
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.conf import settings

from iotportal.after_commit import after_commit
from messaging import cache, live, reasons

# A page that joins late gets the rest from the history; one frame must not make it stutter.
MAX_FRAME_BYTES = 256 * 1024


class MessageEvent(TypedDict):
    """A message passed the broker."""

    kind: Literal["message"]
    id: str
    time: str
    device: str
    direction: str
    api: str
    payload: str
    malformed: bool


class CommandEvent(TypedDict):
    """A command ended, or its answer came late."""

    kind: Literal["command"]
    id: str
    time: str
    device: str
    api: str
    payload: str
    outcome: str
    answer: str | None
    timeout_s: float
    attempts: int
    sent_ms: float | None
    broker_ms: float | None
    answered_ms: float | None
    delivered_ms: float | None
    late_ms: float | None
    user: str | None


class PresenceEvent(TypedDict):
    """A device came, went, answered or did not."""

    kind: Literal["presence"]
    device: str
    connected: bool
    connected_at: str | None
    disconnected_at: str | None
    reason: str
    reason_text: str
    last_message_at: str | None
    running: bool | None
    asked_at: str | None
    answered_ms: float | None
    last_answer_at: str | None
    last_answer_api: str
    last_answer_ms: float | None
    refused_at: str | None
    refused_reason: str
    address: str | None
    protocol: str
    tls: str


class ReadingEvent(TypedDict):
    """A device confirmed a value."""

    kind: Literal["reading"]
    device: str
    key: str
    value: Any
    at: str
    elapsed_ms: float | None


Change = Literal["registered", "renamed", "deleted"]


class DeviceEvent(TypedDict):
    """The registry changed."""

    kind: Literal["device"]
    device: str
    change: Change
    name: str


class TimelineEvent(TypedDict):
    """A device's timeline has a new line."""

    kind: Literal["timeline"]
    device: str
    id: str
    time: str
    event: str
    what: str
    more: str


class OrderEvent(TypedDict):
    """The money of an order moved, and with it perhaps the credits of its account."""

    kind: Literal["order"]
    account: str
    order: str
    status: str


class NotificationEvent(TypedDict):
    """A notification of a device, or of an account, is one step further."""

    kind: Literal["notification"]
    device: str | None
    id: str
    time: str
    channel: str
    status: str
    reason: str


class EmulatorEvent(TypedDict):
    """Something changed on the board of an emulator, or it stopped."""

    kind: Literal["emulator"]
    device: str
    state: str


Event = (
    OrderEvent | MessageEvent | CommandEvent | PresenceEvent | ReadingEvent | DeviceEvent | TimelineEvent | NotificationEvent
    | EmulatorEvent
)  # fmt: skip


def message_event(*, id: str, time: str, device: str, direction: str, api: str, payload: str, malformed: bool) -> MessageEvent:
    """Build the event of a history row; ids in hex and time as events spell it, for whoever writes thousands has them so."""
    return {
        "kind": "message",
        "id": id,
        "time": time,
        "device": device,
        "direction": direction,
        "api": api,
        "payload": payload,
        "malformed": malformed,
    }


def command_event(
    *,
    id: UUID,
    time: datetime,
    device_id: UUID,
    api: str,
    payload: str,
    outcome: str,
    answer: str | None,
    timeout_s: float,
    attempts: int,
    sent_ms: float | None,
    broker_ms: float | None,
    answered_ms: float | None,
    delivered_ms: float | None,
    late_ms: float | None,
    user: str | None,
) -> CommandEvent:
    """Build the event of a command; `user` is a user name."""
    return {
        "kind": "command",
        "id": id.hex,
        "time": timestamp(time),
        "device": device_id.hex,
        "api": api,
        "payload": payload,
        "outcome": outcome,
        "answer": answer,
        "timeout_s": timeout_s,
        "attempts": attempts,
        "sent_ms": sent_ms,
        "broker_ms": broker_ms,
        "answered_ms": answered_ms,
        "delivered_ms": delivered_ms,
        "late_ms": late_ms,
        "user": user,
    }


def presence_event(
    *,
    device_id: UUID,
    connected: bool,
    connected_at: datetime | None,
    disconnected_at: datetime | None,
    reason: str,
    last_message_at: datetime | None,
    running: bool | None,
    asked_at: datetime | None,
    answered_ms: float | None,
    last_answer_at: datetime | None,
    last_answer_api: str,
    last_answer_ms: float | None,
    refused_at: datetime | None,
    refused_reason: str,
    address: str | None,
    protocol: str,
    tls: str,
) -> PresenceEvent:
    """Build the event of a presence row."""
    return {
        "kind": "presence",
        "device": device_id.hex,
        "connected": connected,
        "connected_at": _or_none(connected_at),
        "disconnected_at": _or_none(disconnected_at),
        "reason": reason,
        "reason_text": reasons.in_words(reason),
        "last_message_at": _or_none(last_message_at),
        "running": running,
        "asked_at": _or_none(asked_at),
        "answered_ms": answered_ms,
        "last_answer_at": _or_none(last_answer_at),
        "last_answer_api": last_answer_api,
        "last_answer_ms": last_answer_ms,
        "refused_at": _or_none(refused_at),
        "refused_reason": refused_reason,
        "address": address,
        "protocol": protocol,
        "tls": tls,
    }


def reading_event(*, device_id: UUID, key: str, value: Any, at: datetime, elapsed_ms: float | None) -> ReadingEvent:
    """Build the event of a reading."""
    return {"kind": "reading", "device": device_id.hex, "key": key, "value": value, "at": timestamp(at), "elapsed_ms": elapsed_ms}


def device_event(*, device_id: UUID, change: Change, name: str) -> DeviceEvent:
    """Build the event of a change in the registry."""
    return {"kind": "device", "device": device_id.hex, "change": change, "name": name}


def timeline_event(*, id: UUID, time: datetime, device_id: UUID, event: str, what: str, more: str) -> TimelineEvent:
    """Build the event of a new line of a timeline; `event` is a `devices.models.EventKind`, the rest is in words."""
    at = timestamp(time)
    return {"kind": "timeline", "device": device_id.hex, "id": id.hex, "time": at, "event": event, "what": what, "more": more}


def order_event(*, account_id: UUID, order_id: UUID, status: str) -> OrderEvent:
    """Build the event of an order; `status` is a `billing.models.Order.Status`."""
    return {"kind": "order", "account": account_id.hex, "order": order_id.hex, "status": status}


def emulator_event(*, device_id: UUID, state: str) -> EmulatorEvent:
    """Build the event of an emulator; `state` is a `messaging.models.EmulatorState`, or "stopped". The page asks for the rest."""
    return {"kind": "emulator", "device": device_id.hex, "state": state}


def notification_event(
    *, id: UUID, device_id: UUID | None, status: str, reason: str, channel: str, asked_at: datetime
) -> NotificationEvent:
    """Build the event of a notification; who it goes to and what it says stay out of it: the page asks."""
    device = None if device_id is None else device_id.hex
    about: NotificationEvent = {
        "kind": "notification", "device": device, "id": id.hex, "time": timestamp(asked_at),
        "channel": channel, "status": status, "reason": reason,
    }  # fmt: skip
    return about


def timestamp(moment: datetime) -> str:
    """Return a moment as events spell it: ISO 8601, UTC, microseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def _or_none(moment: datetime | None) -> str | None:
    return None if moment is None else timestamp(moment)


# --- sending -------------------------------------------------------------------------------------------------------------


class Outbox:
    """Events gathered for their groups."""

    def __init__(self) -> None:
        self._groups: dict[str, list[Event]] = defaultdict(list)

    def add(self, account_id: UUID, device_id: UUID, event: Event) -> None:
        """Add an event for those who watch the device or the whole account."""
        self._groups[device_group(account_id, device_id)].append(event)
        self._groups[account_group(account_id)].append(event)

    def add_to_account(self, account_id: UUID, event: Event) -> None:
        """Add an event for those who watch the whole account."""
        self._groups[account_group(account_id)].append(event)

    def __bool__(self) -> bool:
        return bool(self._groups)

    def frames(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (group, layer message); a group's events are split where one frame would be too large."""
        for group, events in self._groups.items():
            for part in _parts(events):
                yield group, {"type": "live.events", "events": part}

    def queue(self, pipe: redis.client.Pipeline) -> None:
        """Add the publishing of everything to a Valkey pipeline."""
        layer, prefix = _pubsub_layer()
        live.mark(pipe, self._groups)  # before they are told: who subscribes meanwhile finds the mark or hears of it
        for group, message in self.frames():
            pipe.publish(f"{prefix}__group__{group}", layer.serialize(message))

    def send(self) -> None:
        """Publish everything now. Raises redis.RedisError."""
        if _speaks_pubsub():
            with cache.client().pipeline(transaction=False) as pipe:
                self.queue(pipe)
                pipe.execute()
            return
        with cache.client().pipeline(transaction=False) as pipe:
            live.mark(pipe, self._groups)
            pipe.execute()
        layer: Any = get_channel_layer()
        for group, message in self.frames():
            async_to_sync(layer.group_send)(group, message)


def publish_on_commit(account_id: UUID, device_id: UUID, event: Event) -> None:
    """Send one event when the current transaction has committed; a failure is logged, for pages also poll."""
    outbox = Outbox()
    outbox.add(account_id, device_id, event)
    after_commit(_send, outbox)


def _send(outbox: Outbox) -> None:
    outbox.send()


def end_pages(group: str) -> None:
    """Close the WebSockets of a group: their user may not go on. Raises redis.RedisError."""
    _tell(group, {"type": "live.end"})


def review_access(user_id: int, account_id: UUID) -> None:
    """Have the open pages of a user look again what they may see of an account. Raises redis.RedisError."""
    _tell(user_group(user_id), {"type": "live.access", "account": account_id.hex})


def _tell(group: str, message: dict[str, str]) -> None:
    layer, prefix = _pubsub_layer()
    cache.client().publish(f"{prefix}__group__{group}", layer.serialize(message))


def device_group(account_id: UUID, device_id: UUID) -> str:
    """Return the group of those who watch a device for as long as this account has it: one that is claimed leaves them behind.

    72 characters; Channels allows 99 (letters, digits, `-`, `_` and `.`).
    """
    return f"device.{account_id.hex}.{device_id.hex}"


def account_group(account_id: UUID) -> str:
    """Return the group of those who watch all devices of an account."""
    return f"account.{account_id.hex}"


def user_group(user_id: int) -> str:
    """Return the group of all open pages of one user."""
    return f"user.{user_id}"


def session_group(session_key: str) -> str:
    """Return the group of all open pages of one sign-in; the key itself is a secret and stays out of names."""
    return f"session.{hashlib.sha256(session_key.encode()).hexdigest()[:32]}"


def _parts(events: Iterable[Event]) -> Iterator[list[Event]]:
    """Split events so that each part stays below MAX_FRAME_BYTES, or is one event."""
    part: list[Event] = []
    size = 0
    for event in events:
        # 400 bytes: the keys and short values of any kind; only these two can be long.
        length = 400 + len(str(event.get("payload", ""))) + len(str(event.get("answer", "")))
        if part and size + length > MAX_FRAME_BYTES:
            yield part
            part, size = [], 0
        part.append(event)
        size += length
    if part:
        yield part


def _speaks_pubsub() -> bool:
    """Whether live events are plain publishes on our Valkey: the pub/sub layer, unsharded."""
    return isinstance(get_channel_layer(), RedisPubSubChannelLayer) and _layer_config().get("hosts") == [settings.VALKEY_URL]


@lru_cache(maxsize=1)
def _pubsub_layer() -> tuple[Any, str]:
    """Return the layer (for its serialisation) and its prefix."""
    return get_channel_layer(), str(_layer_config().get("prefix", "asgi"))


def _layer_config() -> Mapping[str, Any]:
    layers: Mapping[str, Any] = settings.CHANNEL_LAYERS
    return cast("Mapping[str, Any]", layers["default"].get("CONFIG", {}))
