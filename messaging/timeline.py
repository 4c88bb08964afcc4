"""The timeline of a device: its connections and what else happened to it, as one list, newest first.

Connections are `PresenceChange` rows, all else is what `devices.events.record` wrote; they are merged when they are read, by key
set on (time, id), so a page costs the same however long the list is.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime

from devices.models import Device, DeviceEvent, EventKind, since_moved
from iotportal.cursor import Cursor, Page, page_of
from iotportal.words import plural, seconds
from messaging import reasons
from messaging.models import PresenceChange, PresenceState

_HIGHEST = 2**63 - 1  # of a change's id; as UUIDs they all come before those of events


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened: in a few words, and what there is to say about it."""

    time: datetime
    id: UUID
    kind: str
    what: str
    more: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[datetime, int]:
        """Its place in the list."""
        return self.time, self.id.int

    @property
    def icon(self) -> str:
        """What is drawn beside it."""
        return _ICONS.get(self.kind, "info-circle")

    @property
    def tone(self) -> str:
        """How it is meant: "live", "warn", "bad" or nothing."""
        return _TONES.get(self.kind, "")


Lines = Page[Line]  # newest first, with the cursors to what is older (`next`) and newer (`previous`)


def timeline(device: Device, cursor: str | None = None, limit: int = 50) -> Lines:
    """Return a page of all that happened to a device. Raises iotportal.cursor.BadCursor."""
    return _page([_changes, _events], device, cursor, limit)


def connections(device: Device, cursor: str | None = None, limit: int = 50) -> Lines:
    """Return a page of its comings and goings. Raises iotportal.cursor.BadCursor."""
    return _page([_changes], device, cursor, limit)


# --- reading -----------------------------------------------------------------------------------------------------------------

_Source = Callable[[Device, Cursor | None], Iterable[Line]]


def _page(sources: list[_Source], device: Device, text: str | None, limit: int) -> Lines:
    place = Cursor.parse(text) if text else None
    back = place is not None and place.back
    parts = [islice(source(device, place), limit + 1) for source in sources]
    rows = list(islice(heapq.merge(*parts, key=lambda line: line.key, reverse=not back), limit + 1))
    return page_of(rows, limit, place, lambda line: (line.time, line.id))


def _changes(device: Device, place: Cursor | None) -> Iterable[Line]:
    rows = _owners(PresenceChange.objects.filter(device=device), device).exclude(state=PresenceState.UNKNOWN)
    if place is not None and place.id.int > _HIGHEST:  # an event: every change of its time comes before it
        rows = rows.filter(time__gt=place.time) if place.back else rows.filter(time__lte=place.time)
    else:
        rows = _beyond(rows, place, place and place.id.int)
    for row in _ordered(rows, place):
        yield _connection(row)


def _events(device: Device, place: Cursor | None) -> Iterable[Line]:
    for row in _ordered(_beyond(_owners(DeviceEvent.objects.filter(device=device), device), place, place and place.id), place):
        yield line_of(row)


def _owners(rows: QuerySet[Any], device: Device) -> QuerySet[Any]:
    """Leave out what happened before the device came to its account: that is another's business."""
    return rows.filter(since_moved(device))


def _beyond(rows: QuerySet[Any], place: Cursor | None, key: object) -> QuerySet[Any]:
    if place is None:
        return rows
    if place.back:
        return rows.filter(time__gte=place.time).exclude(time=place.time, id__lte=key)
    return rows.filter(time__lte=place.time).exclude(time=place.time, id__gte=key)


def _ordered(rows: QuerySet[Any], place: Cursor | None) -> Iterable[Any]:
    order = ("time", "id") if place is not None and place.back else ("-time", "-id")
    # As many as a page needs at the most, in one round trip; `_page` takes fewer.
    return rows.order_by(*order)[:MAX_PAGE]


MAX_PAGE = 201


# --- in words ----------------------------------------------------------------------------------------------------------------


def _connection(row: PresenceChange) -> Line:
    key = UUID(int=row.pk)
    if row.state == PresenceState.CONNECTED:
        origin = f"From {row.address}." if row.address else ""
        return Line(row.time, key, row.state, "Connected", origin, {"address": row.address})
    why = reasons.in_words(row.reason)
    return Line(row.time, key, row.state, "Disconnected", f"{why}." if why else "", {"reason": row.reason})


def line_of(event: DeviceEvent) -> Line:
    """Return an event as a line of the timeline."""
    return Line(event.time, event.id, event.kind, *_said(event), detail=event.detail)


def _said(event: DeviceEvent) -> tuple[str, str]:
    """Return an event as a few words and what there is to say about it."""
    what, more = _EVENTS.get(event.kind, (EventKind(event.kind).label.capitalize(), _whatever))
    by = event.detail.get("by")
    return what, " ".join(filter(None, (more(event.detail), f"By {by}." if by else "")))


def _whatever(detail: Mapping[str, Any]) -> str:
    """Say what there is of a kind that has no sentence of its own."""
    told = [f"{name.replace('_', ' ')}: {value}" for name, value in detail.items() if name != "by" and value not in (None, "")]
    return f"{'; '.join(told)}." if told else ""


def _nothing(_detail: Mapping[str, Any]) -> str:
    return ""


def _serial(detail: Mapping[str, Any]) -> str:
    serial = str(detail.get("serial") or "")
    return f"Serial {serial[:16]}{'…' if len(serial) > 16 else ''}." if serial else ""


def _moment(detail: Mapping[str, Any]) -> datetime | None:
    try:
        return parse_datetime(str(detail.get("until") or ""))
    except ValueError:
        return None


def _until(detail: Mapping[str, Any]) -> str:
    until = _moment(detail)
    good = f" Good until {until.day} {until:%b %Y}." if until else ""
    return f"{_serial(detail)}{good}".strip()


def _rescued(detail: Mapping[str, Any]) -> str:
    until = _moment(detail)
    window = f"Until {until.day} {until:%b %Y, %H:%M} UTC. " if until else ""
    return f"{window}{_serial(detail)}".strip()


def _changed(detail: Mapping[str, Any]) -> str:
    before, after = detail.get("before"), detail.get("after")
    return f"From {before} to {after}." if before and after else _whatever(detail)


def _refused(detail: Mapping[str, Any]) -> str:
    origin = f" It came from {detail['address']}." if detail.get("address") else ""
    reason = str(detail.get("reason") or "")
    return f"{reason[:1].upper()}{reason[1:]}.{origin}" if reason else origin.strip()


def _minutes(detail: Mapping[str, Any]) -> str:
    minutes = detail.get("minutes")
    return f"Longer than the {plural(minutes, 'minute')} that you set." if isinstance(minutes, int) else ""


def _away(detail: Mapping[str, Any]) -> str:
    away = detail.get("seconds")
    return f"It was away for {seconds(int(away))}." if isinstance(away, int | float) else ""


def _shared(detail: Mapping[str, Any]) -> str:
    places = f"From {detail['addresses']}. " if detail.get("addresses") else ""
    times = detail.get("times")
    often = f"One pushed out the other {'once' if times == 1 else plural(times, 'time')}. " if isinstance(times, int) else ""
    return f"{places}{often}Renew the certificate, so that only one of them has it."


_EVENTS: dict[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    EventKind.REGISTERED: ("Registered", lambda detail: f"As {detail['name']}." if detail.get("name") else ""),
    EventKind.RENAMED: ("Renamed", _changed),
    EventKind.PROFILE_CHANGED: ("Kind changed", _changed),
    EventKind.CERTIFICATE_ISSUED: ("Certificate issued", _until),
    EventKind.CERTIFICATE_RENEWED: ("Certificate renewed", _until),
    EventKind.CERTIFICATE_REVOKED: ("Certificate revoked", _serial),
    EventKind.CERTIFICATE_RETIRED: ("Old certificate retired", _serial),
    EventKind.CERTIFICATE_EXPIRING: ("Certificate ends soon", _until),
    EventKind.CERTIFICATE_EXPIRED: ("Certificate ended", _serial),
    EventKind.CERTIFICATE_RESCUED: ("Expired certificate let in again", _rescued),
    EventKind.CERTIFICATE_SHARED: ("One certificate used from two places", _shared),
    EventKind.KEY_FORGOTTEN: ("Kept key destroyed", lambda _: "The portal has no copy of it any more."),
    EventKind.CUT: ("Connection cut", _whatever),
    EventKind.REFUSED: ("Not let in", _refused),
    EventKind.OFFLINE: ("Offline for too long", _minutes),
    EventKind.BACK: ("Back again", _away),
    EventKind.SECRET_ISSUED: (
        "Device password issued",
        lambda detail: "An earlier one ended." if detail.get("rotated") else "",
    ),
    EventKind.SECRET_REVOKED: ("Device password revoked", _nothing),
}
_ICONS: dict[str, str] = {
    PresenceState.CONNECTED: "plug-connected",
    PresenceState.DISCONNECTED: "plug-connected-x",
    EventKind.REGISTERED: "cpu",
    EventKind.RENAMED: "pencil",
    EventKind.CLAIMED: "tag",
    EventKind.PROFILE_CHANGED: "settings",
    EventKind.CERTIFICATE_SHARED: "alert-triangle",
    EventKind.KEY_FORGOTTEN: "key",
    EventKind.SECRET_ISSUED: "key",
    EventKind.SECRET_REVOKED: "key",
    EventKind.CUT: "x",
    EventKind.REFUSED: "shield-lock",
    EventKind.OFFLINE: "bell",
    EventKind.BACK: "bell",
    **{kind: "certificate" for kind in EventKind if kind.startswith("certificate_") and kind != EventKind.CERTIFICATE_SHARED},
}
_TONES: dict[str, str] = {
    PresenceState.CONNECTED: "live",
    EventKind.BACK: "live",
    EventKind.OFFLINE: "warn",
    EventKind.CERTIFICATE_EXPIRING: "warn",
    EventKind.CERTIFICATE_EXPIRED: "bad",
    EventKind.CERTIFICATE_SHARED: "bad",
    EventKind.CERTIFICATE_REVOKED: "bad",
    EventKind.REFUSED: "bad",
    EventKind.CUT: "bad",
}
