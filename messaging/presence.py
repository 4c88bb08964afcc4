"""What is known of a device's presence, now and over the last days: reads and the arithmetic on them.

Three things are kept apart: what the broker knows (connected), what the device said (last message), what it answered. And what is
not known is said to be unknown: outside of a `PresenceWatch` a device may have come and gone without the portal hearing of it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from devices.models import Device
from iotportal.rows import rows
from iotportal.words import seconds
from messaging.models import Presence, PresenceChange, PresenceState, PresenceWatch
from messaging.reasons import OURS, in_words

STALE = timedelta(seconds=15)  # the bridge moves the watch on every 5 s; after this it is not there
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
MAX_CHANGES = 4_000  # that are read for one device; what was before the oldest of them is then not known
MAX_WATCHES = 2_000

# From so many drops on a device is said to flap.
FLAPS_AN_HOUR, FLAPS_A_DAY = 4, 12


# --- spans -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """A coming or going."""

    time: datetime
    state: PresenceState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """What a device was from `start` to `end`."""

    start: datetime
    end: datetime
    state: PresenceState

    @property
    def length(self) -> timedelta:
        """How long it lasted."""
        return self.end - self.start


def spans(
    changes: Sequence[Change], watched: Iterable[tuple[datetime, datetime]], since: datetime, until: datetime
) -> list[Span]:
    """Cut [since, until) into what the device was.

    `changes`: in the order in which they happened, from the last one before `since` on; before the first the device was not
    connected. Where a clock was set back their times contradict their order; then the order counts, and a state that "began"
    after the next one has no length. `watched`: the spans of time about which something is known; all else is unknown.
    """
    told: list[Span] = []
    end = until
    for change in reversed(changes):
        start = min(max(change.time, since), end)
        if start < end:
            told.append(Span(start, end, change.state))
            end = start
    if since < end:
        told.append(Span(since, end, PresenceState.DISCONNECTED))
    return _joined(_veiled(reversed(told), _merged(watched, since, until), until))


def _merged(watched: Iterable[tuple[datetime, datetime]], since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """Return the watches within [since, until), in order, those that overlap as one."""
    merged: list[tuple[datetime, datetime]] = []
    for began, ended in sorted((max(one, since), min(other, until)) for one, other in watched):
        if began >= ended:
            continue
        if merged and began <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(ended, merged[-1][1]))
        else:
            merged.append((began, ended))
    return merged


def _veiled(told: Iterable[Span], watched: list[tuple[datetime, datetime]], until: datetime) -> Iterator[Span]:
    """Make unknown what lies outside of the watches."""
    for span in told:
        at = span.start
        for began, ended in watched:
            if ended <= at:
                continue
            if began >= span.end:
                break
            if began > at:
                yield Span(at, began, PresenceState.UNKNOWN)
                at = began
            yield Span(at, min(ended, span.end), span.state)
            at = min(ended, span.end)
        if at < span.end:
            yield Span(at, span.end, PresenceState.UNKNOWN)


def _joined(parts: Iterable[Span]) -> list[Span]:
    whole: list[Span] = []
    for part in parts:
        if whole and whole[-1].state == part.state:
            whole[-1] = Span(whole[-1].start, part.end, part.state)
        else:
            whole.append(part)
    return whole


# --- figures -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Uptime:
    """How much of a span of time a device was connected, and what is known of it at all."""

    since: datetime
    until: datetime
    spans: list[Span]

    def _total(self, state: PresenceState) -> float:
        return sum(span.length.total_seconds() for span in self.spans if span.state == state)

    @property
    def online_s(self) -> float:
        """Seconds in which it was connected."""
        return self._total(PresenceState.CONNECTED)

    @property
    def offline_s(self) -> float:
        """Seconds in which it was not."""
        return self._total(PresenceState.DISCONNECTED)

    @property
    def unknown_s(self) -> float:
        """Seconds of which nothing is known."""
        return self._total(PresenceState.UNKNOWN)

    @property
    def share(self) -> float | None:
        """The part, 0 to 1, of what is known in which it was connected; None where nothing is."""
        known = self.online_s + self.offline_s
        return self.online_s / known if known else None

    @property
    def outages(self) -> list[Span]:
        """The times it was not connected."""
        return [span for span in self.spans if span.state == PresenceState.DISCONNECTED]

    @property
    def outage_count(self) -> int:
        """How often it was not connected."""
        return len(self.outages)

    @property
    def words(self) -> str:
        """What it comes to, in sentences."""
        unknown = f" Nothing is known of {seconds(int(self.unknown_s))}." if self.unknown_s >= 1 else ""
        if self.share is None:
            return "Nothing is known of this time."
        if not self.outages:
            return f"Online the whole time{' that is known' if unknown else ''}.{unknown}"
        if not self.online_s:
            return f"Offline the whole time{' that is known' if unknown else ''}.{unknown}"
        return f"Online {percent(self.share)} of the time.{self._outages_in_words()}{unknown}"

    def _outages_in_words(self) -> str:
        longest = max(span.length.total_seconds() for span in self.outages)
        total = f" Offline for {seconds(int(self.offline_s))}"
        if len(self.outages) == 1:
            return f"{total}, in one outage."
        return f"{total} in {len(self.outages):,} outages, the longest {seconds(int(longest))}."


def percent(share: float) -> str:
    """Write a share as 98.2 %: cut, not rounded, so that what had an outage never reads 100 %."""
    if share >= 1:
        return "100 %"
    cut = int(share * 1000) / 10
    return f"{cut:.1f} %" if cut else "less than 0.1 %"


@dataclass(frozen=True, slots=True)
class Drops:
    """How often a connection ended lately by the device's own doing; what the portal or its broker ended does not count."""

    hour: int = 0
    day: int = 0
    most: str = ""  # the reason that the most of them had

    @property
    def flapping(self) -> bool:
        """Say whether that is too often to be well."""
        return self.hour >= FLAPS_AN_HOUR or self.day >= FLAPS_A_DAY

    @property
    def words(self) -> str:
        """The count in words."""
        if not self.day:
            return "None in 24 hours"
        return f"{self.hour:,} in the last hour, {self.day:,} in 24 hours"

    @property
    def hint(self) -> str:
        """What may be behind it, where the device flaps."""
        return _HINTS.get(self.most, "") if self.flapping else ""


_HINTS = {
    "goodbye": "It says goodbye each time: a device that sleeps between its messages does that on purpose.",
    "lost": "The connection breaks each time. Look at its power supply and its network.",
    "keepalive": "It falls silent each time. Its network drops packets, or the device is busy for longer than its keepalive.",
    "protocol": "It is closed each time for a packet that MQTT does not allow. The broker's log names it.",
    "stalled": "It does not read what is sent to it. It may be stuck in its own work.",
    "replaced": "A second connection takes its place each time. Two devices may be using one certificate.",
}


def drops(changes: Iterable[Change], now: datetime) -> Drops:
    """Count how often the connection ended in the last hour and day."""
    day: Counter[str] = Counter()
    hour: Counter[str] = Counter()
    for one in changes:
        if one.state == PresenceState.DISCONNECTED and now - DAY < one.time <= now:
            day[one.reason] += 1
            hour[one.reason] += one.time > now - HOUR
    return _drops(hour, day)


class _Ended(NamedTuple):
    """How often connections of a device ended for a reason."""

    device_id: UUID
    reason: str
    day: int
    hour: int


_ENDED = """
    SELECT device_id, reason, count(*), count(*) FILTER (WHERE time > %s)
    FROM messaging_presencechange change JOIN devices_device device ON device.id = device_id
    WHERE device_id = ANY(%s) AND state = 'disconnected' AND time > %s AND time <= %s
        AND (device.moved_at IS NULL OR time >= device.moved_at)  -- what was before is another's
    GROUP BY device_id, reason
"""


def drops_of(devices: Iterable[UUID], now: datetime) -> dict[UUID, Drops]:
    """Return how often the connection of each device ended in the last hour and day; those where it did."""
    days: dict[UUID, Counter[str]] = defaultdict(Counter)
    hours: dict[UUID, Counter[str]] = defaultdict(Counter)
    for one in rows(_Ended, _ENDED, [now - HOUR, list(devices), now - DAY, now]):
        days[one.device_id][one.reason] = one.day
        hours[one.device_id][one.reason] = one.hour
    return {device: _drops(hours[device], day) for device, day in days.items()}


def _drops(hour: Counter[str], day: Counter[str]) -> Drops:
    """Return what counts of these: what the device did itself."""
    for reason in OURS:
        del hour[reason], day[reason]
    in_hour = hour.total()
    most = (hour if in_hour >= FLAPS_AN_HOUR else day).most_common(1)
    return Drops(in_hour, day.total(), most[0][0] if most else "")


# --- what is known -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Watching:
    """Whether the portal hears of comings and goings, and since or until when."""

    began: datetime | None
    until: datetime | None
    live: bool

    @property
    def silent_since(self) -> datetime | None:
        """Since when nothing is heard; None while it is."""
        return None if self.live else self.until


def watching(now: datetime) -> Watching:
    """Return whether comings and goings are heard now."""
    newest = PresenceWatch.objects.first()
    if newest is None:
        return Watching(None, None, live=False)
    return Watching(newest.began, newest.until, live=not newest.lost and abs(now - newest.until) < STALE)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a device's connection now."""

    presence: Presence | None
    watching: Watching
    drops: Drops

    @property
    def state(self) -> str:
        """One of "connected", "disconnected", "unknown" (the broker is not heard) and "never" (it has not connected yet)."""
        presence = self.presence
        if presence is None or (presence.connected_at is None and not presence.connected):
            return "never"
        if not self.watching.live:
            return "unknown"
        return "connected" if presence.connected else "disconnected"

    @property
    def since(self) -> datetime | None:
        """Since when it has been in that state."""
        if self.presence is None or self.state == "never":
            return None
        if self.state == "unknown":
            return self.watching.until
        return self.presence.connected_at if self.presence.connected else self.presence.disconnected_at

    @property
    def went(self) -> str:
        """Why its last connection ended, in a few words."""
        return in_words(self.presence.disconnect_reason) if self.presence else ""

    @property
    def refused(self) -> bool:
        """Say whether it was turned away since it was last let in."""
        presence = self.presence
        if presence is None or presence.refused_at is None or presence.connected:
            return False
        return presence.connected_at is None or presence.refused_at > presence.connected_at


@dataclass(frozen=True, slots=True)
class Report(Known):
    """All that is known of a device's presence, now and over the last days."""

    day: Uptime
    week: Uptime


def known(devices: Sequence[Device], now: datetime) -> dict[UUID, Known]:
    """Return what is known of these devices' connections now: two queries, however many there are."""
    seen, dropped = watching(now), drops_of([device.pk for device in devices], now)
    return {device.pk: Known(getattr(device, "presence", None), seen, dropped.get(device.pk, Drops())) for device in devices}


def report(device: Device, now: datetime) -> Report:
    """Return all that is known of a device's presence."""
    since = max(now - WEEK, device.moved_at or device.created_at)  # what was before is another's business
    found, whole = _changes(device.pk, since)
    seen = watching(now)
    spans_of = _watches(since, now, seen)
    if not whole:  # more than are read: nothing is said of the time before
        oldest = min(change.time for change in found)
        spans_of = [(max(began, oldest), ended) for began, ended in spans_of]
    day, week = (Uptime(start, now, spans(found, spans_of, start, now)) for start in (max(now - DAY, since), since))
    dropped = drops([change for change in found if change.time >= since], now)
    return Report(getattr(device, "presence", None), seen, dropped, day, week)


def _changes(device: UUID, since: datetime) -> tuple[list[Change], bool]:
    """Return a device's changes since then and the last one before, in their order; False: there were more than are read."""
    of_device = PresenceChange.objects.filter(device_id=device)
    rows = list(
        of_device.filter(time__gte=since).order_by("-time", "-id").values_list("id", "time", "state", "reason")[: MAX_CHANGES + 1]
    )
    whole = len(rows) <= MAX_CHANGES
    if whole:
        rows += of_device.filter(time__lt=since).order_by("-time", "-id").values_list("id", "time", "state", "reason")[:1]
    return [Change(time, PresenceState(state), reason) for _, time, state, reason in sorted(rows[:MAX_CHANGES])], whole


def _watches(since: datetime, now: datetime, seen: Watching) -> list[tuple[datetime, datetime]]:
    rows = PresenceWatch.objects.filter(until__gte=since, began__lte=now).values_list("began", "until")[:MAX_WATCHES]
    found = list(rows)
    if seen.live and seen.until is not None and seen.until < now:
        found.append((seen.until, now))  # it is moved on every few seconds only
    return found
