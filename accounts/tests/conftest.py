"""Users for the tests of accounts, each of which begins with no rate limit used up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import current_app
from django.test import Client, TestCase

from accounts import code_channels, hooks
from accounts.hooks import MembershipChange
from accounts.models import User
from accounts.services import create_user
from accounts.tests.helpers import PASSWORD, Sms
from accounts.tests.legacy_helpers import Program


@pytest.fixture(autouse=True)
def _fresh(clean_valkey: None, db: None) -> None:
    """Empty cache, sessions and rate limits."""


@pytest.fixture(autouse=True)
def _commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each request end as it does in earnest: what waits for a commit happens, and a worker does its tasks at once."""
    plain = Client.request

    def request(self: Client, **environ: Any) -> Any:
        with TestCase.captureOnCommitCallbacks(execute=True):
            return plain(self, **environ)

    monkeypatch.setattr(Client, "request", request)
    monkeypatch.setitem(current_app.conf, "task_always_eager", True)


@pytest.fixture
def alice() -> User:
    return create_user(username="alice", email="alice@example.org", password=PASSWORD, first_name="Alice", last_name="Ames")


@pytest.fixture
def bob() -> User:
    return create_user(username="bob", email="bob@example.org", password=PASSWORD, first_name="Bob", last_name="Bell")


@pytest.fixture
def as_alice(alice: User) -> Client:
    client = Client()
    client.force_login(alice)
    return client


@pytest.fixture
def sms(monkeypatch: pytest.MonkeyPatch) -> Sms:
    """Return what sends SMS now."""
    sms = Sms()
    monkeypatch.setitem(code_channels._channels, "sms", sms)
    return sms


@pytest.fixture
def heard() -> Iterator[list[MembershipChange]]:
    """What the hook told during the test."""
    told: list[MembershipChange] = []
    hooks.membership_changed.register(told.append)
    yield told
    hooks.membership_changed._handlers.remove(told.append)


@pytest.fixture
def program() -> Program:
    return Program()
