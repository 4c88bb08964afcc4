from __future__ import annotations

import re
from datetime import timedelta

import pytest
import time_machine
from django.conf import settings
from django.core.mail import EmailMessage
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from accounts.services import deactivate_user
from accounts.tests.helpers import PASSWORD, SIGN_IN

DEVICES = "/devices/"
GOOD = {"login": "alice", "password": PASSWORD}
BAD = {"login": "alice", "password": "red pump 42 stops"}


def signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


@pytest.mark.parametrize("login", ["alice", "ALICE", " alice ", "alice@example.org", "Alice@Example.ORG"])
def test_it_takes_user_name_and_address_in_any_case(client: Client, alice: User, login: str) -> None:
    response = client.post(SIGN_IN, {"login": login, "password": PASSWORD})

    assert response["Location"] == DEVICES
    assert signed_in(client)


def test_it_takes_an_address_that_is_the_user_name(client: Client, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(username="alice@example.org")
    client.post(SIGN_IN, {"login": "ALICE@example.org", "password": PASSWORD})

    assert signed_in(client)


@pytest.mark.parametrize("login", ["alice", "alice@example.org", "nobody", "nobody@example.org", "ａｌｉｃｅ", "аlice"])
def test_it_says_the_same_whoever_it_was(client: Client, alice: User, login: str) -> None:
    response = client.post(SIGN_IN, {"login": login, "password": "red pump 42 stops"})

    assert response.status_code == 400
    assert dict(response.context["form"].errors) == {"password": ["User name and password do not match. 4 tries left."]}
    assert b'aria-describedby="id_password-error"' in response.content
    assert b'id="id_password-error"' in response.content
    field = re.search(r'<input[^>]*name="password"[^>]*>', response.content.decode())
    assert field
    assert "autofocus" in field[0]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"login": "", "password": PASSWORD},
        {"login": "alice", "password": ""},
        {"login": "al\0ice", "password": PASSWORD},
        {"login": "alice", "password": "\0"},
        {"login": "a" * 200_000, "password": PASSWORD},
        {"login": "alice", "password": "a" * 200_000},
        {"login": "' or 1=1 --", "password": "' or 1=1 --"},
    ],
)
def test_it_refuses_anything_else_in_words(client: Client, alice: User, data: dict[str, str]) -> None:
    response = client.post(SIGN_IN, data)

    assert response.status_code == 400
    assert response.context["form"].errors
    assert not signed_in(client)


def test_it_counts_the_tries_down_then_asks_to_wait_even_with_the_right_password(client: Client, alice: User) -> None:
    said = [client.post(SIGN_IN, BAD).context["form"].errors["password"][0] for _ in range(5)]
    assert [text.removeprefix("User name and password do not match. ") for text in said] == [
        "4 tries left.",
        "3 tries left.",
        "2 tries left.",
        "1 try left.",
        "No tries left for now.",
    ]

    response = client.post(SIGN_IN, GOOD)
    assert response.status_code == 429
    assert b"Too many wrong passwords. Try again in " in response.content
    assert not signed_in(client)
    with time_machine.travel(timezone.now() + timedelta(minutes=5, seconds=1)):
        client.post(SIGN_IN, GOOD)
        assert signed_in(client)


def test_a_right_password_uses_up_no_try(client: Client, alice: User) -> None:
    for _ in range(8):
        Client().post(SIGN_IN, GOOD)
    response = client.post(SIGN_IN, BAD)

    assert "4 tries left." in response.context["form"].errors["password"][0]


def test_one_address_may_not_try_many_names(client: Client, alice: User) -> None:
    for number in range(10):
        client.post(SIGN_IN, {"login": f"nobody{number}", "password": "x"})

    assert client.post(SIGN_IN, GOOD).status_code == 429
    assert Client(REMOTE_ADDR="203.0.113.9").post(SIGN_IN, GOOD).status_code == 302


def test_even_right_passwords_are_looked_at_thirty_times_a_minute_at_most(alice: User) -> None:
    assert [Client().post(SIGN_IN, GOOD).status_code for _ in range(31)] == [302] * 30 + [429]


def test_it_forgets_the_session_with_the_browser_unless_asked_to_keep_it(alice: User) -> None:
    short, kept = Client(), Client()
    short.post(SIGN_IN, GOOD)
    kept.post(SIGN_IN, {**GOOD, "remember": "on"})

    assert short.cookies["sessionid"]["max-age"] == ""
    assert kept.cookies["sessionid"]["max-age"] == settings.ACCOUNT_SESSION_COOKIE_AGE


@pytest.mark.parametrize("target", ["/history/?device=1", "/account/"])
def test_it_goes_on_to_where_the_person_was_going(client: Client, alice: User, target: str) -> None:
    assert client.post(SIGN_IN, {**GOOD, "next": target})["Location"] == target


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "\0",
        "http:evil.example",
    ],
)
def test_it_goes_to_no_other_site(client: Client, alice: User, target: str) -> None:
    assert client.post(SIGN_IN, {**GOOD, "next": target})["Location"] == DEVICES
    assert client.get(SIGN_IN, {"next": target})["Location"] == DEVICES


def test_the_page_carries_the_target_along_and_escapes_it(client: Client) -> None:
    page = client.get(SIGN_IN, {"next": '/history/?q="><script>'}).content.decode()

    assert 'name="next" value="/history/?q=&quot;&gt;&lt;script&gt;"' in page
    assert "<script>" not in page


def test_who_is_signed_in_needs_no_door(as_alice: Client) -> None:
    assert as_alice.get(SIGN_IN)["Location"] == DEVICES
    assert as_alice.get("/accounts/signup/")["Location"] == DEVICES


def test_pages_behind_the_door_send_there_and_back(client: Client) -> None:
    assert client.get("/account/")["Location"] == "/accounts/login/?next=/account/"


def test_the_old_session_id_is_worth_nothing_after_signing_in(client: Client, alice: User) -> None:
    client.get(SIGN_IN)
    session = client.session
    session["planted"] = "yes"
    session.save()
    before = session.session_key
    client.cookies["sessionid"] = str(before)
    client.post(SIGN_IN, GOOD)

    assert client.session.session_key != before


def test_it_tells_who_was_deactivated_but_only_with_the_right_password(
    client: Client, alice: User, mailoutbox: list[EmailMessage]
) -> None:
    deactivate_user(user=alice)

    assert client.post(SIGN_IN, BAD).status_code == 400
    response = client.post(SIGN_IN, GOOD, follow=True)
    assert response.redirect_chain == [("/accounts/inactive/", 302)]
    assert b"This account is shut" in response.content
    assert not signed_in(client)
    assert not mailoutbox


def test_it_logs_out_by_post_alone(as_alice: Client) -> None:
    assert as_alice.get("/accounts/logout/").status_code == 200
    assert signed_in(as_alice)

    response = as_alice.post("/accounts/logout/", follow=True)
    assert response.redirect_chain == [(SIGN_IN, 302)]
    assert b"You are signed out." in response.content
    assert not signed_in(as_alice)


def test_a_form_from_another_site_is_refused(alice: User) -> None:
    strict = Client(enforce_csrf_checks=True)

    assert strict.post(SIGN_IN, GOOD).status_code == 403
    assert strict.post("/accounts/signup/", {}).status_code == 403


@pytest.mark.parametrize("url", [SIGN_IN, "/accounts/signup/", "/accounts/password/reset/", "/accounts/inactive/"])
def test_the_door_has_no_inline_style_or_script_and_no_placeholders(client: Client, url: str) -> None:
    response = client.get(url)
    page = response.content.decode()

    assert response.status_code == 200
    assert "default-src 'none'" in response["Content-Security-Policy"]
    for bad in (" style=", "<style", "onclick", "data:", "placeholder="):
        assert bad not in page


def test_the_fields_tell_password_managers_what_they_are(client: Client) -> None:
    page = client.get(SIGN_IN).content.decode()
    assert 'autocomplete="username"' in page
    assert 'autocomplete="current-password"' in page
    page = client.get("/accounts/signup/").content.decode()
    for word in ("given-name", "family-name", "username", "email", "new-password"):
        assert f'autocomplete="{word}"' in page


def test_it_takes_the_same_queries_however_many_browsers_are_signed_in(
    client: Client, alice: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(5):
        Client().post(SIGN_IN, GOOD)

    with django_assert_num_queries(14):
        assert client.post(SIGN_IN, GOOD).status_code == 302
