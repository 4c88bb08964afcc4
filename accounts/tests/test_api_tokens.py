"""`/api/v1/tokens`: personal API tokens, for people who have signed in."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import ApiToken, User
from accounts.services import create_token, find_token, log_in

TOKENS = "/api/v1/tokens"


class Program:
    """A client with a token; `secret` "" stands for nobody."""

    def __init__(self, secret: str) -> None:
        self.headers = {"authorization": f"Bearer {secret}"} if secret else {}

    def __call__(self, method: str, path: str = TOKENS, body: Any = None) -> Any:
        data = b"" if body is None else json.dumps(body).encode()
        return Client().generic(method, path, data, "application/json", headers=self.headers)


@pytest.fixture
def program(alice: User) -> Program:
    return Program(log_in(user=alice, ip=None, user_agent="").access)


def test_a_token_is_made_shown_once_and_works(program: Program, alice: User) -> None:
    answer = program("POST", body={"name": "grafana", "scopes": ["read", "billing"]})

    assert answer.status_code == 201
    assert answer["Cache-Control"] == "no-store"
    made = answer.json()
    token = find_token(made["token"])
    assert token is not None
    assert (token.user, token.kind, token.scopes) == (alice, "personal", ["billing", "read"])
    (listed,) = program("GET").json()["results"]
    assert listed == {key: value for key, value in made.items() if key != "token"} | {"last_used_at": listed["last_used_at"]}
    assert made["token"] not in program("GET", f"{TOKENS}/{made['id']}").content.decode()
    assert made["token"].startswith(made["prefix"])


def test_a_token_may_have_an_end(program: Program) -> None:
    ends = (timezone.now() + timedelta(days=7)).isoformat()
    made = program("POST", body={"name": "ci", "scopes": ["read"], "expires_at": ends}).json()
    assert ApiToken.objects.get(pk=made["id"]).expires_at is not None
    assert program("POST", body={"name": "cd", "scopes": ["read"], "expires_at": None}).json()["expires_at"] is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": 7}, "name"),
        ({"name": "x" * 61}, "name"),
        ({"name": "a\u202eb"}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": "read"}, "scopes"),
        ({"scopes": ["own"]}, "scopes"),
        ({"scopes": ["read"] * 5}, "scopes"),
        ({"scopes": [{"a": 1}]}, "scopes"),
        ({"expires_at": "yesterday"}, "expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": 7}, "expires_at"),
        ({"kind": "login"}, "kind"),
        ({"user": 1}, "user"),
    ],
)
def test_what_is_not_right_is_named(program: Program, changes: dict[str, Any], field: str) -> None:
    answer = program("POST", body={"name": "ci", "scopes": ["read"], **changes})

    assert (answer.status_code, [name.partition(".")[0] for name in answer.json()["errors"]]) == (400, [field])
    assert not ApiToken.objects.filter(kind="personal").exists()


def test_a_name_is_taken_once_and_there_is_a_most(program: Program, alice: User, settings: Any) -> None:
    settings.API_TOKENS_PER_USER = 2
    create_token(user=alice, name="ci")
    answer = program("POST", body={"name": "ci", "scopes": ["read"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")
    assert program("POST", body={"name": "cd", "scopes": ["read"]}).status_code == 201
    answer = program("POST", body={"name": "ce", "scopes": ["read"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_tokens")


def test_a_revoked_token_is_dead(program: Program, alice: User) -> None:
    token, secret = create_token(user=alice, name="ci")
    assert program("DELETE", f"{TOKENS}/{token.pk.hex}").status_code == 204
    assert find_token(secret) is None
    assert program("DELETE", f"{TOKENS}/{token.pk.hex}").status_code == 404


def test_anothers_token_a_login_and_nonsense_are_unknown(program: Program, bob: User) -> None:
    anothers, _ = create_token(user=bob, name="ci")
    login = ApiToken.objects.get(kind="login")
    for one in (anothers.pk.hex, str(anothers.pk), login.pk.hex, "0" * 32, "x", "\u0660" * 32, "%00", "iotp_"):
        for method in ("GET", "DELETE"):
            answer = program(method, f"{TOKENS}/{one}")
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), one
    assert ApiToken.objects.count() == 2
    assert program("GET").json()["results"] == []


@pytest.mark.parametrize("scopes", [["read"], ["manage"], ["read", "control", "manage", "billing"]])
def test_a_personal_token_does_not_multiply_or_look_after_others(alice: User, scopes: list[str]) -> None:
    token, secret = create_token(user=alice, name="ci", scopes=scopes)
    program = Program(secret)
    body = {"name": "more", "scopes": ["manage"]}
    for method, path in [("GET", TOKENS), ("POST", TOKENS), *((one, f"{TOKENS}/{token.pk.hex}") for one in ("GET", "DELETE"))]:
        answer = program(method, path, body)
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert ApiToken.objects.count() == 1


def test_nobody_is_told_to_sign_in() -> None:
    assert Program("")("GET").status_code == 401


def test_a_browsers_session_needs_its_csrf_token(alice: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)
    session = browser.session  # as after typing the password
    session["account_authentication_methods"] = [{"method": "password", "at": timezone.now().timestamp()}]
    session["account_authentication_methods_user"] = str(alice.pk)
    session.save()
    body = {"name": "ci", "scopes": ["read"]}
    assert browser.get(TOKENS).status_code == 200
    assert browser.post(TOKENS, body, "application/json").status_code == 403
    browser.cookies["csrftoken"] = "c" * 32
    assert browser.post(TOKENS, body, "application/json", headers={"x-csrftoken": "c" * 32}).status_code == 201


def test_pages_go_through_all_tokens(program: Program, alice: User) -> None:
    for number in range(3):
        create_token(user=alice, name=f"ci {number}")
    first = program("GET", f"{TOKENS}?page_size=2").json()
    second = program("GET", first["next"]).json()
    assert [one["name"] for one in first["results"] + second["results"]] == ["ci 0", "ci 1", "ci 2"]
    assert second["next"] is None
