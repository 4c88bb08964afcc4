"""Waking whoever sends."""

from __future__ import annotations

import threading

import pytest
from pytest_django import Settings

from iotportal.cache import valkey
from notifications import tasks
from notifications.services import bell


@pytest.fixture
def called(clean_valkey: None, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the tasks that are sent to the queue."""
    found: list[int] = []
    monkeypatch.setattr(tasks.deliver, "apply_async", lambda *_, **__: found.append(1))
    return found


def _wait_in_a_thread(answers: list[bool], seconds: float) -> threading.Thread:
    thread = threading.Thread(target=lambda: answers.append(bell.wait("email", seconds)))
    thread.start()
    return thread


def test_one_is_called_and_no_second_until_it_has_begun(called: list[int]) -> None:
    bell.ring("email")
    bell.ring("email")
    assert len(called) == 1
    bell.answer("email")
    bell.ring("email")
    assert len(called) == 2


def test_whoever_waits_is_rung_up_and_nobody_called(called: list[int]) -> None:
    answers: list[bool] = []
    waiter = _wait_in_a_thread(answers, 20)
    while not valkey().exists("notifications:waiting:email"):
        pass
    bell.ring("email")
    waiter.join(10)
    assert (answers, called) == ([True], [])
    bell.ring("email")
    assert len(called) == 1


def test_one_waits_and_no_second(called: list[int]) -> None:
    valkey().set("notifications:waiting:email", "notifications:bell:other", px=60_000)
    assert not bell.wait("email", 20)
    assert valkey().get("notifications:waiting:email") == b"notifications:bell:other"


def test_whoever_was_rung_up_by_nobody_leaves_no_bell_behind(called: list[int]) -> None:
    assert not bell.wait("email", 0.02)
    bell.ring("email")
    assert len(called) == 1


def test_without_valkey_nothing_fails(called: list[int], settings: Settings) -> None:
    settings.VALKEY_URL = "redis://127.0.0.1:1/0"
    bell.ring("email")
    assert not bell.wait("email", 20)
    assert called == []
