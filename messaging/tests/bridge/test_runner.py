"""The bridge as a whole: a session in memory, real PostgreSQL and Valkey."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import connection
from psycopg2 import sql

from devices.models import Device
from iotportal.uuid7 import uuid7
from messaging import hooks
from messaging.bridge import commands
from messaging.bridge.database import Database
from messaging.bridge.inbox import MAX_MESSAGES
from messaging.bridge.meaning import Record
from messaging.hooks import DeviceMessage, NotificationRequest
from messaging.models import Command, Message, Presence
from messaging.tests.bridge.conftest import StartBridge
from messaging.tests.bridge.memory import MemorySource
from messaging.tests.bridge.proxy import Break, Proxy
from messaging.tests.bridge.test_meaning import command
from messaging.tests.broker.wire import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def payloads(device: Device) -> list[str]:
    rows = Message.objects.filter(device_id=device.pk, direction="from")
    return list(rows.order_by("time", "id").values_list("payload", flat=True))


def speak(source: MemorySource, device: Device, start: int, end: int) -> list[str]:
    said = [f'{{"value": "{number}"}}' for number in range(start, end)]
    for text in said:
        source.publish(f"server/{device.hex}/write_uart", text.encode())
    return said


def all_taken(source: MemorySource) -> None:
    wait_until(lambda: source.unacknowledged == 0, "everything acknowledged")


def terminate_sessions() -> int:
    """Let PostgreSQL end the bridges' sessions, as an administrator's restart does."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE application_name = 'portal-bridge' AND datname = current_database()"
        )
        row = cursor.fetchone()
        return int(row[0]) if row else 0


@pytest.fixture
def proxy(account: Any) -> Iterator[Proxy]:
    with Proxy() as proxy:
        yield proxy


@pytest.fixture
def requests() -> Iterator[list[NotificationRequest]]:
    """Listen to notifications."""
    told: list[NotificationRequest] = []
    handlers = hooks.notifications_requested._handlers
    before = list(handlers)
    handlers[:] = [told.extend]
    yield told
    handlers[:] = before


class TestOnce:
    def test_it_writes_what_a_device_says_and_acknowledges_it(
        self, start: StartBridge, source: MemorySource, device: Device
    ) -> None:
        start()
        said = speak(source, device, 0, 700)
        all_taken(source)
        assert payloads(device) == said

    def test_nothing_doubles_when_the_connection_breaks_before_the_acknowledgement(
        self, start: StartBridge, source: MemorySource, device: Device
    ) -> None:
        breaks = iter([True] * 3)
        source.before_ack = lambda: source.cut() if next(breaks, False) else None
        start()
        said = speak(source, device, 0, 1_500)
        all_taken(source)
        assert payloads(device) == said
        assert source.connections == 4

    def test_the_next_bridge_goes_on_where_one_died_between_commit_and_acknowledgement(
        self, start: StartBridge, source: MemorySource, device: Device
    ) -> None:
        source.ack_is_lost = True
        said = speak(source, device, 0, 600)
        dying = start()
        wait_until(lambda: Message.objects.count() >= 500, "a commit")
        dying.stop()
        source.ack_is_lost = False
        start()
        all_taken(source)
        assert payloads(device) == said

    def test_equal_messages_of_a_new_session_are_not_taken_for_old_ones(
        self, start: StartBridge, source: MemorySource, device: Device
    ) -> None:
        """A broker that restarts counts its packet ids from the beginning, and its messages may come with DUP."""
        start()
        first = speak(source, device, 0, 50)
        all_taken(source)
        source.restart()
        source.mark_as_sent = True
        again = speak(source, device, 0, 50)
        all_taken(source)
        assert payloads(device) == first + again

    def test_packet_ids_that_come_round_are_new_messages(self, start: StartBridge, source: MemorySource, device: Device) -> None:
        source.first_id = 65_500
        start()
        said = speak(source, device, 0, 100)
        all_taken(source)
        assert payloads(device) == said


class TestPostgresOutages:
    def test_it_goes_on_when_its_session_is_ended(self, start: StartBridge, source: MemorySource, device: Device) -> None:
        start()
        said = []
        for turn in range(4):
            said += speak(source, device, turn * 300, turn * 300 + 300)
            assert terminate_sessions() == 1
            said += speak(source, device, 10_000 + turn, 10_001 + turn)
            all_taken(source)
        assert payloads(device) == said

    def test_commits_with_an_unknown_end_count_once(
        self, start: StartBridge, source: MemorySource, device: Device, proxy: Proxy
    ) -> None:
        start(database=Database(**proxy.parameters))
        said = []
        for turn, where in enumerate([Break.AFTER, Break.BEFORE, Break.AFTER]):
            proxy.next_commit = where
            said += speak(source, device, turn * 100, turn * 100 + 100)
            wait_until(lambda turn=turn: proxy.broken == turn + 1, "the break")  # type: ignore[misc]  # mypy gives a lambda's default no type
            all_taken(source)
        assert payloads(device) == said

    def test_while_it_is_away_messages_wait_in_the_broker(
        self, start: StartBridge, source: MemorySource, device: Device, proxy: Proxy
    ) -> None:
        source.window = 100
        bridge = start(database=Database(**proxy.parameters))
        proxy.go_down()
        said = speak(source, device, 0, 1_000)
        assert source.unacknowledged == 1_000
        assert len(bridge._inbox._messages) <= 100
        proxy.up = True
        all_taken(source)
        assert payloads(device) == said

    def test_a_flood_of_quality_0_is_bounded_and_the_rest_counted(
        self, start: StartBridge, source: MemorySource, device: Device, proxy: Proxy, valkey: redis.Redis
    ) -> None:
        bridge = start(database=Database(**proxy.parameters))
        proxy.go_down()
        for _ in range(MAX_MESSAGES + 1_000):
            source.publish(f"server/{device.hex}/x", b"{}", qos=0)
        assert len(bridge._inbox._messages) <= MAX_MESSAGES
        proxy.up = True
        wait_until(lambda: int(valkey.hget("bridge:stats", "dropped") or 0) >= 500, "the count")

    def test_missing_partitions_are_made(self, start: StartBridge, source: MemorySource, device: Device) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'messaging_message'::regclass")
            for (name,) in cursor.fetchall():
                cursor.cursor.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
        start()
        said = speak(source, device, 0, 10)
        all_taken(source)
        assert payloads(device) == said


def test_what_another_bridge_has_read_and_never_written_is_written(
    start: StartBridge, source: MemorySource, device: Device, valkey: redis.Redis
) -> None:
    """One whose lock went with PostgreSQL reads on until it notices that another is in office."""
    start()
    wait_until(lambda: bool(valkey.exists("commands")), "the group")
    with valkey.pipeline(transaction=True) as at_once:
        for _ in range(3):
            at_once.xadd("commands", {"r": json.dumps(command(device=device.hex, account=device.account_id.hex))})
        at_once.xreadgroup("bridge", "out of office", {"commands": ">"})
        assert len(at_once.execute()[-1][0][1]) == 3
    wait_until(lambda: Command.objects.count() == 3, "the commands")
    wait_until(lambda: valkey.xpending("commands", "bridge")["pending"] == 0, "the acknowledgement")


def test_a_backlog_of_commands_is_read_without_a_pause(
    clean_valkey: None, valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "COUNT", 2)
    monkeypatch.setattr(commands, "PAUSE_S", 600)
    for _ in range(5):
        valkey.xadd("commands", {"r": json.dumps(command())})
    read: list[Record] = []
    reader = commands.CommandReader(settings.VALKEY_URL, read.extend)
    reader.start()
    wait_until(lambda: len(read) == 5, "all of them")
    reader.stop()  # nor does it sit the pause out


class TestBadInput:
    def test_what_the_database_refuses_is_set_aside_and_all_else_written(
        self, start: StartBridge, source: MemorySource, device: Device, valkey: redis.Redis
    ) -> None:
        keys = [uuid7().hex for _ in range(40)]
        for number, key in enumerate(keys):
            record = command(id=key, device=device.hex, account=device.account_id.hex, user=2**70 if number % 10 == 3 else None)
            valkey.xadd("commands", {"r": json.dumps(record)})
        said = speak(source, device, 0, 40)
        start()
        all_taken(source)
        wait_until(lambda: Command.objects.count() == 36, "the commands")
        assert payloads(device) == said
        wait_until(lambda: valkey.xpending("commands", "bridge")["pending"] == 0, "the acknowledgement")
        wait_until(lambda: valkey.hget("bridge:stats", "dropped") == "4", "the count")

    def test_nonsense_is_kept_and_counted(
        self, start: StartBridge, source: MemorySource, device: Device, valkey: redis.Redis
    ) -> None:
        start()
        for payload in (b"\xff\xfe", b"{", b"\0", b"", b"[" * 10_000, b"x" * 60_000):
            source.publish(f"server/{device.hex}/get_rtc", payload)
        source.publish("nonsense", b"{}")
        source.publish("", b"{}")
        source.publish(f"$SYS/portal/connections/{device.hex}", b"{}")
        all_taken(source)
        assert Message.objects.filter(malformed=True).count() == 6
        wait_until(lambda: valkey.hget("bridge:stats", "malformed") == "6", "the count")
        assert valkey.hget("bridge:stats", "dropped") == "3"

    def test_an_unreadable_command_record_is_acknowledged(self, start: StartBridge, valkey: redis.Redis) -> None:
        for fields in ({"r": "nonsense"}, {"other": "x"}):
            valkey.xadd("commands", fields)  # type: ignore[arg-type]  # redis-py's dict is invariant
        start()
        wait_until(lambda: valkey.hget("bridge:stats", "dropped") == "2", "the count")
        wait_until(lambda: valkey.xpending("commands", "bridge")["pending"] == 0, "the acknowledgement")


class TestOffice:
    def test_a_second_bridge_stands_by_says_so_and_takes_over(
        self, start: StartBridge, source: MemorySource, device: Device, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        first = start()
        second = start(wait=False)
        wait_until(lambda: "standing by" in caplog.text, "the stand-by")
        said = speak(source, device, 0, 10)
        all_taken(source)
        assert not second.serving.is_set()
        assert first.stop()
        assert second.serving.wait(10)
        said += speak(source, device, 10, 20)
        all_taken(source)
        assert payloads(device) == said

    def test_one_that_lost_its_office_unnoticed_steps_back(
        self, start: StartBridge, source: MemorySource, device: Device
    ) -> None:
        first = start()
        second = start(wait=False)
        first._database.close()
        assert second.serving.wait(10)
        wait_until(lambda: not first.serving.is_set(), "stepping back")
        said = speak(source, device, 0, 10)
        all_taken(source)
        assert payloads(device) == said

    def test_it_stops_in_order_in_the_middle_of_a_flood(self, start: StartBridge, source: MemorySource, device: Device) -> None:
        bridge = start()
        said = speak(source, device, 0, 3_000)
        assert bridge.stop()
        start()
        all_taken(source)
        assert payloads(device) == said

    def test_it_waits_for_a_broker_that_is_away(self, start: StartBridge, source: MemorySource, device: Device) -> None:
        source.reachable = False
        bridge = start(wait=False)
        said = speak(source, device, 0, 5)
        assert not bridge.serving.wait(0.3)
        source.reachable = True
        all_taken(source)
        assert payloads(device) == said

    def test_it_stops_while_everything_is_away(
        self, start: StartBridge, source: MemorySource, device: Device, proxy: Proxy
    ) -> None:
        bridge = start(database=Database(**proxy.parameters))
        proxy.go_down()
        speak(source, device, 0, 5)
        assert bridge.stop()
        assert source.unacknowledged == 5


class TestAftermath:
    def test_the_keys_of_the_hot_path_follow(
        self, start: StartBridge, source: MemorySource, device: Device, valkey: redis.Redis
    ) -> None:
        bridge = start()
        wait_until(lambda: valkey.exists("bridge:alive") == 1, "the sign of life")
        assert 0 < int(valkey.ttl("bridge:alive")) <= 10
        assert valkey.get(f"presence:{device.hex}") == "0"
        event = {"event": "connected", "at": 1_000.0}
        source.publish(f"$SYS/portal/connections/{device.hex}", json.dumps(event).encode(), retained=True)
        wait_until(lambda: valkey.get(f"presence:{device.hex}") == "1", "presence")
        assert Presence.objects.get().connected
        bridge.stop()
        assert not valkey.exists("bridge:alive")

    def test_a_new_session_begins_with_everybody_gone(
        self, start: StartBridge, source: MemorySource, device: Device, valkey: redis.Redis
    ) -> None:
        Presence.objects.update(connected=True)
        valkey.set(f"presence:{device.hex}", 1)
        start()
        wait_until(lambda: valkey.get(f"presence:{device.hex}") == "0", "presence")
        assert not Presence.objects.get().connected

    def test_keys_that_valkey_lost_are_written_again(
        self, start: StartBridge, source: MemorySource, device: Device, valkey: redis.Redis
    ) -> None:
        bridge = start()
        wait_until(lambda: valkey.exists("bridge:alive") == 1, "the sign of life")
        valkey.flushall()
        valkey.client_kill_filter(_type="normal", skipme=True)
        said = speak(source, device, 0, 3)
        all_taken(source)
        wait_until(lambda: valkey.exists("bridge:alive") == 1, "the sign of life again")
        assert valkey.get(f"presence:{device.hex}") == "0"
        valkey.xadd("commands", {"r": json.dumps(command(device=device.hex, account=device.account_id.hex))})
        wait_until(Command.objects.exists, "a command after the stream was lost")
        assert payloads(device) == said
        assert bridge.serving.is_set()

    def test_it_writes_the_history_without_valkey(
        self, start: StartBridge, source: MemorySource, device: Device, settings: Any
    ) -> None:
        settings.VALKEY_URL = "redis://127.0.0.1:1"
        start()
        said = speak(source, device, 0, 100)
        all_taken(source)
        assert payloads(device) == said

    def test_commands_that_a_dead_bridge_had_read_are_taken_over(
        self, start: StartBridge, device: Device, valkey: redis.Redis
    ) -> None:
        valkey.xgroup_create("commands", "bridge", id="0", mkstream=True)
        for _ in range(3):
            valkey.xadd("commands", {"r": json.dumps(command(device=device.hex, account=device.account_id.hex))})
        valkey.xreadgroup("bridge", "another", {"commands": ">"}, count=2)
        start()
        wait_until(lambda: Command.objects.count() == 3, "the commands")
        wait_until(lambda: valkey.xpending("commands", "bridge")["pending"] == 0, "the acknowledgement")


class TestNotifications:
    def test_a_device_that_asks_for_one_is_heard_after_the_commit(
        self, start: StartBridge, source: MemorySource, device: Device, requests: list[NotificationRequest]
    ) -> None:
        start()
        source.publish(f"server/{device.hex}/trigger_notification", b'{"recipient": "+372", "message": "Fire!"}')
        source.publish(f"{device.hex}/trigger_notification", b'{"recipient": "+372", "message": "from the portal"}')
        all_taken(source)
        row = Message.objects.get(direction="from")
        assert requests == [NotificationRequest(row.id, row.time, device.account_id, device.pk, "+372", "Fire!")]

    def test_a_handler_that_fails_stops_nothing(
        self, start: StartBridge, source: MemorySource, device: Device, requests: list[NotificationRequest]
    ) -> None:
        def fail(requests: Sequence[NotificationRequest]) -> None:
            raise RuntimeError("no")

        hooks.notifications_requested._handlers.insert(0, fail)
        start()
        source.publish(f"server/{device.hex}/trigger_notification", b'{"recipient": "+372", "message": "Fire!"}')
        said = speak(source, device, 0, 3)
        all_taken(source)
        assert payloads(device)[1:] == said

    def test_what_devices_say_is_told_with_the_id_of_its_row_and_again_after_a_crash(
        self, start: StartBridge, source: MemorySource, device: Device, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: list[DeviceMessage] = []
        monkeypatch.setattr(hooks.devices_spoke, "_handlers", [told.extend])
        source.ack_is_lost = True
        dying = start()
        for payload in (b'{"value": 7}', b"\xff"):  # the second can be read by nobody
            source.publish(f"server/{device.hex}/get_level", payload)
        wait_until(lambda: len(told) == 1, "the first time")
        dying.stop()
        source.ack_is_lost = False
        start()
        all_taken(source)
        row = Message.objects.get(malformed=False)
        assert told == [DeviceMessage(row.id, row.time, device.account_id, device.pk, "get_level", '{"value": 7}')] * 2

    def test_one_that_cannot_be_taken_keeps_no_other_from_being_taken(
        self, start: StartBridge, source: MemorySource, device: Device, requests: list[NotificationRequest]
    ) -> None:
        def fail(asked: Sequence[NotificationRequest]) -> None:
            if any(one.message == "2" for one in asked):
                raise ValueError("no")

        hooks.notifications_requested._handlers.insert(0, fail)
        for number in range(4):
            source.publish(f"server/{device.hex}/trigger_notification", b'{"recipient": "+372", "message": "%d"}' % number)
        start()
        all_taken(source)
        assert {one.message for one in requests} == {"0", "1", "3"}

    def test_it_is_told_again_with_the_same_id_when_it_may_not_have_been_heard(
        self, start: StartBridge, source: MemorySource, device: Device, requests: list[NotificationRequest]
    ) -> None:
        source.ack_is_lost = True
        dying = start()
        source.publish(f"server/{device.hex}/trigger_notification", b'{"recipient": "+372", "message": "Fire!"}')
        wait_until(lambda: len(requests) == 1, "the first time")
        dying.stop()
        source.ack_is_lost = False
        start()
        all_taken(source)
        assert [request.message_id for request in requests] == [Message.objects.get().id] * 2
