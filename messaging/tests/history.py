"""History rows for tests, written as the bridge would."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from devices.models import Device
from iotportal.uuid7 import uuid7
from messaging.models import Command, Message, Outcome


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def said(device: Device, direction: str, api: str, payload: str, at: datetime | None = None, **more: Any) -> Message:
    """Write a message of the history."""
    return Message.objects.create(
        time=at or now(),
        account_id=device.account_id,
        device_id=device.pk,
        direction=direction,
        api=api,
        payload=payload,
        size_bytes=len(payload.encode()),
        **more,
    )


def asked(device: Device, api: str, payload: str, answer: str | None = None, at: datetime | None = None, **more: Any) -> Command:
    """Write a command that ended."""
    answered = {"answered_ms": 37.4, "delivered_ms": 38.4} if answer is not None else {}
    values: dict[str, Any] = {
        "outcome": Outcome.ANSWERED if answer is not None else Outcome.TIMEOUT,
        "timeout_s": 5.0,
        "sent_ms": 0.3,
        "broker_ms": 0.9,
        **answered,
    }
    return Command.objects.create(
        time=at or now(),
        account_id=device.account_id,
        device_id=device.pk,
        api=api,
        payload=payload,
        answer=answer,
        **(values | more),
    )


def exchange(
    device: Device, api: str = "get_gpio", payload: str = '{"number": 4}', answer: str | None = None, at: datetime | None = None
) -> None:
    """Write a question, its answer (None: none came) and the command they were."""
    at = at or now() - timedelta(minutes=1)
    said(device, "to", api, payload, at)
    if answer is not None:
        said(device, "from", api, answer, at + timedelta(milliseconds=37))
    asked(device, api, payload, answer, at)


def many(device: Device, number: int, start: datetime, step: timedelta, api: str = "get_gpio") -> None:
    """Write `number` messages, alternately to and from the device."""
    Message.objects.bulk_create(
        [
            Message(
                id=uuid7(),
                time=start + index * step,
                account_id=device.account_id,
                device_id=device.pk,
                direction="from" if index % 2 else "to",
                api=api,
                payload=f'{{"number": {index}}}',
                size_bytes=14,
            )
            for index in range(number)
        ]
    )
