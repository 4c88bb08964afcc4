"""Password and e-mail of who is signed in."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.core.mail import EmailMessage
from django.db import connections
from django.test import Client
from django.utils import timezone

from accounts.models import ApiToken, User
from accounts.services import create_token, create_user, log_in
from accounts.tests.helpers import CODE, PASSWORD, RECOVER, SIGN_IN, code_in, has_code, other_than

ACCOUNT, CHANGE_PASSWORD, CHANGE_EMAIL = "/account/", "/account/password/", "/account/email/"
NEW = "blue valve 7 opens"
ADDRESS = "alice@new.example.org"


def sign_in(name: str = "alice", password: str = PASSWORD) -> Client:
    client = Client()
    client.post(SIGN_IN, {"login": name, "password": password})
    return client


@pytest.fixture
def here(alice: User) -> Client:
    """Return a browser in which Alice has just signed in."""
    return sign_in()


def may_sign_in(login: str, password: str = PASSWORD) -> bool:
    return Client().post(SIGN_IN, {"login": login, "password": password}).status_code == 302


# --- password ------------------------------------------------------------------------------------------------------------------


def test_a_new_password_ends_everything_but_this_browser_and_is_told(
    here: Client, alice: User, mailoutbox: list[EmailMessage]
) -> None:
    other = sign_in()
    create_token(user=alice, name="ci")
    log_in(user=alice, ip=None, user_agent="curl/8")
    response = here.post(CHANGE_PASSWORD, {"password1": NEW}, follow=True)

    assert response.redirect_chain == [(ACCOUNT, 302)]
    assert b"The password is changed." in response.content
    assert other.get(ACCOUNT).status_code == 302
    assert not ApiToken.objects.exists()
    assert may_sign_in("alice", NEW)
    assert not may_sign_in("alice")
    assert mailoutbox[-1].subject == "Your password at IoT Portal was changed"
    assert mailoutbox[-1].to == ["alice@example.org"]


@pytest.mark.parametrize("password", ["", "short", "alice@example.org", "12345678901234", "a\0bcdefghijkl", "x" * 300])
def test_it_says_what_is_wrong_with_a_password(here: Client, password: str) -> None:
    response = here.post(CHANGE_PASSWORD, {"password1": password})

    assert response.status_code == 400
    assert response.context["form"].errors["password1"]
    assert may_sign_in("alice")


def test_who_has_no_password_sets_one(here: Client, alice: User, mailoutbox: list[EmailMessage]) -> None:
    alice.set_unusable_password()
    alice.save()
    here.force_login(alice)
    session = here.session  # as after signing in another way
    session["account_authentication_methods"] = [{"method": "socialaccount", "at": timezone.now().timestamp()}]
    session["account_authentication_methods_user"] = str(alice.pk)
    session.save()
    assert b"Set a password" in here.get(CHANGE_PASSWORD).content
    here.post(CHANGE_PASSWORD, {"password1": NEW})

    assert may_sign_in("alice", NEW)


@pytest.mark.parametrize("url", [CHANGE_PASSWORD, CHANGE_EMAIL])
def test_a_long_signed_in_browser_is_asked_who_it_is_first(here: Client, alice: User, url: str) -> None:
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        response = here.post(url, {"password1": NEW, "email": ADDRESS})
        assert response["Location"] == "/accounts/confirm/?next=%2Faccount%2F"
        assert NEW not in str(dict(here.session)), "a new password is nowhere stored"
        asked = here.get(url)["Location"]
        assert asked == f"/accounts/confirm/?next={url.replace('/', '%2F')}"
        assert here.post(asked, {"password": PASSWORD})["Location"] == url
        assert here.get(url).status_code == 200
    assert may_sign_in("alice")


def test_a_form_that_came_too_late_leads_back_to_its_page(here: Client) -> None:
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        response = here.post(CHANGE_EMAIL, {"email": ADDRESS}, headers={"referer": f"http://evil.example{CHANGE_EMAIL}?x=1"})
    assert response["Location"] == "/accounts/confirm/?next=%2Faccount%2Femail%2F"


def test_who_has_nothing_to_confirm_with_signs_in_again(as_alice: Client, alice: User) -> None:
    alice.set_unusable_password()
    alice.save()
    as_alice.force_login(alice)
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        response = as_alice.get(CHANGE_PASSWORD)

    assert response.status_code == 403
    assert b"Sign in again first" in response.content
    assert as_alice.post("/accounts/logout/", {"next": response.context["next"]})["Location"] == response.context["next"]


def test_the_confirmation_has_five_tries_of_its_own(here: Client, alice: User) -> None:
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        for number in range(6):  # strangers
            Client(REMOTE_ADDR=f"10.0.0.{number}").post(SIGN_IN, {"login": "alice", "password": "x"})
        answers = [here.post("/accounts/confirm/", {"password": "x"}).status_code for _ in range(6)]
    assert answers == [400] * 5 + [429]


# --- e-mail --------------------------------------------------------------------------------------------------------------------


def test_the_old_address_stays_until_the_code_was_typed_and_then_gets_a_notice(
    here: Client, alice: User, mailoutbox: list[EmailMessage]
) -> None:
    assert here.post(CHANGE_EMAIL, {"email": "Alice@New.Example.org"})["Location"] == CODE
    [mail] = mailoutbox
    assert mail.to == [ADDRESS]
    assert may_sign_in("alice@example.org")
    assert not may_sign_in(ADDRESS)
    assert b"4 tries left." in here.post(CODE, {"code": other_than(code_in(mail))}).content
    assert here.post(CODE, {"code": code_in(mail)})["Location"] == ACCOUNT

    alice.refresh_from_db()
    assert alice.email == ADDRESS
    assert [(row.email, row.verified, row.primary) for row in EmailAddress.objects.all()] == [(ADDRESS, True, True)]
    assert may_sign_in(ADDRESS)
    assert not may_sign_in("alice@example.org")
    notice = mailoutbox[1]
    assert notice.to == ["alice@example.org"]
    assert f"from alice@example.org to {ADDRESS}" in notice.body
    assert not has_code(notice)


def test_recovery_goes_to_the_old_address_until_then(here: Client, alice: User, mailoutbox: list[EmailMessage]) -> None:
    here.post(CHANGE_EMAIL, {"email": ADDRESS})
    for email in (ADDRESS, "alice@example.org"):
        Client().post(RECOVER, {"email": email})

    assert "no account" in mailoutbox[1].body
    assert "Your user name: alice" in mailoutbox[2].body


def test_an_address_that_is_taken_says_so_only_to_who_reads_its_mail(
    here: Client, alice: User, bob: User, mailoutbox: list[EmailMessage]
) -> None:
    assert here.post(CHANGE_EMAIL, {"email": "BOB@example.org"})["Location"] == CODE
    assert mailoutbox[0].to == ["bob@example.org"]
    response = here.post(CODE, {"code": code_in(mailoutbox[0])})

    assert response.status_code == 400
    assert b"That e-mail address is taken." in response.content
    alice.refresh_from_db()
    assert alice.email == "alice@example.org"


@pytest.mark.parametrize("email", ["", "x", "alice@example.org", "ALICE@example.org", "a\0@example.org", "аlice@example.org"])
def test_it_says_what_is_wrong_with_an_address(here: Client, email: str, mailoutbox: list[EmailMessage]) -> None:
    assert here.post(CHANGE_EMAIL, {"email": email}).status_code == 400
    assert not mailoutbox


def test_five_wrong_codes_lead_back_to_the_form(here: Client, alice: User, mailoutbox: list[EmailMessage]) -> None:
    here.post(CHANGE_EMAIL, {"email": ADDRESS})
    code = code_in(mailoutbox[0])
    for _ in range(5):
        response = here.post(CODE, {"code": other_than(code)})
    assert response["Location"] == CHANGE_EMAIL
    here.post(CODE, {"code": code})

    alice.refresh_from_db()
    assert alice.email == "alice@example.org"


def test_a_code_that_was_sent_to_another_browser_kills_the_first(
    here: Client, alice: User, mailoutbox: list[EmailMessage]
) -> None:
    other = sign_in()
    here.post(CHANGE_EMAIL, {"email": ADDRESS})
    with time_machine.travel(timezone.now() + timedelta(seconds=31)):
        other.post(CHANGE_EMAIL, {"email": ADDRESS})
        first, second = map(code_in, mailoutbox)
        if first != second:
            assert b"A newer code was sent" in here.post(CODE, {"code": first}).content
        assert other.post(CODE, {"code": second})["Location"] == ACCOUNT


def test_the_code_page_leads_back_to_the_form_not_to_signing_up(here: Client) -> None:
    here.post(CHANGE_EMAIL, {"email": ADDRESS})
    page = here.get(CODE).content.decode()

    assert f'href="{CHANGE_EMAIL}">Other address' in page
    assert "start-over" not in page


@pytest.mark.django_db(transaction=True)
def test_two_at_once_cannot_both_have_an_address(mailoutbox: list[EmailMessage], monkeypatch: pytest.MonkeyPatch) -> None:
    """Both codes are right, and both pass the form's check before either is saved."""
    for name in ("alice", "bob"):
        create_user(username=name, email=f"{name}@example.org", password=PASSWORD, first_name="A", last_name="B")
    browsers = [sign_in(name) for name in ("alice", "bob")]
    codes = []
    for seconds, one in enumerate(browsers):
        with time_machine.travel(timezone.now() + timedelta(seconds=31 * seconds)):
            one.post(CHANGE_EMAIL, {"email": ADDRESS})
            codes.append(code_in(mailoutbox[-1]))
    both_checked = threading.Barrier(2, timeout=20)
    plain = EmailAddress.set_verified

    def set_verified(self: EmailAddress, commit: bool = True) -> Any:
        both_checked.wait()
        return plain(self, commit)

    monkeypatch.setattr(EmailAddress, "set_verified", set_verified)

    def confirm(number: int) -> int:
        try:
            return browsers[number].post(CODE, {"code": codes[number]}).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as threads:
        answers = sorted(threads.map(confirm, range(2)))

    assert answers == [302, 302]
    assert User.objects.filter(email=ADDRESS).count() == EmailAddress.objects.filter(email=ADDRESS).count() == 1
    assert EmailAddress.objects.count() == 2, "the other one still has the old address"
    said = [b"was confirmed for another account in the meantime" in one.get(ACCOUNT).content for one in browsers]
    assert sorted(said) == [False, True]
