"""`/api/user/…`, the documented API: whose request it is, and what a body may be."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts import services
from accounts.models import User
from accounts.tests.helpers import PASSWORD
from accounts.tests.legacy_helpers import NEW, Program, later, refused

# --- who asks ----------------------------------------------------------------------------------------------------------------


Way = Callable[[str, dict[str, Any]], tuple[dict[str, Any], dict[str, str]]]
WAYS: dict[str, Way] = {
    "access_token": lambda token, said: ({"access_token": token}, {}),
    "access_token object": lambda token, said: ({"access_token": said["token"]}, {}),
    "token": lambda token, said: ({"token": token}, {}),
    "token object": lambda token, said: ({"token": said["token"]}, {}),
    "header": lambda token, said: ({}, {"authorization": f"Bearer {token}"}),
    "all of them": lambda token, said: ({"access_token": token, "token": said["token"]}, {"authorization": f"bearer {token}"}),
}


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path", ["", "/"])
def test_the_token_may_come_in_many_ways(program: Program, alice: User, way: str, method: str, path: str) -> None:
    said = program.sign_in().json()
    body, headers = WAYS[way](said["access_token"], said)
    answer = program(path, {"username": "alice", **body}, method, **headers)

    assert answer.status_code == 200
    assert answer.json() | {"message": ""} == {
        "status": "OK", "message": "", "id": alice.uuid.hex, "username": "alice", "email": "alice@example.org",
        "firstname": "Alice", "lastname": "Ames", "givenname": "Alice", "familyname": "Ames",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["ALICE", "Alice@Example.org"])
def test_the_user_may_be_named_as_at_the_sign_in(program: Program, alice: User, name: str) -> None:
    assert program("", {**program.signed_in(), "username": name}).status_code == 200


@pytest.mark.parametrize("name", ["bob", "bob@example.org", "nobody", "ａlice", "alice ", "alice\u200b", "al\u0131ce", "a" * 254])
def test_anothers_name_with_my_token_is_answered_like_an_unknown_token(
    program: Program, alice: User, bob: User, name: str
) -> None:
    mine = program("", {**program.signed_in(), "username": name})
    unknown = program("", {"username": name, "access_token": "iotp_" + "x" * 43})

    assert (mine.status_code, mine.content) == (401, unknown.content)
    assert mine["WWW-Authenticate"] == 'Bearer realm="api"'


def test_two_tokens_that_differ_are_none(program: Program, alice: User, bob: User) -> None:
    mine, other = program.signed_in(), program.signed_in("bob")["access_token"]
    refused(program("", mine, authorization=f"Bearer {other}"), 401, "invalid_token")
    refused(program("", {**mine, "token": other}), 401, "invalid_token")
    refused(program("", mine, authorization="Bearer"), 401, "invalid_token")
    assert program("", mine, authorization="Basic YWxpY2U6eA==").status_code == 200


@pytest.mark.parametrize("token", [7, True, ["x"], {"refresh": "x"}, {"access": None}, {"access": {"access": "x"}}])
@pytest.mark.parametrize("field", ["access_token", "token"])
def test_a_token_of_another_kind_is_400(program: Program, field: str, token: Any) -> None:
    refused(program("", {"username": "alice", field: token}), 400, "invalid")


@pytest.mark.parametrize("name", [None, 7, ["alice"], {"a": 1}, True, ""])
def test_without_a_user_name_it_is_400(program: Program, alice: User, name: Any) -> None:
    body = {**program.signed_in(), "username": name}
    assert list(refused(program("", body), 400, "invalid")["errors"]) == ["username"]


@pytest.mark.parametrize("token", [None, "", "iotp_" + "x" * 43, "iotr_" + "x" * 86, "\0", "é" * 48, "x" * 60_000])
def test_without_a_good_token_it_is_401(program: Program, alice: User, token: str | None) -> None:
    answer = program("", {"username": "alice", "access_token": token})
    refused(answer, 401, "invalid_token" if token else "not_authenticated")


def test_a_browsers_session_is_nothing_here(alice: User) -> None:
    browser = Client()
    browser.force_login(alice)
    assert browser.post("/api/user", {"username": "alice"}, "application/json").status_code == 401


def test_a_token_that_ended_is_401(program: Program, alice: User) -> None:
    body = program.signed_in()
    with later(minutes=61):
        refused(program("", body), 401, "invalid_token")


def test_a_personal_token_reads_what_its_scopes_say(program: Program, alice: User) -> None:
    for scope, status in (("read", 200), ("billing", 403)):
        _, secret = services.create_token(user=alice, name=scope, scopes=[scope])
        assert program("", {"username": "alice", "access_token": secret}).status_code == status


# --- bodies ------------------------------------------------------------------------------------------------------------------


OPEN = (
    "/sign_up", "/signup", "/confirm_sign_up", "/confirm_signup", "/resend_confirmation_code", "/login", "/refresh",
    "/forgot_password", "/confirm_forgot_password",
)  # fmt: skip
BAD_BODIES = [
    b"{", b"[]", b"7", b'"x"', b"null", b"\xff\xfe", b'{"username": NaN}', b"[" * 40_000, b'{"a":' * 9_000,
    b'{"username": "alice", "username": "bob"}', b'{"a": {"b": 1, "b": 2}}', "{}".encode("utf-16"),
]  # fmt: skip


@pytest.mark.parametrize("path", [*OPEN, "/logout", ""])
def test_a_body_that_is_no_object_is_400(program: Program, path: str) -> None:
    for body in BAD_BODIES:
        refused(program(path, body), 400, "parse_error")


def test_an_empty_body_says_what_is_missing(program: Program) -> None:
    for path in OPEN:
        for body in (b"", b"{}", b' {"unknown": [1, {"a": 2}]} '):
            assert refused(program(path, body), 400, "invalid")["errors"]


def test_what_carries_secrets_is_post_alone(program: Program) -> None:
    for path in OPEN:
        for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS"):
            refused(program(path, NEW, method), 405, "method_not_allowed")


def test_json_is_read_whatever_it_is_called(program: Program, alice: User) -> None:
    body = {"username": "alice", "password": PASSWORD}
    for kind in (
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-8",
        "x",
        "multipart/form-data",
    ):
        assert program("/login", body, content_type=kind, accept="text/html").status_code == 200


def test_a_form_is_no_json(program: Program) -> None:
    refused(program("/login", b"username=alice&password=x", content_type="application/x-www-form-urlencoded"), 400, "parse_error")


def test_no_csrf_token_is_needed_where_no_cookie_counts(alice: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    body = json.dumps({"username": "alice", "password": PASSWORD})
    assert browser.generic("POST", "/api/user/login", body, "application/json").status_code == 200


@pytest.mark.parametrize("path", ["/nothing", "/login/x", "//login", "/payment/paypal", "/login%00"])
def test_a_path_that_is_none_says_so_in_the_same_shape(program: Program, path: str) -> None:
    refused(program(path, {}), 404, "not_found")
