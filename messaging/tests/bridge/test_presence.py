"""What is kept of comings and goings: the state, each change, and the spans of time in which none could be missed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devices.models import Device, DeviceEvent
from devices.tests.factories import make_device
from iotportal.uuid7 import uuid7
from messaging.bridge.inbox import Batch
from messaging.bridge.source import Incoming
from messaging.bridge.writer import Writer, Written
from messaging.models import Presence, PresenceChange, PresenceWatch, Reading
from messaging.tests.bridge.test_writer import incoming, kinds, link, of, record, told

pytestmark = pytest.mark.django_db(transaction=True)

DAY = timedelta(days=1)
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Broker:
    """Says what the embedded broker says: numbered, and stamped with whatever its wall clock shows."""

    def __init__(self, epoch: int = 1) -> None:
        self.epoch, self.sequence, self.clock = epoch, 0, NOON

    def says(self, device: Device, event: str, *, after: timedelta = timedelta(seconds=1), **details: Any) -> Incoming:
        self.sequence += 1
        self.clock += after
        order = {"epoch": self.epoch, "sequence": self.sequence}
        return link(device, event=event, at=self.clock.timestamp(), **order, **details)


@pytest.fixture
def broker() -> Broker:
    return Broker()


def changes(device: Device) -> list[tuple[str, str]]:
    return list(PresenceChange.objects.filter(device=device).order_by("id").values_list("state", "reason"))


CAME, LOST = ("connected", ""), ("disconnected", "lost")


class TestOrder:
    @pytest.mark.parametrize("step", [DAY, -DAY, timedelta(0)])
    def test_the_last_word_of_the_broker_counts_whatever_its_clock_says(
        self, writer: Writer, device: Device, broker: Broker, step: timedelta
    ) -> None:
        writer.write(Batch([broker.says(device, "connected")]))
        writer.write(Batch([broker.says(device, "disconnected", after=step, reason="lost")]))
        presence = Presence.objects.get()
        assert (presence.connected, presence.disconnected_at) == (False, broker.clock)
        writer.write(Batch([broker.says(device, "connected", after=-step)]))
        presence.refresh_from_db()
        assert (presence.connected, presence.connected_at) == (True, broker.clock)
        assert changes(device) == [CAME, LOST, CAME]

    def test_what_the_broker_repeats_or_says_too_late_changes_nothing(
        self, writer: Writer, device: Device, broker: Broker
    ) -> None:
        came, went = broker.says(device, "connected"), broker.says(device, "disconnected", after=-DAY, reason="lost")
        writer.write(Batch([came, went]))
        for again in (went, came):
            written = writer.write(Batch([again]))
            assert (written.links, kinds(written)) == ({}, [])
        assert changes(device) == [CAME, LOST]

    def test_after_the_clock_was_set_back_its_messages_and_answers_count(
        self, writer: Writer, device: Device, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tomorrow, today = datetime.now(UTC) + DAY, datetime.now(UTC)

        def speak(at: datetime, value: int) -> None:
            answer = {"number": 3, "value": value}
            writer.write(Batch([incoming(device, "get_gpio", answer, value + 1, id=uuid7(at=at.timestamp()))]))
            status = {"api": "get_status", "payload": "{}", "answer": None, "answered_ms": None, "outcome": "timeout"}
            before = uuid7(at=at.timestamp() - 6)
            writer.write(Batch(records=[record(id=before.hex, **{**of(device), **status})]))

        for at, value in ((tomorrow, 1), (today, 0)):
            writer.write(Batch([incoming(device, "get_status", {"value": "running"}, 9, id=uuid7(at=at.timestamp() - 30))]))
            speak(at, value)
        writer.write_heard(today + timedelta(seconds=5))
        presence = Presence.objects.get()
        assert presence.last_message_at is not None
        assert abs(presence.last_message_at - today) < timedelta(seconds=1)
        assert presence.asked_at is not None
        assert presence.asked_at < today
        assert presence.running is False
        assert Reading.objects.get().value == 0


class TestHistory:
    def test_each_coming_and_going_of_a_batch_is_a_row(self, writer: Writer, device: Device, broker: Broker) -> None:
        other = make_device(device.account, "Other")
        batch = [
            broker.says(device, "connected", address="10.0.0.1"),
            broker.says(other, "connected", address="10.0.0.2"),
            broker.says(device, "disconnected", reason="replaced"),
            broker.says(device, "connected", address="10.0.0.3"),
        ]
        written = writer.write(Batch(batch))
        assert changes(device) == [CAME, ("disconnected", "replaced"), CAME]
        assert changes(other) == [CAME]
        assert [row.address for row in PresenceChange.objects.filter(device=device).order_by("id")] == [
            "10.0.0.1",
            None,
            "10.0.0.3",
        ]
        assert written.links == {device.pk: True, other.pk: True}
        presence = Presence.objects.get(device=device)
        assert (presence.address, presence.disconnect_reason) == ("10.0.0.3", "replaced")

    def test_a_delivery_that_comes_again_after_a_crash_is_no_second_change(
        self, writer: Writer, device: Device, broker: Broker
    ) -> None:
        batch = [broker.says(device, "connected"), broker.says(device, "disconnected", reason="lost")]
        writer.write(Batch(batch))
        again = [Incoming(uuid7(), one.topic, one.payload, one.delivery, redelivered=True) for one in batch]
        writer.write(Batch(again))
        assert changes(device) == [CAME, LOST]

    def test_a_device_that_nobody_knows_leaves_none(self, writer: Writer, device: Device, broker: Broker) -> None:
        unknown = Device(account=device.account, name="Never saved")
        writer.write(Batch([broker.says(unknown, "connected"), broker.says(device, "connected")]))
        assert [row.device for row in PresenceChange.objects.all()] == [device]


class TestBrokerRestart:
    def test_it_takes_everybody_along_who_was_there(self, writer: Writer, device: Device, broker: Broker) -> None:
        writer.begin_session()
        off = make_device(device.account, "Off")
        writer.write(Batch([broker.says(device, "connected"), broker.says(off, "connected")]))
        writer.write(Batch([broker.says(off, "disconnected", reason="goodbye")]))
        outbox = writer.begin_session()
        assert (Presence.objects.get(device=device).disconnect_reason, Presence.objects.get(device=off).disconnect_reason) == (
            "broker",
            "goodbye",
        )
        assert changes(device) == [CAME, ("disconnected", "broker")]
        assert changes(off) == [CAME, ("disconnected", "goodbye")]
        assert outbox

    def test_they_were_there_until_the_broker_was_last_heard_of(self, writer: Writer, device: Device) -> None:
        writer.begin_session()
        heard = PresenceWatch.objects.get().until
        writer.write(Batch([link(device, event="connected", at=heard.timestamp() - 60, epoch=1, sequence=1)]))
        writer.begin_session()
        assert Presence.objects.get().disconnected_at == PresenceChange.objects.latest("id").time == heard

    def test_a_new_life_of_the_broker_counts_from_one_again(self, writer: Writer, device: Device, broker: Broker) -> None:
        broker.sequence = 1_000
        writer.write(Batch([broker.says(device, "connected")]))
        writer.begin_session()
        reborn = Broker(epoch=2)
        writer.write(Batch([reborn.says(device, "connected", after=-DAY)]))
        assert Presence.objects.get().connected
        assert changes(device) == [CAME, ("disconnected", "broker"), CAME]


class TestWatch:
    @pytest.fixture
    def set_clock(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
        """Let the wall clock be some seconds off."""
        true = time.time

        def set_(off: float) -> None:
            monkeypatch.setattr(time, "time", lambda: true() + off)

        return set_

    def watches(self) -> Sequence[PresenceWatch]:
        return list(PresenceWatch.objects.order_by("id"))

    def test_one_goes_on_while_the_broker_lives(self, writer: Writer) -> None:
        writer.begin_session()
        [first] = self.watches()
        writer.move_watch()
        writer.resume_watch()
        writer.move_watch()
        [later] = self.watches()
        assert (later.pk, later.began) == (first.pk, first.began)
        assert later.until > first.until

    def test_a_new_session_begins_a_new_one(self, writer: Writer) -> None:
        writer.begin_session()
        writer.begin_session()
        assert len(self.watches()) == 2

    def test_one_that_never_began_begins_now(self, writer: Writer) -> None:
        writer.resume_watch()
        assert len(self.watches()) == 1

    @pytest.mark.parametrize("step", [86_400.0, -86_400.0])
    def test_a_clock_that_is_set_begins_a_new_one(self, writer: Writer, set_clock: Callable[[float], None], step: float) -> None:
        writer.begin_session()
        [before] = self.watches()
        set_clock(step)
        writer.move_watch()
        writer.move_watch()
        [same, after] = self.watches()
        assert same.until == before.until
        assert abs((after.began - before.began).total_seconds() - step) < 60

    def test_one_is_not_continued_into_its_own_past(self, writer: Writer, set_clock: Callable[[float], None]) -> None:
        """The clock was set back while no bridge ran, so none saw it move."""
        writer.begin_session()
        set_clock(-3_600.0)
        writer.resume_watch()
        writer.move_watch()
        assert len(self.watches()) == 2


class TestAnswers:
    def test_the_last_answer_to_any_command_is_kept_with_its_time(self, writer: Writer, device: Device) -> None:
        command = record(**of(device), api="get_rtc", payload="{}", answer='{"value": 1}')
        writer.write(Batch(records=[command]))
        presence = Presence.objects.get()
        assert (presence.last_answer_api, presence.last_answer_ms) == ("get_rtc", 37.4)
        assert presence.last_answer_at == command.fact.ended  # type: ignore[union-attr]  # the record of a command has one
        assert (presence.running, presence.asked_at, presence.last_message_at) == (None, None, None)

    def test_silence_leaves_the_answer_before(self, writer: Writer, device: Device) -> None:
        writer.write(Batch(records=[record(**of(device))]))
        writer.write(Batch(records=[record(**of(device), api="get_rtc", outcome="timeout", answer=None, answered_ms=None)]))
        assert Presence.objects.get().last_answer_api == "get_gpio"

    def test_many_answers_are_one_write_a_second(self, writer: Writer, device: Device) -> None:
        for _ in range(3):
            last = record(**of(device))
            written = writer.write(Batch(records=[last]))
        assert written.heard == {}
        writer.write_heard(datetime.now(UTC) + timedelta(seconds=2))
        assert Presence.objects.get().last_answer_at == last.fact.ended  # type: ignore[union-attr]  # the record of a command has one


def refusals() -> list[DeviceEvent]:
    return list(DeviceEvent.objects.filter(kind="refused"))


class TestRefusals:
    def refused(self, device: Device, reason: str = "the certificate was revoked", after_s: float = 0.0) -> Incoming:
        payload = {"at": NOON.timestamp() + after_s, "reason": reason, "address": "10.9.8.7"}
        return Incoming(uuid7(), f"$SYS/portal/refusals/{device.hex}", json.dumps(payload).encode(), 1)

    def test_its_owner_can_read_that_it_was_not_let_in(self, writer: Writer, device: Device) -> None:
        written = writer.write(Batch([self.refused(device)]))
        presence = Presence.objects.get()
        assert (presence.refused_at, presence.refused_reason) == (NOON, "the certificate was revoked")
        assert not presence.connected
        [event] = told(written)
        assert event["refused_reason"] == "the certificate was revoked"
        [line] = refusals()
        assert (line.kind, line.device, line.time) == ("refused", device, NOON)
        assert line.detail == {"reason": "the certificate was revoked", "address": "10.9.8.7"}

    def test_a_device_that_tries_for_ever_does_not_fill_its_timeline(self, writer: Writer, device: Device) -> None:
        for after_s in (0, 30, 60):
            writer.write(Batch([self.refused(device, after_s=after_s)]))
        assert len(refusals()) == 1
        writer.write(Batch([self.refused(device, "protocol version", 70)]))
        writer.write(Batch([self.refused(device, "protocol version", 700)]))
        assert len(refusals()) == 3

    @pytest.mark.parametrize("payload", [b"", b"[]", b"\xff", b"{}"])
    def test_what_is_no_refusal_does_no_harm(self, writer: Writer, device: Device, payload: bytes) -> None:
        writer.write(Batch([Incoming(uuid7(), f"$SYS/portal/refusals/{device.hex}", payload, 1)]))
        assert Presence.objects.get().refused_reason == ""

    def test_one_of_a_device_that_nobody_knows_is_forgotten(self, writer: Writer, device: Device) -> None:
        written = writer.write(Batch([self.refused(Device(account=device.account, name="Never saved"))]))
        assert told(written) == []
        assert refusals() == []


def test_what_pages_are_told_has_the_last_answer(writer: Writer, device: Device) -> None:
    written: Written = writer.write(Batch(records=[record(**of(device), api="get_status", answer='{"value": "running"}')]))
    [event] = [event for event in told(written) if event["kind"] == "presence"]
    assert (event["last_answer_api"], event["last_answer_ms"], event["running"]) == ("get_status", 37.4, True)
    assert event["last_answer_at"] is not None
