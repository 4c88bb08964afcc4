"""What is known of presence: spans, figures and their words, pure; and what is read of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from devices.models import Device
from devices.tests.factories import make_account, make_device
from messaging import presence as presence_module
from messaging.models import Presence, PresenceChange, PresenceState, PresenceWatch
from messaging.presence import Change, Span, Uptime, drops, known, report, spans

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
ON, OFF, UNKNOWN = PresenceState.CONNECTED, PresenceState.DISCONNECTED, PresenceState.UNKNOWN


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def came(minutes: float) -> Change:
    return Change(at(minutes), ON)


def went(minutes: float, reason: str = "lost") -> Change:
    return Change(at(minutes), OFF, reason)


def cut(
    changes: list[Change], watched: list[tuple[float, float]] | None = None, until: float = 60
) -> list[tuple[float, float, str]]:
    """Return the spans of [0, until) as (minute, minute, state)."""
    seen = [(at(-999), at(999))] if watched is None else [(at(one), at(other)) for one, other in watched]
    return [
        ((one.start - NOON) / timedelta(minutes=1), (one.end - NOON) / timedelta(minutes=1), one.state)
        for one in spans(changes, seen, NOON, at(until))
    ]


class TestSpans:
    def test_a_device_is_what_its_last_change_made_it(self) -> None:
        assert cut([came(-5), went(10), came(20)]) == [(0, 10, ON), (10, 20, OFF), (20, 60, ON)]

    def test_before_its_first_change_it_was_not_connected(self) -> None:
        assert cut([came(10)]) == [(0, 10, OFF), (10, 60, ON)]
        assert cut([]) == [(0, 60, OFF)]

    def test_what_nobody_watched_is_unknown(self) -> None:
        assert cut([came(-5)], [(-9, 10), (20, 50)]) == [(0, 10, ON), (10, 20, UNKNOWN), (20, 50, ON), (50, 60, UNKNOWN)]
        assert cut([came(-5), went(15)], [(0, 10), (20, 60)]) == [(0, 10, ON), (10, 20, UNKNOWN), (20, 60, OFF)]
        assert cut([came(-5)], []) == [(0, 60, UNKNOWN)]

    def test_watches_that_overlap_are_one(self) -> None:
        assert cut([came(-5)], [(30, 60), (0, 40), (10, 20)]) == [(0, 60, ON)]

    def test_what_is_older_than_what_is_kept_is_unknown(self) -> None:
        assert cut([Change(at(5), UNKNOWN), came(10)]) == [(0, 5, OFF), (5, 10, UNKNOWN), (10, 60, ON)]

    def test_a_clock_that_was_ahead_for_a_while_leaves_no_time_of_its_own(self) -> None:
        day = 24 * 60
        assert cut([came(-5), went(day + 10), came(day + 11), went(30)]) == [(0, 30, ON), (30, 60, OFF)]

    @given(
        st.lists(st.tuples(st.integers(-100, 200), st.sampled_from([ON, OFF, UNKNOWN])), max_size=12),
        st.lists(st.tuples(st.integers(-100, 200), st.integers(-100, 200)), max_size=6),
    )
    def test_whatever_the_clocks_said_the_spans_fill_the_time_once(
        self, told: list[tuple[int, PresenceState]], watched: list[tuple[int, int]]
    ) -> None:
        changes = [Change(at(minutes), state) for minutes, state in told]
        found = spans(changes, [(at(one), at(other)) for one, other in watched], NOON, at(60))
        assert (found[0].start, found[-1].end) == (NOON, at(60))
        assert all(one.end == other.start and one.state != other.state for one, other in pairwise(found))
        assert all(one.start < one.end for one in found)


def uptime(*parts: tuple[float, PresenceState]) -> Uptime:
    """Return an uptime of parts that last some minutes each."""
    found, start = [], NOON
    for minutes, state in parts:
        found.append(Span(start, start + timedelta(minutes=minutes), state))
        start = found[-1].end
    return Uptime(NOON, start, found)


class TestUptime:
    @pytest.mark.parametrize(
        ("parts", "words"),
        [
            ([(60, ON)], "Online the whole time."),
            ([(60, OFF)], "Offline the whole time."),
            ([(50, ON), (10, UNKNOWN)], "Online the whole time that is known. Nothing is known of 10 min."),
            ([(50, OFF), (10, UNKNOWN)], "Offline the whole time that is known. Nothing is known of 10 min."),
            ([(60, UNKNOWN)], "Nothing is known of this time."),
            ([(45, ON), (15, OFF)], "Online 75.0 % of the time. Offline for 15 min, in one outage."),
            (
                [(40, ON), (5, OFF), (10, ON), (15, OFF), (10, UNKNOWN), (30, ON)],
                "Online 80.0 % of the time. Offline for 20 min in 2 outages, the longest 15 min. Nothing is known of 10 min.",
            ),
            ([(99_999, ON), (1, OFF)], "Online 99.9 % of the time. Offline for 60 s, in one outage."),
            ([(0.01, ON), (9_999, OFF)], "Online less than 0.1 % of the time. Offline for 6 d, in one outage."),
        ],
    )
    def test_it_is_told_in_words(self, parts: list[tuple[float, PresenceState]], words: str) -> None:
        assert uptime(*parts).words == words

    def test_what_is_unknown_counts_neither_way(self) -> None:
        assert uptime((30, ON), (30, OFF), (600, UNKNOWN)).share == 0.5
        assert uptime((60, UNKNOWN)).share is None


class TestDrops:
    def test_only_what_the_device_did_itself_counts(self) -> None:
        told = [went(-5), went(-10, "broker"), went(-15, "revoked"), went(-20, "operator"), went(-90), came(-1), went(-60 * 25)]
        found = drops(told, NOON)
        assert (found.hour, found.day, found.flapping, found.hint) == (1, 2, False, "")
        assert found.words == "1 in the last hour, 2 in 24 hours"
        assert drops([], NOON).words == "None in 24 hours"

    @pytest.mark.parametrize(
        ("reason", "word"), [("replaced", "one certificate"), ("keepalive", "silent"), ("lost", "power"), ("goodbye", "sleeps")]
    )
    def test_a_device_that_flaps_gets_a_hint_that_fits_its_reason(self, reason: str, word: str) -> None:
        found = drops([went(-minute, reason) for minute in range(1, 5)], NOON)
        assert found.flapping
        assert word in found.hint

    def test_what_the_clock_put_into_the_future_does_not_count(self) -> None:
        assert drops([went(60 * 24)] * 9, NOON).day == 0


class TestReport:
    @pytest.fixture
    def device(self, db: None, pki: Path) -> Device:
        device = make_device(make_account("alice"))
        Device.objects.filter(pk=device.pk).update(created_at=NOON - timedelta(days=30))
        device.refresh_from_db()
        return device

    def watched(self, since: float, until: float) -> None:
        PresenceWatch.objects.create(began=at(since), until=at(until))

    def changed(self, device: Device, *changes: Change) -> None:
        for one in changes:
            PresenceChange.objects.create(device=device, time=one.time, state=one.state, reason=one.reason)
        last = changes[-1]
        values = {"connected_at": last.time} if last.state == ON else {"disconnected_at": last.time, "connected_at": at(-999)}
        Presence.objects.filter(device=device).update(connected=last.state == ON, **values)
        device.refresh_from_db()

    def test_it_says_what_is_known_now_and_was(self, device: Device) -> None:
        self.watched(-60 * 48, -0.05)
        self.changed(device, came(-60 * 30), went(-60 * 6), came(-60 * 3))
        found = report(device, NOON)
        assert (found.state, found.since) == ("connected", at(-180))
        assert found.day.words == "Online 87.5 % of the time. Offline for 3 h, in one outage."
        assert found.week.unknown_s == 5 * 24 * 3600
        assert found.drops.day == 1

    def test_a_watch_that_has_ended_leaves_nothing_known_now(self, device: Device) -> None:
        self.watched(-60 * 48, -10)
        self.changed(device, came(-60 * 30))
        found = report(device, NOON)
        assert (found.state, found.since) == ("unknown", at(-10))
        assert found.day.spans[-1] == Span(at(-10), NOON, UNKNOWN)

    def test_a_device_that_never_came_has_never_connected(self, device: Device) -> None:
        self.watched(-60 * 48, 0)
        found = report(device, NOON)
        assert (found.state, found.since, found.day.words) == ("never", None, "Offline the whole time.")

    def test_a_device_is_not_blamed_for_the_time_before_it_was_registered(self, device: Device) -> None:
        self.watched(-60 * 48, 0)
        Device.objects.filter(pk=device.pk).update(created_at=at(-10))
        device.refresh_from_db()
        self.changed(device, came(-10))
        found = report(device, NOON)
        assert (found.day.since, found.week.words) == (at(-10), "Online the whole time.")

    def test_what_was_before_a_device_came_to_its_owner_is_not_told(self, device: Device) -> None:
        self.watched(-60 * 48, 0)
        Device.objects.filter(pk=device.pk).update(moved_at=at(-10))
        device.refresh_from_db()
        self.changed(device, came(-60 * 30), went(-60), came(-50), went(-40), came(-30))
        found = report(device, NOON)
        assert (found.day.since, found.week.words, found.drops.day) == (at(-10), "Online the whole time.", 0)
        assert known([device], NOON)[device.pk].drops.day == 0

    def test_of_more_changes_than_are_read_the_newest_count(self, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(presence_module, "MAX_CHANGES", 4)
        self.watched(-60 * 48, 0)
        self.changed(device, *[change for minute in range(-50, 0, 10) for change in (came(minute), went(minute + 5))])
        found = report(device, NOON)
        assert found.day.spans[0] == Span(at(-60 * 24), at(-20), UNKNOWN)
        assert found.drops.hour == 2

    def test_it_takes_four_queries(self, device: Device, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        self.changed(device, came(-60 * 30), went(-60 * 6), came(-60 * 3))
        device = Device.objects.select_related("presence").get(pk=device.pk)
        with django_assert_num_queries(4):
            report(device, NOON)
