"""One batch in one transaction, on real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from devices.models import Device, Pin
from devices.services import delete_device
from devices.tests.factories import make_device
from iotportal.uuid7 import time_of, uuid7
from messaging.bridge import journal as journal_module
from messaging.bridge.database import Database, PartitionMissing, Poison
from messaging.bridge.directory import Directory
from messaging.bridge.inbox import Batch
from messaging.bridge.journal import Journal, Overtaken
from messaging.bridge.meaning import CommandFact, Record, read_record
from messaging.bridge.source import Incoming
from messaging.bridge.writer import Care, Uncommitted, Writer, Written
from messaging.models import Command, JournalEntry, Message, Presence, Reading
from messaging.tests.bridge.proxy import Break, Proxy
from messaging.tests.bridge.test_meaning import command

pytestmark = pytest.mark.django_db(transaction=True)

SESSION = "portal.bridge"


def incoming(device: Device, api: str, payload: bytes | dict[str, Any], delivery: int = 1, **more: Any) -> Incoming:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Incoming(more.pop("id", None) or uuid7(), f"server/{device.hex}/{api}", data, delivery, **more)


def link(device: Device, **event: Any) -> Incoming:
    return Incoming(uuid7(), f"$SYS/portal/connections/{device.hex}", json.dumps(event).encode(), 1)


def record(**changes: Any) -> Record:
    return Record("1-1", read_record(json.dumps(command(**changes))))


def of(device: Device) -> dict[str, str]:
    """Return what a command's record says of its device."""
    return {"device": device.hex, "account": device.account_id.hex}


def kinds(written: Written) -> list[str]:
    return [event["kind"] for event in told(written)]


def told(written: Written) -> list[Any]:
    """Return the events that pages watching a device hear."""
    frames = written.outbox.frames()
    return [event for group, message in frames if group.startswith("device.") for event in message["events"]]


class TestHistory:
    @pytest.mark.parametrize("copies", [1, 150])
    def test_a_row_says_all_there_is(self, writer: Writer, device: Device, copies: int) -> None:
        """Few rows go by INSERT, many by COPY: the same rows."""
        payload = b'{"value": "tab\\t back\\\\ \xff \0 \xc3\xa9"}'
        messages = [incoming(device, "write_uart", payload, number) for number in range(1, copies + 1)]
        written = writer.write(Batch(messages))
        rows = list(Message.objects.order_by("id"))
        assert [row.id for row in rows] == [message.id for message in messages]
        row = rows[0]
        assert row.time == time_of(messages[0].id)
        assert (row.account_id, row.device_id, row.direction, row.api) == (device.account_id, device.pk, "from", "write_uart")
        assert row.payload == '{"value": "tab\\t back\\\\ \\xff \\x00 \N{LATIN SMALL LETTER E WITH ACUTE}"}'
        assert bytes(row.raw or b"") == payload
        assert (row.size_bytes, row.malformed) == (len(payload), True)
        assert (written.rows, written.malformed) == (copies, copies)

    def test_a_command_on_its_way_is_a_row_to_the_device(self, writer: Writer, device: Device) -> None:
        writer.write(Batch([Incoming(uuid7(), f"{device.hex}/get_rtc", b"{}", 1)]))
        row = Message.objects.get()
        assert (row.direction, row.api, row.payload, row.malformed) == ("to", "get_rtc", "{}", False)

    def test_a_long_payload_is_cut_and_marked(self, writer: Writer, device: Device, settings: Any) -> None:
        settings.MAX_PAYLOAD_BYTES = 128
        writer.write(Batch([incoming(device, "x", {"value": "y" * 500})]))
        row = Message.objects.get()
        assert (len(row.payload), row.malformed, row.raw) == (128, True, None)
        assert row.size_bytes > 500

    def test_what_nobody_knows_is_dropped_and_counted(self, writer: Writer, device: Device) -> None:
        gone = make_device(device.account, "Gone")
        delete_device(device=gone)
        stranger, nowhere = Incoming(uuid7(), f"server/{uuid4().hex}/x", b"{}", 2), Incoming(uuid7(), "a/b", b"", 3)
        assert writer.write(Batch([incoming(gone, "x", b"{}", 1), stranger, nowhere])).dropped == 3
        assert not Message.objects.exists()

    def test_missing_partitions_are_told_from_bad_data(self, writer: Writer, device: Device) -> None:
        old = incoming(device, "x", b"{}", id=uuid7(at=1_000_000_000.0))
        with pytest.raises(PartitionMissing):
            writer.write(Batch([old]))
        assert writer.write(Batch([old]), Care.NONE).dropped == 1

    def test_what_the_database_refuses_is_poison_and_leaves_nothing(self, writer: Writer, device: Device) -> None:
        with pytest.raises(Poison):
            writer.write(Batch([incoming(device, "x", b"{}")], [record(user=2**70)]))
        assert not Message.objects.exists()
        assert writer.write(Batch([incoming(device, "x", b"{}")])).rows == 1


class TestJournal:
    def test_a_delivery_that_comes_again_is_known(self, writer: Writer, device: Device) -> None:
        first = incoming(device, "x", b"{}", 7)
        writer.write(Batch([first]))
        again = incoming(device, "x", b"{}", 7, redelivered=True)
        new = incoming(device, "x", b"{}", 8, redelivered=True)
        written = writer.write(Batch([again, new]))
        assert (written.rows, written.duplicates) == (1, 1)
        assert set(Message.objects.values_list("id", flat=True)) == {first.id, new.id}

    def test_the_same_number_with_other_content_is_new(self, writer: Writer, device: Device) -> None:
        writer.write(Batch([incoming(device, "x", b"{}", 7)]))
        assert writer.write(Batch([incoming(device, "x", b'{"a": 1}', 7, redelivered=True)])).rows == 1

    def test_a_delivery_that_is_new_is_never_looked_up(self, writer: Writer, device: Device) -> None:
        """Packet ids come round; without DUP it is another message, however equal."""
        for _ in range(3):
            assert writer.write(Batch([incoming(device, "x", b"{}", 7)])).rows == 1

    def test_a_new_session_makes_the_journal_void(self, writer: Writer, device: Device) -> None:
        writer.write(Batch([incoming(device, "x", b"{}", 7)]))
        writer.begin_session()
        assert writer.write(Batch([incoming(device, "x", b"{}", 7, redelivered=True)])).rows == 1

    def test_what_is_older_than_the_window_is_forgotten(
        self, writer: Writer, device: Device, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(journal_module, "WINDOW", 10)
        monkeypatch.setattr(journal_module, "PRUNE_EVERY", 5)
        writer.write(Batch([incoming(device, "x", b"{}", 1)]))
        writer.write(Batch([incoming(device, "x", b"{}", number) for number in range(2, 12)]))
        assert writer.write(Batch([incoming(device, "x", b"{}", 1, redelivered=True)])).rows == 1
        assert JournalEntry.objects.exclude(packet_id=0).count() <= 11

    def test_quality_0_is_not_entered(self, writer: Writer, device: Device) -> None:
        assert writer.write(Batch([incoming(device, "x", b"{}", 0)])).rows == 1
        assert [entry.packet_id for entry in JournalEntry.objects.all()] == [0]

    def test_another_bridge_cannot_write_after_a_takeover(self, writer: Writer, device: Device) -> None:
        second = Database()
        second.connect()
        assert not second.take_lock()
        other = Writer(second, Journal(SESSION), Directory())
        other.claim()  # as if the lock had been lost unnoticed
        with pytest.raises(Overtaken):
            writer.write(Batch([incoming(device, "x", b"{}")]))
        assert other.write(Batch([incoming(device, "x", b"{}")])).rows == 1
        assert not writer.claim()
        second.close()

    def test_the_lock_is_free_when_its_holder_is_gone(self, writer: Writer, database: Database) -> None:
        second = Database()
        second.connect()
        assert not second.take_lock()
        database.close()
        deadline = datetime.now(UTC) + timedelta(seconds=10)
        while not second.take_lock():
            assert datetime.now(UTC) < deadline
        second.close()


class TestCommitsWithAnUnknownEnd:
    @pytest.fixture
    def proxy(self, account: Any) -> Iterator[Proxy]:
        with Proxy() as proxy:
            yield proxy

    @pytest.mark.parametrize(("where", "committed"), [(Break.BEFORE, False), (Break.AFTER, True)])
    def test_the_position_tells(self, proxy: Proxy, device: Device, where: Break, committed: bool) -> None:
        database = Database(**proxy.parameters)
        database.connect()
        assert database.take_lock()
        writer = Writer(database, Journal(SESSION), Directory())
        writer.claim()
        batch = Batch([incoming(device, "x", b"{}", 5)])
        proxy.next_commit = where
        with pytest.raises(Uncommitted) as caught:
            writer.write(batch)
        database.connect()
        while not database.take_lock():  # until the old session has ended, the commit may still be under way
            pass
        assert writer.claim()
        assert writer.was_committed(caught.value.written) is committed
        assert Message.objects.count() == committed
        if not committed:
            writer.write(batch)
        assert Message.objects.count() == 1
        database.close()


class TestCommands:
    def test_it_is_written_once_however_often_it_is_read(self, writer: Writer, device: Device) -> None:
        one = record(**of(device))
        assert writer.write(Batch(records=[one, one])).commands == 1
        again = writer.write(Batch(records=[one]))
        assert (again.commands, kinds(again)) == (0, [])
        row = Command.objects.get()
        assert (row.outcome, row.answered_ms, row.late_ms, row.payload) == ("answered", 37.4, None, '{"number": 3}')

    def test_beside_one_that_is_there_only_the_new_one_counts(self, writer: Writer, device: Device) -> None:
        old, new = (
            record(**of(device)),
            record(**of(device), answer='{"say": "\\"\\\\ %s é \N{SNOWMAN} \U0001f600\\n"}', user=None),
        )
        writer.write(Batch(records=[old]))
        written = writer.write(Batch(records=[old, new]))
        assert written.commands == 1
        assert isinstance(new.fact, CommandFact)
        assert [event["id"] for event in told(written) if event["kind"] == "command"] == [new.fact.id.hex]
        row = Command.objects.get(pk=new.fact.id)
        assert (row.time, row.device_id, row.account_id) == (new.fact.time, device.pk, device.account_id)
        assert (row.answer, row.user_id, row.timeout_s, row.sent_ms) == (new.fact.answer, None, 5.0, 0.3)

    def test_a_late_answer_finds_its_command(self, writer: Writer, device: Device) -> None:
        key = uuid7()
        lost = record(id=key.hex, **of(device), outcome="timeout", answer=None, answered_ms=None)
        about = {"device": device.hex, "answer": '{"value": "running"}', "late_ms": 6204.1}
        late = Record("1-2", read_record(json.dumps({"v": 1, "late": key.hex, **about})))
        written = writer.write(Batch(records=[lost, late]))
        row = Command.objects.get()
        assert (row.outcome, row.answer, row.late_ms) == ("timeout", '{"value": "running"}', 6204.1)
        assert kinds(written) == ["command", "command"]
        assert writer.write(Batch(records=[late])).commands == 0

    def test_pages_are_told_who_asked(self, writer: Writer, device: Device) -> None:
        user = device.account.members.get()
        written = writer.write(Batch(records=[record(**of(device), user=user.pk)]))
        [event] = [event for event in told(written) if event["kind"] == "command"]
        assert event["user"] == "alice"

    def test_an_unreadable_record_is_counted(self, writer: Writer) -> None:
        assert writer.write(Batch(records=[Record("1-1", None)])).dropped == 1


class TestReadings:
    def test_the_last_value_wins_and_its_pin_appears(self, writer: Writer, device: Device) -> None:
        values = [incoming(device, "set_gpio", {"number": 10, "value": value}, value + 1) for value in (0, 1, 0, 1)]
        written = writer.write(Batch(values))
        reading = Reading.objects.get()
        assert (reading.key, reading.value, reading.at) == ("gpio/10", 1, time_of(values[-1].id))
        assert [pin.number for pin in Pin.objects.all()] == [10]
        assert kinds(written).count("reading") == 1

    def test_an_older_value_never_replaces_a_newer_one(self, writer: Writer, device: Device) -> None:
        older = incoming(device, "get_rtc", {"value": 1}, 1)
        newer = incoming(device, "get_rtc", {"value": 2}, 2, id=uuid7(at=time_of(older.id).timestamp() + 5))
        writer.write(Batch([newer]))
        assert "reading" not in kinds(writer.write(Batch([older])))
        assert Reading.objects.get().value == 2

    @pytest.mark.parametrize("record_first", [True, False])
    def test_the_commands_record_adds_how_long_it_took(self, writer: Writer, device: Device, record_first: bool) -> None:
        answer = {"number": 3, "value": 1}
        told = Batch(records=[record(**of(device), answer=json.dumps(answer))])
        heard = Batch([incoming(device, "get_gpio", answer)])
        for batch in [told, heard] if record_first else [heard, told]:
            writer.write(batch)
        reading = Reading.objects.get()
        assert (reading.value, reading.elapsed_ms) == (1, 37.4)

    def test_a_device_that_was_removed_for_good_meanwhile_does_no_harm(self, writer: Writer, device: Device) -> None:
        writer.write(Batch([incoming(device, "get_rtc", {"value": 1}, 1)]))
        with connection.cursor() as cursor:
            for table in ("messaging_presence", "messaging_reading", "devices_certificate", "devices_deviceevent"):
                cursor.execute(f"DELETE FROM {table} WHERE device_id = %s", [device.pk])
            cursor.execute("DELETE FROM devices_device WHERE id = %s", [device.pk])
        batch = [incoming(device, "get_gpio", {"number": 1, "value": 1}, 2), link(device, event="connected", at=1.0)]
        assert writer.write(Batch(batch)).rows == 1


class TestPresence:
    def test_it_follows_the_brokers_word(self, writer: Writer, device: Device) -> None:
        came = link(device, event="connected", at=1_000.0, address="10.1.2.3", protocol="MQTT 3.1.1", tls="TLSv1.3")
        written = writer.write(Batch([came]))
        presence = Presence.objects.get()
        assert presence.connected
        assert presence.connected_at == datetime.fromtimestamp(1_000, UTC)
        assert (presence.address, presence.protocol, presence.tls) == ("10.1.2.3", "MQTT 3.1.1", "TLSv1.3")
        assert written.links == {device.pk: True}
        assert kinds(written) == ["presence"]
        written = writer.write(Batch([link(device, event="disconnected", at=1_010.0, reason="keepalive")]))
        presence.refresh_from_db()
        assert (presence.connected, presence.disconnect_reason, presence.address) == (False, "keepalive", "10.1.2.3")
        assert presence.disconnected_at == datetime.fromtimestamp(1_010, UTC)
        assert written.links == {device.pk: False}

    def test_the_last_message_is_written_once_a_second_and_the_rest_later(self, writer: Writer, device: Device) -> None:
        start = datetime.now(UTC)

        def speak(after_s: float, delivery: int) -> datetime:
            key = uuid7(at=start.timestamp() + after_s)
            writer.write(Batch([incoming(device, "x", b"{}", delivery, id=key)]))
            return time_of(key)

        first = speak(0, 1)
        assert Presence.objects.get().last_message_at == first
        last = speak(0.5, 2)
        assert Presence.objects.get().last_message_at == first
        writer.write_heard(last + timedelta(seconds=0.9))
        assert Presence.objects.get().last_message_at == first
        writer.write_heard(last + timedelta(seconds=1.1))
        assert Presence.objects.get().last_message_at == last
        speak(0.2, 3)
        assert Presence.objects.get().last_message_at == last

    def test_a_last_will_does_not_count_as_heard(self, writer: Writer, device: Device) -> None:
        modern = make_device(device.account, "Modern", "modern")
        writer.write(Batch([incoming(modern, "presence", {"value": "offline"})]))
        assert Presence.objects.get(device=modern).last_message_at is None
        assert Message.objects.get().payload == '{"value": "offline"}'

    def test_silence_means_not_running_and_an_answer_that_it_runs(self, writer: Writer, device: Device) -> None:
        def ask(**changes: Any) -> None:
            writer.write(Batch(records=[record(**of(device), api="get_status", payload="{}", **changes)]))

        ask(outcome="timeout", answer=None, answered_ms=None)
        presence = Presence.objects.get()
        assert (presence.running, presence.answered_ms) == (False, None)
        assert presence.asked_at == Command.objects.get().time
        ask(answer='{"value": "running"}')
        presence.refresh_from_db()
        assert (presence.running, presence.answered_ms) == (True, 37.4)

    def test_what_was_said_before_a_claim_is_not_the_new_owners(self, writer: Writer, device: Device) -> None:
        said = incoming(device, "get_status", {"value": "running"}, 1)
        answered = record(**of(device), api="get_status", payload="{}", answer='{"value": "running"}')
        claimed = datetime.now(UTC) + timedelta(seconds=30)
        Device.objects.update(moved_at=claimed)
        writer.write(Batch([said, incoming(device, "get_gpio", {"number": 3, "value": 1}, 2)], [answered]))
        presence = Presence.objects.get()
        assert (presence.running, presence.asked_at, presence.answered_ms) == (None, None, None)
        assert (presence.last_message_at, presence.last_answer_at, presence.last_answer_api) == (None, None, "")
        assert not Reading.objects.exists()
        later = incoming(device, "get_status", {"value": "running"}, 3, id=uuid7(at=claimed.timestamp() + 5))
        writer.write(Batch([later]))
        presence.refresh_from_db()
        assert (presence.running, presence.last_message_at) == (True, time_of(later.id))

    def test_a_late_answer_means_that_it_runs_also_when_the_silence_is_read_later(self, writer: Writer, device: Device) -> None:
        before = uuid7(at=datetime.now(UTC).timestamp() - 10)
        asked = record(id=before.hex, **of(device), api="get_status", outcome="timeout", answer=None, answered_ms=None)
        writer.write(Batch([incoming(device, "get_status", {"value": "running"})]))
        assert Presence.objects.get().running is True
        writer.write(Batch(records=[asked]))
        assert Presence.objects.get().running is True
