"""What messages and records say: pure."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.profiles import get_profile
from iotportal.uuid7 import time_of, uuid7
from messaging.bridge.meaning import (
    BadRecord,
    CommandFact,
    LateFact,
    LinkFact,
    Place,
    ReadingFact,
    Said,
    as_text,
    news,
    pin_number,
    read_link,
    read_record,
    read_topic,
    state_after,
    understand,
)
from messaging.models import Direction, Outcome

DEVICE = "0123456789abcdef" * 2
ANSWERS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.dictionaries(st.sampled_from(["number", "value", "error", "recipient", "message", "id"]), inner),
)
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LIMIT = 16 * 1024


def said(api: str, payload: bytes, profile: str = "standard") -> Said:
    place = read_topic(f"server/{DEVICE}/{api}")
    assert place is not None
    return understand(get_profile(profile), place, payload, NOW, LIMIT)


def command(**changes: Any) -> dict[str, Any]:
    key = uuid7()
    return {
        "v": 1,
        "id": key.hex,
        "time": time_of(key).timestamp(),
        "account": "a" * 32,
        "device": DEVICE,
        "user": 7,
        "source": "api",
        "api": "get_gpio",
        "payload": '{"number": 3}',
        "outcome": "answered",
        "answer": '{"number": 3, "value": 1}',
        "attempts": 1,
        "timeout_s": 5.0,
        "sent_ms": 0.3,
        "broker_ms": 0.9,
        "answered_ms": 37.4,
        "delivered_ms": 38.4,
        **changes,
    }


class TestTopics:
    def test_it_reads_both_directions(self) -> None:
        assert read_topic(f"{DEVICE}/get_ip") == Place(UUID(DEVICE), Direction.TO, "get_ip", proper=True)
        assert read_topic(f"server/{DEVICE}/get_ip") == Place(UUID(DEVICE), Direction.FROM, "get_ip", proper=True)

    @pytest.mark.parametrize("api", ["Get-IP", "a.b", "x" * 200, "\N{SNOWMAN}"])
    def test_it_keeps_what_a_device_says_under_an_odd_name(self, api: str) -> None:
        place = read_topic(f"server/{DEVICE}/{api}")
        assert place is not None
        assert not place.proper
        assert place.api == api[:64]

    @pytest.mark.parametrize(
        "topic", ["", "server", f"server/{DEVICE}", f"server/{DEVICE}/", f"other/{DEVICE}/x", "$SYS/portal/x"]
    )
    def test_it_knows_what_is_no_devices_topic(self, topic: str) -> None:
        assert read_topic(topic) is None


class TestPayloads:
    def test_text_stays_as_it_came(self) -> None:
        text = as_text('{"value": "é\n"}'.encode(), LIMIT)
        assert (text.payload, text.raw, text.intact) == ('{"value": "é\n"}', None, True)

    def test_what_is_no_text_is_escaped_and_kept(self) -> None:
        text = as_text(b'{"v": "\xff\0"}', LIMIT)
        assert text.payload == '{"v": "\\xff\\x00"}'
        assert text.raw == b'{"v": "\xff\0"}'
        assert not text.intact

    def test_a_long_one_is_cut_between_characters(self) -> None:
        payload = ("é" * 100).encode()
        text = as_text(payload, 101)
        assert (text.payload, text.raw, text.size_bytes, text.intact) == ("é" * 50, None, 200, False)

    @given(st.binary(max_size=300), st.integers(4, 200))
    def test_whatever_it_is_it_can_be_stored(self, payload: bytes, limit: int) -> None:
        text = as_text(payload, limit)
        assert "\0" not in text.payload
        assert len(text.payload.encode()) <= 4 * limit
        assert text.size_bytes == len(payload)
        assert text.raw in (None, payload[:limit])


class TestDevices:
    def test_a_pin_is_read_from_either_api(self) -> None:
        for api in ("get_gpio", "set_gpio"):
            assert said(api, b'{"number": "10", "value": 1}').reading == ReadingFact("gpio/10", 1, NOW)

    @pytest.mark.parametrize(
        ("api", "key", "value"),
        [
            ("get_rtc", "rtc", 1_574_000_000),
            ("set_rtc", "rtc", 1_574_000_000),
            ("get_ip", "ip", "192.168.1.2"),
            ("get_subnet", "subnet", "255.255.255.0"),
            ("get_gateway", "gateway", "192.168.1.1"),
            ("get_mac", "mac", "00:c0:ca:90:61:05"),
            ("set_mac", "mac", "00:c0:ca:90:61:05"),
        ],
    )
    def test_addresses_and_the_clock_are_readings(self, api: str, key: str, value: object) -> None:
        assert said(api, json.dumps({"value": value}).encode()).reading == ReadingFact(key, value, NOW)

    @pytest.mark.parametrize("api", ["get_status", "write_uart", "get_something", "set_status"])
    def test_nothing_else_is_one(self, api: str) -> None:
        assert said(api, b'{"value": "1"}').reading is None

    @pytest.mark.parametrize("payload", [b"", b"null", b"[1]", b"{", b"\xff", b'{"value": 1e999}', b"[" * 5_000])
    def test_nonsense_is_malformed(self, payload: bytes) -> None:
        assert said("get_rtc", payload) == Said(malformed=True)

    def test_firmwares_broken_quotes_are_not(self) -> None:
        assert not said("write_uart", b'{"value": "say "hi"!"}').malformed

    def test_an_answer_to_get_status_means_that_it_runs(self) -> None:
        assert said("get_status", b'{"value": "running"}').running
        assert not said("get_rtc", b'{"value": 1}').running

    def test_a_last_will_is_not_a_sign_of_life(self) -> None:
        assert not said("presence", b'{"value": "offline"}', "modern").alive
        assert said("presence", b'{"value": "offline"}', "standard").alive

    def test_a_notification_is_asked_for(self) -> None:
        fact = said("trigger_notification", b'{"recipient": "+3725000", "message": "Fire!"}')
        assert fact.notification == ("+3725000", "Fire!")
        assert said("trigger_notification", b'{"recipient": "+3725000"}').notification is None

    def test_an_error_of_the_device_confirms_nothing(self) -> None:
        fact = said("get_gpio", b'{"number": 1, "value": 1, "error": {"code": "x", "message": "y"}}', "modern")
        assert (fact.malformed, fact.reading) == (False, None)

    def test_the_same_words_mean_what_their_device_and_their_moment_make_of_them(self) -> None:
        payload, later = b'{"number": 1, "value": 1, "error": "x"}', NOW + timedelta(seconds=1)
        place = read_topic(f"server/{DEVICE}/get_gpio")
        assert place is not None
        for _ in range(2):
            assert said("get_gpio", payload, "modern").reading is None
            assert said("get_gpio", payload, "standard").reading == ReadingFact("gpio/1", 1, NOW)
            assert understand(get_profile("standard"), place, payload, later, LIMIT).reading == ReadingFact("gpio/1", 1, later)
            assert understand(get_profile("standard"), place, payload, NOW, 10).malformed

    @given(
        st.sampled_from(["get_gpio", "set_rtc", "get_status", "write_uart", "trigger_notification", "presence", "xyz"]),
        st.sampled_from(["standard", "ft900", "modern"]),
        st.one_of(st.binary(max_size=200), ANSWERS.map(lambda answer: json.dumps(answer).encode())),
    )
    def test_it_never_fails_over_what_a_device_says(self, api: str, profile: str, payload: bytes) -> None:
        fact = said(api, payload, profile).reading
        if fact is not None:
            json.dumps(fact.value, allow_nan=False).encode()
            assert len(fact.key) <= 80

    def test_a_pins_number_is_in_its_key(self) -> None:
        assert [pin_number(key) for key in ("gpio/10", "rtc", "gpio")] == [10, None, None]


class TestReadings:
    def test_the_message_and_the_record_of_an_answer_are_one_reading_in_either_order(self) -> None:
        message = ReadingFact("rtc", 5, NOW)
        record = ReadingFact("rtc", 5, NOW - timedelta(milliseconds=3), 38.4)
        assert message.merged(record) == record.merged(message) == ReadingFact("rtc", 5, NOW, 38.4)

    def test_an_older_value_changes_nothing(self) -> None:
        now, before = ReadingFact("rtc", 5, NOW), ReadingFact("rtc", 4, NOW - timedelta(seconds=1), 3.0)
        assert now.merged(before) == now
        assert before.merged(now) == now


class TestLinks:
    def test_it_reads_what_the_broker_says(self) -> None:
        event = {"event": "connected", "at": NOW.timestamp(), "address": "10.0.0.7", "protocol": "MQTT 3.1", "tls": "TLSv1.2"}
        fact = read_link(json.dumps(event).encode(), NOW)
        assert fact is not None
        assert (fact.connected, fact.at, fact.address, fact.tls) == (True, NOW, "10.0.0.7", "TLSv1.2")

    @pytest.mark.parametrize("payload", [b"", b"[]", b'{"event": "sleeping"}', b"\xff"])
    def test_anything_else_says_nothing(self, payload: bytes) -> None:
        assert read_link(payload, NOW) is None

    @pytest.mark.parametrize("at", ["soon", None, float("1e300"), True, NOW.timestamp() + 10**6, -1e18])
    def test_an_impossible_time_becomes_ours(self, at: object) -> None:
        fact = read_link(json.dumps({"event": "disconnected", "at": at, "reason": "x" * 99}).encode(), NOW)
        assert fact is not None
        assert (fact.at, fact.reason) == (NOW, "x" * 16)

    def test_a_short_visit_leaves_both_times(self) -> None:
        came = read_link(b'{"event": "connected", "at": 100, "epoch": 7, "sequence": 1, "tls": "TLSv1.3"}', NOW)
        went = read_link(b'{"event": "disconnected", "at": 101, "epoch": 7, "sequence": 2, "reason": "lost"}', NOW)
        assert came is not None
        assert went is not None
        state = state_after([came, went])
        assert (state.connected, state.sequence, state.tls, state.reason) == (False, 2, "TLSv1.3", "lost")
        assert (state.connected_at, state.disconnected_at) == (came.at, went.at)

    @pytest.mark.parametrize("epoch", [-1, 2**63, True, "7", 1.5, None])
    def test_a_number_that_is_none_counts_as_not_given(self, epoch: object) -> None:
        fact = read_link(json.dumps({"event": "connected", "at": 1, "epoch": epoch, "sequence": epoch}).encode(), NOW)
        assert fact is not None
        assert (fact.epoch, fact.sequence) == (0, 0)

    @given(st.integers(0, 20), st.lists(st.integers(1, 20)))
    def test_within_a_life_of_the_broker_only_what_comes_later_is_news(self, known: int, told: list[int]) -> None:
        """Whatever the wall clock said: the facts' times run backwards here."""
        facts = [LinkFact(number % 2 == 1, NOW - timedelta(hours=number), 7, number) for number in told]
        heard = [fact.sequence for fact in news(facts, 7, known)]
        assert heard == sorted(set(heard))
        assert all(number > known for number in heard)
        assert max([known, *heard]) == max([known, *told])

    def test_another_life_of_the_broker_begins_anew(self) -> None:
        facts = [LinkFact(True, NOW, 8, 1), LinkFact(True, NOW, 8, 1), LinkFact(False, NOW, 8, 2)]
        assert news(facts, 7, 1_000) == [facts[0], facts[2]]

    def test_a_broker_that_does_not_count_is_taken_at_its_word(self) -> None:
        facts = [LinkFact(True, NOW), LinkFact(False, NOW)]
        assert news(facts, 0, 0) == facts


class TestRecords:
    def test_it_reads_a_finished_command(self) -> None:
        record = command()
        fact = read_record(json.dumps(record))
        assert isinstance(fact, CommandFact)
        assert fact.time == time_of(fact.id)
        assert fact.outcome == Outcome.ANSWERED
        reading = fact.reading(get_profile("standard"))
        assert reading == ReadingFact("gpio/3", 1, fact.time + timedelta(milliseconds=37.4), 37.4)

    def test_it_reads_a_late_answer(self) -> None:
        key = uuid7()
        about = {"time": 0, "device": DEVICE, "account": "a" * 32, "answer": "{}\x00", "late_ms": 6204.1}
        text = json.dumps({"v": 1, "late": key.hex, **about})
        assert read_record(text) == LateFact(key, time_of(key), UUID(DEVICE), "{}\ufffd", 6204.1)

    @pytest.mark.parametrize(
        ("outcome", "running"),
        [
            ("answered", True), ("malformed", True), ("device_error", True),
            ("timeout", False), ("abandoned", None), ("disconnected", None),
        ],
    )  # fmt: skip
    def test_silence_is_not_running(self, outcome: str, running: bool | None) -> None:
        fact = read_record(json.dumps(command(api="get_status", outcome=outcome)))
        assert isinstance(fact, CommandFact)
        assert fact.running is running

    @pytest.mark.parametrize(
        "changes",
        [
            {"v": 2}, {"id": "zz"}, {"id": "0" * 32}, {"device": None}, {"api": "A B"}, {"outcome": "fine"}, {"attempts": "1"},
            {"attempts": 10**6}, {"sent_ms": "x"}, {"timeout_s": True}, {"user": "me"}, {"payload": None}, {"answer": 5},
        ],
    )  # fmt: skip
    def test_it_refuses_what_no_gateway_writes(self, changes: dict[str, Any]) -> None:
        with pytest.raises(BadRecord):
            read_record(json.dumps(command(**changes)))

    @given(st.sampled_from([*command(), "late"]), st.none() | st.integers() | st.text() | st.floats() | st.lists(st.none()))
    def test_it_refuses_or_reads_and_nothing_else(self, field: str, value: object) -> None:
        for text in (json.dumps({**command(), field: value}), json.dumps(value), str(value)):
            with contextlib.suppress(BadRecord):
                read_record(text)

    def test_text_that_cannot_be_stored_is_mended(self) -> None:
        fact = read_record(json.dumps(command(answer="a\0b\ud800c")))
        assert isinstance(fact, CommandFact)
        assert fact.answer == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"
