"""Who came too often is told when to come again, also by those limits of allauth's that are for an hour or a day."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from accounts.limits import Limit
from accounts.models import User
from accounts.tests.helpers import PASSWORD, SIGN_IN, SIGN_UP, sign_up_data
from accounts.tests.test_headless import NEW, Program
from iotportal.words import wait

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_valkey")]

CODE_MAIL = Limit("confirm_email")


def use_up_an_hour(mailbox: str) -> None:
    """Count ten mails with codes to a mailbox, the first one half an hour ago."""
    began = timezone.now() - timedelta(minutes=30)
    for number in range(10):
        with time_machine.travel(began + timedelta(seconds=40 * number)):
            assert CODE_MAIL.allow(mailbox)


def test_a_page_says_how_long_until_there_is_another_code_for_that_mailbox(client: Client) -> None:
    use_up_an_hour("carol@example.org")
    response = client.post(SIGN_UP, sign_up_data(email="Carol@example.org"))

    assert response.status_code == 429
    assert 1790 <= int(response["Retry-After"]) <= 1800
    assert "Try again in 30 min." in response.content.decode()


def test_a_new_address_is_told_so_too(as_alice: Client, alice: User) -> None:
    use_up_an_hour("other@example.org")
    as_alice.post("/accounts/logout/")
    as_alice.post(SIGN_IN, {"login": "alice", "password": PASSWORD})
    response = as_alice.post("/account/email/", {"email": "other@example.org"})

    assert response.status_code == 429
    assert int(response["Retry-After"]) >= 1790


@pytest.mark.parametrize(("login", "words"), [("carol", "Try again in"), ("Carol@example.org", "sign in again in")])
def test_who_never_confirmed_is_told_and_only_with_the_right_password(login: str, words: str) -> None:
    Client().post(SIGN_UP, sign_up_data())
    refused = Client().post(SIGN_IN, {"login": login, "password": PASSWORD})
    wrong = Client().post(SIGN_IN, {"login": login, "password": "guess"})

    assert refused.status_code == 429
    assert 20 <= int(refused["Retry-After"]) <= 30
    assert f"{words} {wait(int(refused['Retry-After']))}" in refused.content.decode()
    assert wrong.status_code == 400
    assert not wrong.has_header("Retry-After")


def test_a_program_is_told_as_well_whichever_limit_it_was(alice: User) -> None:
    program = Program()
    guesses = [program.ask("POST", "auth/login", {"username": "alice", "password": "guess"}) for _ in range(6)]
    assert [one.status_code for one in guesses] == [400] * 5 + [429]
    assert guesses[-1].json()["status"] == 429
    assert 290 <= int(guesses[-1]["Retry-After"]) <= 300

    program.ask("POST", "auth/signup", NEW)
    again = program.ask("POST", "auth/email/verify/resend")
    assert again.status_code == 429
    assert 20 <= int(again["Retry-After"]) <= 30
    early = Program().ask("POST", "auth/login", {"username": NEW["username"], "password": PASSWORD})
    assert early.status_code == 429
    assert 20 <= int(early["Retry-After"]) <= 30


@pytest.mark.parametrize("name", ["\0", "\ud800", ["a"], None, "a" * 300])
def test_no_name_that_was_typed_breaks_the_refusal(name: object) -> None:
    program = Program()
    for _ in range(21):
        answer = program.ask("POST", "auth/signup", {**NEW, "email": name, "username": name})

    assert answer.status_code in {400, 429}
    assert "Retry-After" in answer if answer.status_code == 429 else True


@pytest.mark.parametrize(
    ("left_s", "words"),
    [
        (0.2, "1 s"),
        (119, "119 s"),
        (119.5, "2 min"),
        (121, "3 min"),
        (7140, "119 min"),
        (7141, "2 h"),
        (86400, "24 h"),
        (200_000, "3 d"),
    ],
)
def test_a_wait_in_words_is_never_shorter_than_it_takes(left_s: float, words: str) -> None:
    assert wait(left_s) == words
