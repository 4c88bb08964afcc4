"""The one list of what happened to a device."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from devices.events import Detail, record
from devices.models import Device, DeviceEvent, EventKind
from devices.tests.factories import make_account, make_device
from iotportal.cursor import BadCursor, Cursor
from messaging import reasons
from messaging.broker.connection import Reason
from messaging.models import PresenceChange
from messaging.timeline import Line, connections, timeline

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def device(db: None, pki: Path) -> Device:
    device = make_device(make_account("alice"))
    DeviceEvent.objects.all().delete()  # what its registration wrote
    return device


def change(device: Device, minute: float, state: str = "connected", reason: str = "") -> PresenceChange:
    at = NOON + timedelta(minutes=minute)
    address = "10.0.0.1" if state == "connected" else None
    return PresenceChange.objects.create(device=device, time=at, state=state, reason=reason, address=address)


def said(device: Device, kind: EventKind, **detail: Detail) -> Line:
    DeviceEvent.objects.create(device=device, kind=kind, detail=detail)
    return timeline(device, None, 1).rows[0]


def test_connections_and_events_are_one_list_with_the_newest_first(device: Device) -> None:
    change(device, 1)
    record(device=device, kind=EventKind.RENAMED, at=NOON + timedelta(minutes=2), before="Pump", after="Well")
    change(device, 3, "disconnected", "keepalive")
    change(device, 0, "unknown")
    change(make_device(device.account, "Other"), 9)
    told = [(line.kind, line.what, line.more) for line in timeline(device).rows]
    assert told == [
        ("disconnected", "Disconnected", "Fell silent."),
        ("renamed", "Renamed", "From Pump to Well."),
        ("connected", "Connected", "From 10.0.0.1."),
    ]
    assert [line.kind for line in connections(device).rows] == ["disconnected", "connected"]


@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_pages_lead_to_every_line_once_and_back(device: Device, size: int) -> None:
    for minute in (0, 1, 1, 2, 2, 2, 5):  # many at the same moment
        change(device, minute)
        record(device=device, kind=EventKind.CUT, at=NOON + timedelta(minutes=minute))
    whole = [line.id for line in timeline(device, None, 50).rows]
    assert len(whole) == 14
    forward, cursors, cursor = [], [], None
    while True:
        page = timeline(device, cursor, size)
        forward += [line.id for line in page.rows]
        if page.next is None:
            break
        cursor = str(page.next)
        cursors.append(cursor)
    assert forward == whole
    backward = [line.id for line in page.rows]
    while page.previous is not None:
        page = timeline(device, str(page.previous), size)
        backward = [line.id for line in page.rows] + backward
    assert backward == whole


def test_a_place_that_nobody_gave_out_is_refused(device: Device) -> None:
    with pytest.raises(BadCursor):
        timeline(device, "nonsense")
    change(device, 1)
    farthest = Cursor(datetime(9999, 1, 1, tzinfo=UTC), device.pk)
    assert len(timeline(device, str(farthest)).rows) == 1


@pytest.mark.parametrize(
    ("kind", "detail", "what", "more"),
    [
        (EventKind.REGISTERED, {"name": "Pump", "by": "alice"}, "Registered", "As Pump. By alice."),
        (
            EventKind.CERTIFICATE_RENEWED, {"serial": "ab" * 20, "until": "2027-05-01T12:00:00+00:00"},
            "Certificate renewed", "Serial abababababababab…. Good until 1 May 2027.",
        ),
        (EventKind.CERTIFICATE_RENEWED, {"until": "soon"}, "Certificate renewed", ""),
        (EventKind.CERTIFICATE_REVOKED, {"serial": "ab12", "by": "bob"}, "Certificate revoked", "Serial ab12. By bob."),
        (
            EventKind.CERTIFICATE_SHARED, {"addresses": "10.0.0.1, 10.0.0.2", "serial": "1", "times": 2, "minutes": 10},
            "One certificate used from two places",
            "From 10.0.0.1, 10.0.0.2. One pushed out the other 2 times. Renew the certificate, so that only one of them has it.",
        ),
        (
            EventKind.REFUSED, {"reason": "the certificate was revoked", "address": "10.0.0.9"}, "Not let in",
            "The certificate was revoked. It came from 10.0.0.9.",
        ),
        (EventKind.OFFLINE, {"minutes": 10}, "Offline for too long", "Longer than the 10 minutes that you set."),
        (EventKind.BACK, {"seconds": 7200}, "Back again", "It was away for 2 h."),
        (EventKind.CUT, {"why": "asked to", "by": "root"}, "Connection cut", "why: asked to. By root."),
        (EventKind.CLAIMED, {"code": "", "place": 4}, "Claimed", "place: 4."),
        (EventKind.SECRET_ISSUED, {"rotated": False}, "Device password issued", ""),
        (EventKind.SECRET_ISSUED, {"rotated": True}, "Device password issued", "An earlier one ended."),
    ],
)  # fmt: skip
def test_an_event_is_told_in_a_sentence(device: Device, kind: EventKind, detail: dict[str, Detail], what: str, more: str) -> None:
    line = said(device, kind, **detail)
    assert (line.what, line.more) == (what, more)


@pytest.mark.parametrize("value", [None, 1, -1.5, True, "x" * 500, "<script>"])
def test_no_detail_breaks_a_timeline(device: Device, value: Detail) -> None:
    names = ("serial", "until", "name", "before", "after", "reason", "address", "addresses", "minutes", "seconds", "by")
    for kind in EventKind:
        line = said(device, kind, **dict.fromkeys(names, value))
        assert line.what
        assert line.icon


@pytest.mark.parametrize("reason", [*Reason, "broker"])
def test_every_reason_of_the_broker_has_its_words(reason: str) -> None:
    words = reasons.in_words(reason)
    assert words != reason.capitalize()
    assert len(words) < 40
