"""The inbox: bounded, prompt, and nobody waits for ever."""

from __future__ import annotations

import threading
import time
from itertools import count

import pytest

from iotportal.uuid7 import uuid7
from messaging.bridge import inbox as module
from messaging.bridge.inbox import BATCH, LINGER_S, Batch, Inbox
from messaging.bridge.meaning import Record
from messaging.bridge.source import Incoming

_deliveries = count(1)


def message(delivery: int | None = None) -> Incoming:
    return Incoming(uuid7(), "t", b"", next(_deliveries) if delivery is None else delivery)


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Inbox:
    monkeypatch.setattr(module, "MAX_MESSAGES", 3)
    monkeypatch.setattr(module, "MAX_RECORDS", 2)
    return Inbox()


def waiting(target: threading.Thread) -> bool:
    target.start()
    target.join(0.05)
    return target.is_alive()


def test_a_lone_message_is_taken_at_once(inbox: Inbox) -> None:
    threading.Timer(0.02, inbox.put, [[message()]]).start()
    began = time.monotonic()
    assert len(inbox.take(10, busy=False)) == 1
    assert time.monotonic() - began < 5


def test_when_busy_it_waits_a_moment_for_more(inbox: Inbox) -> None:
    inbox.put([message()])
    began = time.monotonic()
    assert len(inbox.take(10, busy=True)) == 1
    assert LINGER_S * 0.9 < time.monotonic() - began < 5


def test_nothing_is_an_empty_batch(inbox: Inbox) -> None:
    assert not inbox.take(0.01, busy=False)


def test_a_wake_ends_the_wait(inbox: Inbox) -> None:
    threading.Timer(0.02, inbox.wake).start()
    assert not inbox.take(30, busy=False)


def test_batches_are_bounded() -> None:
    inbox = Inbox()
    inbox.put([message() for _ in range(BATCH + 1)])
    assert [len(inbox.take(1, busy=False)) for _ in range(2)] == [BATCH, 1]


def test_without_room_quality_0_is_dropped_and_the_rest_waits(inbox: Inbox) -> None:
    for _ in range(3):
        inbox.put([message()])
    inbox.put([message(0)])
    assert inbox.overflowed == 1
    putter = threading.Thread(target=inbox.put, args=[[message(0), message()]])
    assert waiting(putter)
    assert inbox.overflowed == 2
    assert len(inbox.take(1, busy=False)) == 3
    putter.join(10)
    assert len(inbox.take(1, busy=False)) == 1


def test_commands_wait_for_room_too(inbox: Inbox) -> None:
    records = [Record("1-1", None), Record("1-2", None)]
    inbox.put_records(records)
    putter = threading.Thread(target=inbox.put_records, args=[records])
    assert waiting(putter)
    assert inbox.take(1, busy=False).records == records
    putter.join(10)
    assert not putter.is_alive()


def test_closing_lets_everybody_go_and_forgets(inbox: Inbox) -> None:
    inbox.put_records([Record("1-1", None)] * 2)
    putters = [threading.Thread(target=inbox.put_records, args=[[Record("1-3", None)]])]
    assert waiting(putters[0])
    inbox.close()
    putters[0].join(10)
    assert not inbox.take(0.01, busy=False)
    inbox.put([message()])
    inbox.open()
    assert not inbox.take(0.01, busy=False)


def test_a_batch_is_halved_in_order() -> None:
    first, second = message(), message()
    both = Batch([first, second], [Record("1-1", None)])
    assert both.halves() == (Batch([first, second]), Batch(records=[Record("1-1", None)]))
    assert Batch([first, second]).halves() == (Batch([first]), Batch([second]))
