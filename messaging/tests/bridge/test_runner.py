"""The bridge as a whole, on a session in memory, real PostgreSQL and Valkey."""

from __future__ import annotations

from typing import Any

import pytest

from devices.models import Device
from messaging.models import Message
from messaging.tests.bridge.memory import MemorySource
from messaging.tests.broker.wire import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def payloads(device: Device) -> list[str]:
    return list(Message.objects.filter(device_id=device.pk).order_by("id").values_list("payload", flat=True))


def speak(source: MemorySource, device: Device, start: int, end: int) -> list[str]:
    said = [f'{{"value": "{number}"}}' for number in range(start, end)]
    for text in said:
        source.publish(f"server/{device.hex}/write_uart", text.encode())
    return said


def test_it_writes_what_a_device_says_and_acknowledges_it(start: Any, source: MemorySource, device: Device) -> None:
    start()
    said = speak(source, device, 0, 700)
    wait_until(lambda: source.acknowledged == 700, "acknowledgement")
    assert payloads(device) == said


def test_it_writes_nothing_twice_when_the_connection_breaks_before_the_acknowledgement(
    start: Any, source: MemorySource, device: Device
) -> None:
    breaks = iter([True] * 3)

    def break_sometimes() -> None:
        if next(breaks, False):
            source.cut()

    source.before_ack = break_sometimes
    start()
    said = speak(source, device, 0, 1_500)
    wait_until(lambda: source.unacknowledged == 0, "acknowledgement")
    assert payloads(device) == said
    assert source.connections == 4
