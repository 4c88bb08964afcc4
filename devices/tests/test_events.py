from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, transaction

from accounts.models import Account
from devices import hooks
from devices.events import record
from devices.models import DeviceEvent, EventKind
from devices.tests.factories import make_device

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@contextmanager
def heard() -> Iterator[list[DeviceEvent]]:
    events: list[DeviceEvent] = []
    hooks.device_event_recorded.register(events.append)
    try:
        yield events
    finally:
        hooks.device_event_recorded._handlers.remove(events.append)


def test_what_happened_is_written_once_and_told(account: Account) -> None:
    device = make_device(account)
    with heard() as events:
        made = record(device=device, kind=EventKind.CUT, at=NOW, reason="revoked", serial="0a1b")
    assert events == [made]
    kept = DeviceEvent.objects.get(pk=made.pk)
    assert (kept.device, kept.kind, kept.time, kept.detail) == (device, "cut", NOW, {"reason": "revoked", "serial": "0a1b"})


def test_the_newest_event_comes_first(account: Account) -> None:
    device = make_device(account)
    first = record(device=device, kind=EventKind.OFFLINE)
    second = record(device=device, kind=EventKind.BACK)
    assert list(DeviceEvent.objects.filter(pk__in=[first.pk, second.pk])) == [second, first]


def test_an_event_goes_with_the_transaction_that_it_is_about(account: Account) -> None:
    device = make_device(account)
    with transaction.atomic():
        record(device=device, kind=EventKind.CUT)
        transaction.set_rollback(True)
    assert not DeviceEvent.objects.filter(kind=EventKind.CUT).exists()


def test_the_detail_of_an_event_is_short(account: Account) -> None:
    device = make_device(account)
    with pytest.raises(ValueError, match="2000 bytes"):
        record(device=device, kind=EventKind.CUT, reason="x" * 2_000)


def test_the_database_knows_the_kinds(account: Account) -> None:
    device = make_device(account)
    with pytest.raises(IntegrityError, match="device_event_kind_known"), transaction.atomic():
        DeviceEvent.objects.create(device=device, kind="exploded")
