"""Live events: their shapes, and that a page's channel layer understands them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from channels.layers import BaseChannelLayer, get_channel_layer
from django.db import connection, transaction
from django.test import override_settings

from messaging import events
from messaging.events import MAX_FRAME_BYTES, Outbox, device_group, message_event, publish_on_commit, timestamp

KEY, ACCOUNT, DEVICE = UUID(int=1), UUID(int=2), UUID(int=3)
NOW = datetime(2026, 5, 1, 12, 0, 0, 5, tzinfo=UTC)

MESSAGE: dict[str, Any] = {
    "id": KEY.hex, "time": events.timestamp(NOW), "device": DEVICE.hex, "direction": "from", "api": "get_ip", "payload": "{}",
    "malformed": False,
}  # fmt: skip
COMMAND: dict[str, Any] = {
    "id": KEY, "time": NOW, "device_id": DEVICE, "api": "get_ip", "payload": "{}", "outcome": "answered", "answer": "{}",
    "timeout_s": 5.0, "attempts": 1, "sent_ms": 0.1, "broker_ms": 0.2, "answered_ms": 3.0, "delivered_ms": 4.0, "late_ms": None,
    "user": "alice",
}  # fmt: skip
PRESENCE: dict[str, Any] = {
    "device_id": DEVICE, "connected": True, "connected_at": NOW, "disconnected_at": None, "reason": "", "last_message_at": NOW,
    "running": None, "asked_at": None, "answered_ms": None, "last_answer_at": NOW, "last_answer_api": "x",
    "last_answer_ms": 9.5, "refused_at": None, "refused_reason": "", "address": "10.0.0.1",
    "protocol": "MQTT 3.1.1", "tls": "TLSv1.3",
}  # fmt: skip
READING: dict[str, Any] = {"device_id": DEVICE, "key": "gpio/10", "value": 1, "at": NOW, "elapsed_ms": 38.4}
LINE: dict[str, Any] = {
    "id": KEY, "time": NOW, "device_id": DEVICE, "event": "cut", "what": "Connection cut", "more": "By root.",
}  # fmt: skip
REGISTRY: dict[str, Any] = {"device_id": DEVICE, "change": "renamed", "name": "Pump"}


@pytest.mark.parametrize(
    ("build", "values", "keys"),
    [
        (events.message_event, MESSAGE, "kind id time device direction api payload malformed"),
        (
            events.command_event,
            COMMAND,
            "kind id time device api payload outcome answer timeout_s attempts"
            " sent_ms broker_ms answered_ms delivered_ms late_ms user",
        ),
        (
            events.presence_event,
            PRESENCE,
            "kind device connected connected_at disconnected_at reason reason_text last_message_at running asked_at answered_ms"
            " last_answer_at last_answer_api last_answer_ms refused_at refused_reason address protocol tls",
        ),
        (events.reading_event, READING, "kind device key value at elapsed_ms"),
        (events.device_event, REGISTRY, "kind device change name"),
        (events.timeline_event, LINE, "kind device id time event what more"),
    ],
)
def test_each_kind_has_its_shape(build: Callable[..., dict[str, Any]], values: dict[str, Any], keys: str) -> None:
    event = build(**values)
    assert list(event) == keys.split()
    assert event["kind"] == build.__name__.removesuffix("_event")
    assert event["device"] == DEVICE.hex
    for name, value in json.loads(json.dumps(event)).items():
        if name in values:
            assert value == (timestamp(values[name]) if isinstance(values[name], datetime) else event[name])


def test_a_moment_is_spelled_in_utc_with_microseconds() -> None:
    assert timestamp(NOW) == "2026-05-01T12:00:00.000005Z"
    assert timestamp(datetime(2026, 5, 1, 14, tzinfo=timezone(timedelta(hours=2)))) == "2026-05-01T12:00:00.000000Z"


def test_many_long_events_are_split_into_frames() -> None:
    outbox = Outbox()
    for _ in range(100):
        outbox.add(ACCOUNT, DEVICE, message_event(**{**MESSAGE, "payload": "x" * 16_384}))
    frames = [message for group, message in outbox.frames() if group == f"account.{ACCOUNT.hex}"]
    assert sum(len(message["events"]) for message in frames) == 100
    assert 5 < len(frames) < 20
    assert all(len(json.dumps(message)) <= MAX_FRAME_BYTES * 1.1 for message in frames)


async def _received(send: Callable[[], object], group: str) -> dict[str, Any]:
    """Return what a page in `group` gets, from the layer it really uses."""
    layer: Any = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(group, channel)
    try:
        await sync_to_async(send)()
        received: dict[str, Any] = await asyncio.wait_for(layer.receive(channel), 10)
        return received
    finally:
        await layer.group_discard(group, channel)
        await layer.flush()


@pytest.mark.parametrize("group", [device_group(ACCOUNT, DEVICE), f"account.{ACCOUNT.hex}"])
async def test_it_arrives_as_the_layers_own_messages_do(group: str) -> None:
    outbox = Outbox()
    event = message_event(**MESSAGE)
    outbox.add(ACCOUNT, DEVICE, event)
    assert await _received(outbox.send, group) == {"type": "live.events", "events": [event]}


def test_a_device_that_another_account_has_now_is_another_group() -> None:
    outbox, event = Outbox(), message_event(**MESSAGE)
    for account in (ACCOUNT, DEVICE):
        outbox.add(account, DEVICE, event)
    assert [len(message["events"]) for _, message in outbox.frames()] == [1, 1, 1, 1]
    assert all(BaseChannelLayer().require_valid_group_name(group) for group, _ in outbox.frames())


async def test_another_layer_is_used_through_its_api() -> None:
    with override_settings(CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}):
        assert not events._speaks_pubsub()
        layer: Any = get_channel_layer()
        channel = await layer.new_channel()
        await layer.group_add(device_group(ACCOUNT, DEVICE), channel)
        outbox = Outbox()
        outbox.add(ACCOUNT, DEVICE, message_event(**MESSAGE))
        await sync_to_async(outbox.send)()
        assert (await asyncio.wait_for(layer.receive(channel), 10))["type"] == "live.events"


@pytest.mark.django_db(transaction=True)
async def test_it_leaves_when_the_change_is_committed() -> None:
    def change() -> None:
        with transaction.atomic():
            publish_on_commit(ACCOUNT, DEVICE, events.device_event(device_id=DEVICE, change="renamed", name="Pump"))
            transaction.on_commit(lambda: committed.append(True))
        connection.close()  # of the thread this runs in

    committed: list[bool] = []
    received = await _received(change, f"account.{ACCOUNT.hex}")
    assert committed
    assert received["events"][0]["name"] == "Pump"
