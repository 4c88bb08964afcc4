"""`/api/v1/account` and `/api/v1/sessions`: the profile, and where one is signed in."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from accounts.models import ApiToken, User
from accounts.services import create_token, log_in
from accounts.tests.helpers import PASSWORD, SIGN_IN

ACCOUNT, SESSIONS = "/api/v1/account", "/api/v1/sessions"


def ask(secret: str, method: str, path: str, body: Any = None) -> Any:
    data = b"" if body is None else json.dumps(body).encode()
    return Client().generic(method, path, data, "application/json", headers={"authorization": f"Bearer {secret}"})


def browser(name: str = "alice") -> Client:
    client = Client(headers={"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"})
    client.post(SIGN_IN, {"login": name, "password": PASSWORD})
    client.get("/account/")
    return client


@pytest.fixture
def access(alice: User) -> str:
    return log_in(user=alice, ip="192.0.2.7", user_agent="curl/8").access


def test_a_person_changes_the_profile(access: str, alice: User) -> None:
    changes = {"first_name": "Alicia", "time_zone": "Europe/Stockholm", "language": "en", "theme": "dark"}
    answer = ask(access, "PATCH", ACCOUNT, changes)
    assert answer.status_code == 200
    assert answer.json()["user"] == ask(access, "GET", ACCOUNT).json()["user"]
    assert changes.items() <= answer.json()["user"].items()
    alice.refresh_from_db()
    assert (alice.first_name, alice.last_name, alice.time_zone) == ("Alicia", "Ames", "Europe/Stockholm")
    assert ask(access, "PATCH", ACCOUNT, {}).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"first_name": " "},
        {"first_name": "x" * 151},
        {"first_name": 7},
        {"last_name": "A\0"},
        {"time_zone": "Moon/Base"},
        {"time_zone": "../../etc/passwd"},
        {"language": "tlh"},
        {"theme": "neon"},
        {"theme": None},
        {"email": "mallory@example.org"},
        {"is_staff": True},
        ["first_name"],
    ],
)
def test_what_cannot_be_changed_so_is_refused(access: str, alice: User, body: Any) -> None:
    assert ask(access, "PATCH", ACCOUNT, body).status_code == 400
    before = (alice.first_name, alice.email, alice.is_staff, alice.time_zone)
    alice.refresh_from_db()
    assert (alice.first_name, alice.email, alice.is_staff, alice.time_zone) == before


def test_a_personal_token_reads_the_account_and_nothing_more(alice: User) -> None:
    _, token = create_token(user=alice, name="ci", scopes=["manage"])
    assert ask(token, "GET", ACCOUNT).status_code == 200
    assert ask(token, "PATCH", ACCOUNT, {"first_name": "M"}).status_code == 403
    assert ask(token, "GET", SESSIONS).status_code == 403
    assert ask(token, "DELETE", SESSIONS).status_code == 403
    assert ask(token, "DELETE", f"{SESSIONS}/{uuid4().hex}").status_code == 403


def test_browsers_and_programs_are_listed_and_ended_one_by_one(access: str) -> None:
    here = browser()
    found = ask(access, "GET", SESSIONS).json()["results"]
    assert [(one["kind"], one["agent"], one["current"]) for one in found] == [
        ("browser", "Firefox on Linux", False),
        ("program", "curl 8", True),
    ]
    assert [one["current"] for one in here.get(SESSIONS).json()["results"]] == [True, False]
    assert str(here.session.session_key) not in json.dumps(found), "the key is a secret"
    assert ask(access, "DELETE", f"{SESSIONS}/{found[0]['id']}").status_code == 204
    assert here.get(SESSIONS).status_code == 401
    assert ask(access, "DELETE", f"{SESSIONS}/{found[0]['id']}").status_code == 404
    assert ask(access, "DELETE", f"{SESSIONS}/{found[1]['id']}").status_code == 204
    assert ask(access, "GET", SESSIONS).status_code == 401


def test_all_others_end_but_the_one_that_asks_and_personal_tokens(access: str, alice: User) -> None:
    here, other = browser(), log_in(user=alice, ip=None, user_agent="wget").access
    create_token(user=alice, name="ci")
    answer = ask(access, "DELETE", SESSIONS)
    assert (answer.status_code, answer.json()) == (200, {"ended": 2})
    assert here.get(SESSIONS).status_code == 401
    assert ask(other, "GET", SESSIONS).status_code == 401
    assert ask(access, "GET", SESSIONS).status_code == 200
    assert ApiToken.objects.filter(kind="personal").exists()


def test_a_browser_ends_all_others_after_a_recent_sign_in_alone(access: str) -> None:
    here = browser()
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        assert here.delete(SESSIONS).json()["code"] == "sign_in_again"
    assert here.delete(SESSIONS).json() == {"ended": 1}
    assert here.get(SESSIONS).status_code == 200
    assert ask(access, "GET", SESSIONS).status_code == 401


@pytest.mark.parametrize("name", ["x", "0" * 32, "0" * 33, "%00", "-" * 32])
def test_other_peoples_sessions_and_no_sessions_are_the_same(access: str, bob: User, name: str) -> None:
    theirs = browser("bob")
    (one,) = theirs.get(SESSIONS).json()["results"]
    unknown, others = ask(access, "DELETE", f"{SESSIONS}/{name}"), ask(access, "DELETE", f"{SESSIONS}/{one['id']}")
    assert (unknown.status_code, others.status_code) == (404, 404)
    assert theirs.get(SESSIONS).status_code == 200
