"""Signing up, in and out over the API (/api/auth/), as a program does it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from allauth.account.adapter import DefaultAccountAdapter
from django.core import mail
from django.db import IntegrityError
from django.test import Client

from accounts.models import Account, ApiToken, User
from accounts.services import deactivate_user, find_token
from accounts.tests.helpers import PASSWORD

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_valkey")]

BASE = "/api/auth/app/v1/"
NEW = {"username": "carol", "email": "carol@example.com", "password": PASSWORD, "first_name": "Carol", "last_name": "Example"}


class Program:
    """A client that keeps the session token and no cookies."""

    def __init__(self) -> None:
        self.session_token = ""
        self.meta: dict[str, Any] = {}

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None, **headers: str) -> Any:
        client = Client(raise_request_exception=False)
        if self.session_token:
            headers["x-session-token"] = self.session_token
        where = path if path.startswith("/") else BASE + path
        answer = client.generic(
            method, where, b"" if body is None else json.dumps(body).encode(), "application/json", headers=headers
        )
        if answer.content and "json" in answer["Content-Type"] and isinstance(answer.json(), dict):
            self.meta = answer.json().get("meta", {})
            self.session_token = self.meta.get("session_token", self.session_token)
        assert "sessionid" not in answer.cookies
        return answer

    def sign_in(self, name: str = "alice") -> Any:
        return self.ask("POST", "auth/login", {"email" if "@" in name else "username": name, "password": PASSWORD})


@pytest.fixture
def program() -> Program:
    return Program()


def code_of_the_mail() -> str:
    found = re.search(r"\b\d{6}\b", str(mail.outbox[-1].body))
    assert found
    return found[0]


def test_a_program_signs_its_user_up_and_in(program: Program) -> None:
    assert program.ask("POST", "auth/signup", NEW).status_code == 401  # not yet: the code follows
    done = program.ask("POST", "auth/email/verify", {"key": code_of_the_mail()})

    assert done.status_code == 200
    carol = User.objects.get(username="carol")
    assert (carol.first_name, carol.last_name) == ("Carol", "Example")
    assert Account.objects.filter(memberships__user=carol, kind=Account.Kind.PERSONAL).count() == 1
    assert done.json()["data"]["user"]["id"] == carol.uuid.hex
    token = find_token(program.meta["access_token"])
    assert token is not None
    assert token.user == carol


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("first_name", ""),
        ("last_name", "a\u202eb"),
        ("username", "alice@example.com"),
        ("username", "аlice"),
        ("username", "ALICE"),
        ("password", "short"),
        ("email", "no address"),
    ],
)
def test_the_rules_are_those_of_the_page(program: Program, alice: User, field: str, value: str) -> None:
    answer = program.ask("POST", "auth/signup", {**NEW, field: value})

    assert answer.status_code == 400
    assert [error["param"] for error in answer.json()["errors"]] == [field]
    assert not User.objects.filter(email="carol@example.com").exists()


def test_of_two_who_take_one_name_at_once_the_second_is_told(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(*args: Any, **kwargs: Any) -> None:
        raise IntegrityError

    monkeypatch.setattr(DefaultAccountAdapter, "save_user", taken)
    answer = program.ask("POST", "auth/signup", NEW)

    assert answer.status_code == 409
    assert answer.json()["errors"][0]["message"] == "That user name is taken."


@pytest.mark.parametrize("name", ["alice", "ALICE", "alice@example.org"])
def test_signing_in_returns_what_the_api_takes(program: Program, alice: User, name: str) -> None:
    assert program.sign_in(name).status_code == 200
    assert program.meta["expires_in"] == 3600

    access = program.meta["access_token"]
    as_session = program.ask("GET", "/api/v1/account")
    as_token = Program().ask("GET", "/api/v1/account", authorization=f"Bearer {access}")

    assert as_session.json()["user"]["username"] == as_token.json()["user"]["username"] == "alice"


def test_a_wrong_password_is_told_and_counted(program: Program, alice: User) -> None:
    body = {"username": "alice", "password": "wrong wrong wrong"}
    answers = [program.ask("POST", "auth/login", body) for _ in range(6)]

    assert [one.status_code for one in answers] == [400] * 5 + [429]
    assert answers[0].json()["errors"][0]["code"] != answers[5].json()["errors"][0]["code"]
    assert not ApiToken.objects.exists()


def test_a_refresh_token_works_once(program: Program, alice: User) -> None:
    program.sign_in()
    first, refresh = program.meta["access_token"], program.meta["refresh_token"]
    renewed = program.ask("POST", "tokens/refresh", {"refresh_token": refresh}).json()["data"]

    assert find_token(first) is None
    assert find_token(renewed["access_token"]) is not None
    assert program.ask("POST", "tokens/refresh", {"refresh_token": refresh}).status_code == 400


def test_signing_out_ends_session_and_tokens(program: Program, alice: User) -> None:
    program.sign_in()
    access = program.meta["access_token"]
    assert program.ask("DELETE", "auth/session").status_code == 401  # nobody is signed in any more

    assert find_token(access) is None
    assert program.ask("GET", "/api/v1/account").status_code == 401


def test_who_is_shut_out_is_out(program: Program, alice: User) -> None:
    program.sign_in()
    deactivate_user(user=alice)

    assert program.ask("GET", "/api/v1/account").status_code == 401
    assert program.ask("GET", "auth/session").status_code in {401, 410}


@pytest.mark.parametrize("token", ["x", "a" * 32, "../../etc/passwd", "a" * 5000, "é"])
def test_a_session_token_that_is_none_is_refused(token: str) -> None:
    answer = Client().get("/api/v1/account", headers={"x-session-token": token})

    assert answer.status_code == 401


def test_a_browsers_session_is_no_programs(alice: User) -> None:
    browser = Client()
    browser.force_login(alice)

    assert browser.get(BASE + "auth/session").status_code == 401


def test_there_are_no_phones(program: Program) -> None:
    assert program.ask("GET", "account/phone").status_code == 404
    assert not any("phone" in path for path in program.ask("GET", "/api/auth/schema").json()["paths"])


def test_its_description_has_the_names_and_the_users_shape(program: Program) -> None:
    schemas = program.ask("GET", "/api/auth/schema").json()["components"]["schemas"]

    assert {"first_name", "last_name", "email", "username"} <= set(schemas["BaseSignup"]["properties"])
    assert schemas["User"]["properties"]["id"]["type"] == "string"


def test_its_page_works_offline_under_the_policy() -> None:
    page = Client().get("/api/auth/docs")

    assert page.status_code == 200
    assert "cdn" not in page.content.decode()
    assert "/api/auth/schema" in Client().get("/api/auth/docs?script").content.decode()
