from __future__ import annotations

import re
from datetime import timedelta

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.core.mail import EmailMessage
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.services import codes
from accounts.tests.helpers import CODE, PASSWORD, SIGN_IN, SIGN_UP, code_in, other_than, sign_up_data


@pytest.fixture
def carol(client: Client, mailoutbox: list[EmailMessage]) -> User:
    """Somebody who has just signed up in `client` and has the first mail."""
    client.post(SIGN_UP, sign_up_data())
    return User.objects.get()


def later(**by: float) -> time_machine.travel:
    return time_machine.travel(timezone.now() + timedelta(**by))


def signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_the_page_names_the_address_the_sender_and_the_time(client: Client, carol: User) -> None:
    page = client.get(CODE).content.decode()

    assert "carol@example.org" in page
    assert "10 minutes" in page
    assert "portal@localhost" in page
    field = re.search(r'<input[^>]*name="code"[^>]*>', page)
    assert field
    for attribute in ('autocomplete="one-time-code"', 'inputmode="numeric"', 'maxlength="6"', 'class="six"'):
        assert attribute in field[0]


def test_it_says_how_many_tries_are_left(client: Client, carol: User, mailoutbox: list[EmailMessage]) -> None:
    response = client.post(CODE, {"code": other_than(code_in(mailoutbox[0]))})

    assert response.status_code == 400
    assert b"That code is not right. 4 tries left." in response.content
    assert b'aria-describedby="id_code_error"' in response.content
    assert b'id="id_code_error"' in response.content


def test_an_empty_field_is_no_try(client: Client, carol: User) -> None:
    response = client.post(CODE, {"code": ""})

    assert b"Type the 6 digits from the mail." in response.content
    assert response.context["tries_left"] == "5 tries left."


def test_an_empty_field_and_letters_use_up_no_guess_at_a_newer_code(client: Client, carol: User) -> None:
    codes.make_live(user=carol, address=carol.email, code="042042")
    for _ in range(5):
        client.post(CODE, {"code": ""})
    client.post(CODE, {"code": "abc"})
    client.post(CODE, {"code": "042042"})
    assert signed_in(client)


def test_five_wrong_codes_end_the_code_and_signing_in_sends_another(
    client: Client, carol: User, mailoutbox: list[EmailMessage]
) -> None:
    code = code_in(mailoutbox[0])
    for _ in range(4):
        client.post(CODE, {"code": other_than(code)})
    response = client.post(CODE, {"code": other_than(code)}, follow=True)

    assert response.redirect_chain == [(SIGN_IN, 302)]
    assert b"5 wrong codes" in response.content
    client.post(CODE, {"code": code})
    assert not signed_in(client)
    with later(seconds=31):
        client.post(SIGN_IN, {"login": "carol", "password": PASSWORD})
        client.post(CODE, {"code": code_in(mailoutbox[1])})
        assert signed_in(client)


@pytest.mark.parametrize("typed", ["{0} ", " {0}", "{1} {2}", "{1}-{2}"])
def test_it_takes_a_code_with_spaces_or_a_dash(client: Client, carol: User, mailoutbox: list[EmailMessage], typed: str) -> None:
    code = code_in(mailoutbox[0])
    client.post(CODE, {"code": typed.format(code, code[:3], code[3:])})

    assert signed_in(client)


@pytest.mark.parametrize("typed", ["１２３４５６", "0" * 100_000, "12\0456", "<script>", "½½½½½½", ""])
def test_it_takes_any_nonsense_for_a_wrong_code(client: Client, carol: User, typed: str) -> None:
    assert client.post(CODE, {"code": typed}).status_code == 400


def test_a_code_works_for_ten_minutes(client: Client, carol: User, mailoutbox: list[EmailMessage]) -> None:
    with later(minutes=9, seconds=55):
        client.post(CODE, {"code": code_in(mailoutbox[0])})
        assert signed_in(client)


def test_a_code_does_not_work_after_ten_minutes(client: Client, carol: User, mailoutbox: list[EmailMessage]) -> None:
    with later(minutes=10, seconds=5):
        response = client.post(CODE, {"code": code_in(mailoutbox[0])})
        assert response["Location"] == SIGN_IN
        assert not signed_in(client)
        assert not EmailAddress.objects.get().verified


def test_a_code_works_once(client: Client, carol: User, mailoutbox: list[EmailMessage]) -> None:
    code = code_in(mailoutbox[0])
    client.post(CODE, {"code": code})
    client.post("/accounts/logout/")
    client.post(CODE, {"code": code})

    assert not signed_in(client)


def test_a_code_works_only_in_the_browser_that_asked_for_it(carol: User, mailoutbox: list[EmailMessage]) -> None:
    other = Client()
    response = other.post(CODE, {"code": code_in(mailoutbox[0])})

    assert response["Location"] == SIGN_IN
    assert not signed_in(other)


def test_a_new_code_kills_the_old_one(client: Client, carol: User, mailoutbox: list[EmailMessage]) -> None:
    with later(seconds=31):
        assert client.post(CODE, {"action": "resend"})["Location"] == CODE
        old, new = map(code_in, mailoutbox)
        client.post(CODE, {"code": old})
        assert not signed_in(client) or old == new
        client.post(CODE, {"code": new})
        assert signed_in(client)


def test_a_new_code_has_its_own_ten_minutes_and_tries(client: Client, carol: User, mailoutbox: list[EmailMessage]) -> None:
    for _ in range(4):
        client.post(CODE, {"code": other_than(code_in(mailoutbox[0]))})
    with later(minutes=9):
        client.post(CODE, {"action": "resend"})
    with later(minutes=18):
        response = client.post(CODE, {"code": other_than(code_in(mailoutbox[1]))})
        assert response.context["tries_left"] == "4 tries left."
        client.post(CODE, {"code": code_in(mailoutbox[1])})
        assert signed_in(client)


def test_it_says_when_the_next_code_can_be_asked_for(client: Client, carol: User, mailoutbox: list[EmailMessage]) -> None:
    response = client.post(CODE, {"action": "resend"})

    assert response.status_code == 429
    assert 25 <= int(response["Retry-After"]) <= 30
    assert f"Ask for a new one in {response['Retry-After']} s." in response.content.decode()
    assert len(mailoutbox) == 1
    client.post(CODE, {"code": code_in(mailoutbox[0])})
    assert signed_in(client), "the first code still works"


def test_it_sends_no_more_than_five_codes_after_the_first(client: Client, carol: User, mailoutbox: list[EmailMessage]) -> None:
    for number in range(1, 6):
        with later(seconds=31 * number):
            client.post(CODE, {"action": "resend"})
    with later(seconds=31 * 6):
        page = client.get(CODE).content
        client.post(CODE, {"action": "resend"})

    assert len(mailoutbox) == 6
    assert b"That was the last code for now." in page
    assert b'value="resend"' not in page


def test_an_address_gets_no_more_than_ten_codes_an_hour(client: Client, carol: User, mailoutbox: list[EmailMessage]) -> None:
    for number in range(1, 12):
        with later(seconds=31 * number):
            Client().post(SIGN_IN, {"login": "carol", "password": PASSWORD})

    assert len(mailoutbox) == 10


def test_who_never_confirmed_can_sign_in_and_gets_the_code_page(carol: User, mailoutbox: list[EmailMessage]) -> None:
    browser = Client()
    with later(days=3):
        response = browser.post(SIGN_IN, {"login": "carol@example.org", "password": PASSWORD})
        assert response["Location"] == CODE
        assert not signed_in(browser)
        browser.post(CODE, {"code": code_in(mailoutbox[1])})
        assert signed_in(browser)


def test_signing_in_again_at_once_asks_for_patience(carol: User, mailoutbox: list[EmailMessage]) -> None:
    for login in ("carol", "carol@example.org"):
        assert Client().post(SIGN_IN, {"login": login, "password": PASSWORD}).status_code == 429
    assert len(mailoutbox) == 1


def test_without_a_code_under_way_it_asks_to_sign_in(client: Client) -> None:
    assert client.get(CODE)["Location"] == SIGN_IN


def test_who_is_signed_in_is_sent_to_the_account(as_alice: Client) -> None:
    assert as_alice.get(CODE)["Location"] == "/accounts/email/"
    assert as_alice.get("/accounts/email/")["Location"] == "/account/"


def test_the_code_is_in_no_log(
    client: Client, carol: User, mailoutbox: list[EmailMessage], caplog: pytest.LogCaptureFixture
) -> None:
    client.post(CODE, {"code": code_in(mailoutbox[0])})

    assert code_in(mailoutbox[0]) not in caplog.text
