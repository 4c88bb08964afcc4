"""Sign-ins leave a line in the log, without what was typed."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from accounts.models import User
from accounts.tests.helpers import PASSWORD, SIGN_IN

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_valkey")]


def test_a_sign_in_and_a_sign_out_are_logged(alice: User, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "accounts.audit")
    client = Client()
    client.post(SIGN_IN, {"login": "alice", "password": PASSWORD})
    client.post("/accounts/logout/")

    assert f"User {alice.pk} signed in from 127.0.0.1 with password" in caplog.text
    assert f"User {alice.pk} signed out from 127.0.0.1" in caplog.text


def test_a_program_that_signs_in_is_logged_as_well(alice: User, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "accounts")
    sent = {"username": "alice", "password": PASSWORD}
    tokens = Client().post("/api/user/login", sent, content_type="application/json").json()
    Client().post("/api/user/login", {**sent, "password": "guess"}, content_type="application/json")

    assert re.search(rf"User {alice.pk} opened login [0-9a-f-]{{36}} from 127\.0\.0\.1", caplog.text)
    assert "A sign-in from 127.0.0.1 failed" in caplog.text
    assert tokens["access_token"] not in caplog.text


def test_a_failed_one_is_logged_without_what_was_typed(alice: User, caplog: pytest.LogCaptureFixture) -> None:
    Client().post(SIGN_IN, {"login": "my secret by mistake", "password": "alice"})

    assert "A sign-in from 127.0.0.1 failed" in caplog.text
    assert "secret" not in caplog.text
