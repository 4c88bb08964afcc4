from __future__ import annotations

import re
from datetime import timedelta

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.core.mail import EmailMessage
from django.test import Client
from django.utils import timezone

from accounts.models import ApiToken, User
from accounts.services import create_token, find_token
from accounts.tests.helpers import (
    PASSWORD,
    RECOVER,
    RECOVER_CODE,
    RECOVER_NEW,
    SIGN_IN,
    SIGN_UP,
    code_in,
    has_code,
    other_than,
    sign_up_data,
)

NEW = "blue valve 7 opens"


def recover(client: Client, mailoutbox: list[EmailMessage], email: str = "alice@example.org", password: str = NEW) -> None:
    client.post(RECOVER, {"email": email})
    client.post(RECOVER_CODE, {"code": code_in(mailoutbox[-1])})
    client.post(RECOVER_NEW, {"password1": password})


def may_sign_in(password: str, login: str = "alice") -> bool:
    return Client().post(SIGN_IN, {"login": login, "password": password}).status_code == 302


def test_it_names_the_user_and_changes_the_password_with_the_code(
    client: Client, alice: User, mailoutbox: list[EmailMessage]
) -> None:
    assert client.post(RECOVER, {"email": "Alice@Example.org"})["Location"] == RECOVER_CODE
    assert "Your user name: alice" in mailoutbox[0].body
    assert client.post(RECOVER_CODE, {"code": code_in(mailoutbox[0])})["Location"] == RECOVER_NEW
    response = client.post(RECOVER_NEW, {"password1": NEW}, follow=True)

    assert b"Password changed" in response.content
    assert "_auth_user_id" not in client.session
    assert may_sign_in(NEW)
    assert not may_sign_in(PASSWORD)
    assert "was changed" in mailoutbox[1].subject
    assert not has_code(mailoutbox[1])


def test_it_ends_all_sessions_and_tokens(client: Client, as_alice: Client, alice: User, mailoutbox: list[EmailMessage]) -> None:
    _, secret = create_token(user=alice, name="ci")
    assert as_alice.get("/account/").status_code == 200
    recover(client, mailoutbox)

    assert as_alice.get("/account/").status_code == 302
    assert find_token(secret) is None
    assert not ApiToken.objects.exists()


def test_it_answers_a_known_address_as_an_unknown_one(client: Client, alice: User, mailoutbox: list[EmailMessage]) -> None:
    other = Client()
    pages = []
    for browser, email in ((client, "alice@example.org"), (other, "dora@example.org")):
        assert browser.post(RECOVER, {"email": email})["Location"] == RECOVER_CODE
        page = browser.get(RECOVER_CODE).content.decode().replace(email, "…")
        pages.append(re.sub(r'name="csrfmiddlewaretoken" value="[^"]*"', "", page))
        response = browser.post(RECOVER_CODE, {"code": "x"})
        assert (response.status_code, response.context["tries_left"]) == (400, "4 tries left.")

    assert pages[0] == pages[1]
    assert "There is no account with this address" in mailoutbox[1].body
    assert not has_code(mailoutbox[1])


@pytest.mark.parametrize("code", ["", "000000", "None"])
def test_no_code_opens_an_unknown_account(client: Client, code: str) -> None:
    client.post(RECOVER, {"email": "dora@example.org"})

    assert client.post(RECOVER_CODE, {"code": code}).status_code == 400
    assert client.get(RECOVER_NEW)["Location"] == RECOVER_CODE


def test_five_wrong_codes_end_it(client: Client, alice: User, mailoutbox: list[EmailMessage]) -> None:
    client.post(RECOVER, {"email": alice.email})
    code = code_in(mailoutbox[0])
    for _ in range(5):
        response = client.post(RECOVER_CODE, {"code": other_than(code)})

    assert response["Location"] == RECOVER
    client.post(RECOVER_CODE, {"code": code})
    assert client.get(RECOVER_NEW)["Location"] == RECOVER


def test_a_code_works_for_ten_minutes_and_a_new_one_kills_it(client: Client, alice: User, mailoutbox: list[EmailMessage]) -> None:
    client.post(RECOVER, {"email": alice.email})
    client.post(RECOVER, {"email": alice.email})
    old, new = map(code_in, mailoutbox)
    assert old == new or client.post(RECOVER_CODE, {"code": old}).status_code == 400

    with time_machine.travel(timezone.now() + timedelta(minutes=10, seconds=5)):
        client.post(RECOVER_CODE, {"code": new})
        assert client.get(RECOVER_NEW)["Location"] == RECOVER


def test_the_new_password_needs_a_code_first(client: Client, alice: User) -> None:
    assert client.get(RECOVER_NEW)["Location"] == RECOVER
    client.post(RECOVER, {"email": alice.email})
    assert client.post(RECOVER_NEW, {"password1": NEW})["Location"] == RECOVER_CODE
    assert may_sign_in(PASSWORD)


@pytest.mark.parametrize("password", ["", "short", "alice@example.org", "12345678901234", "a\0bcdefghijkl", "x" * 300])
def test_it_says_what_is_wrong_with_the_new_password(
    client: Client, alice: User, mailoutbox: list[EmailMessage], password: str
) -> None:
    client.post(RECOVER, {"email": alice.email})
    client.post(RECOVER_CODE, {"code": code_in(mailoutbox[0])})
    response = client.post(RECOVER_NEW, {"password1": password})

    assert response.status_code == 400
    assert response.context["form"].errors["password1"]
    assert may_sign_in(PASSWORD)


def test_it_confirms_the_address_of_who_never_did(client: Client, mailoutbox: list[EmailMessage]) -> None:
    """So the owner of an address gets it back from somebody who signed up with it."""
    Client().post(SIGN_UP, sign_up_data())
    recover(client, mailoutbox, "carol@example.org")

    assert EmailAddress.objects.get(email="carol@example.org").verified
    assert may_sign_in(NEW, "carol")


def test_a_deactivated_user_gets_no_code(client: Client, alice: User, mailoutbox: list[EmailMessage]) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)
    client.post(RECOVER, {"email": alice.email})

    assert not has_code(mailoutbox[0])


@pytest.mark.parametrize("email", ["", "x", "a\0@example.org", "a" * 300 + "@example.org", "аlice@example.org"])
def test_it_refuses_what_is_no_address(client: Client, email: str, mailoutbox: list[EmailMessage]) -> None:
    assert client.post(RECOVER, {"email": email}).status_code == 400
    assert not mailoutbox


def test_an_address_gets_five_mails_a_minute_at_most(client: Client, alice: User, mailoutbox: list[EmailMessage]) -> None:
    codes = [client.post(RECOVER, {"email": alice.email}).status_code for _ in range(6)]

    assert codes == [302] * 5 + [429]
    assert len(mailoutbox) == 5


def test_the_change_stands_even_if_the_last_mail_cannot_be_sent(
    client: Client, alice: User, mailoutbox: list[EmailMessage], settings: object
) -> None:
    client.post(RECOVER, {"email": alice.email})
    client.post(RECOVER_CODE, {"code": code_in(mailoutbox[0])})
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"  # type: ignore[attr-defined]  # pytest-django's settings
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1  # type: ignore[attr-defined]  # pytest-django's settings
    response = client.post(RECOVER_NEW, {"password1": NEW})

    assert response.status_code == 302
    assert may_sign_in(NEW)
