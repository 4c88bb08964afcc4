from __future__ import annotations

import sys
import time
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.mail import EmailMessage
from django.test import Client

from accounts import phones
from accounts.code_channels import Purpose
from accounts.models import User
from accounts.profile_forms import ProfileForm
from accounts.tests.helpers import PASSWORD, SIGN_IN, Sms, other_than

ACCOUNT, PROFILE, PHONE = "/account/", "/account/profile/", "/account/phone/"
REMOVE, CODE = "/account/phone/remove/", "/accounts/confirm-phone/"
NUMBER = {"country": "SE", "phone": "070-123 45 67"}


@pytest.fixture
def here(alice: User) -> Client:
    """Return a browser in which Alice has just signed in."""
    client = Client()
    client.post(SIGN_IN, {"login": "alice", "password": PASSWORD})
    return client


def phone_of(user: User) -> tuple[str, bool]:
    user.refresh_from_db()
    return user.phone, user.phone_verified


# --- name, time zone, language -------------------------------------------------------------------------------------------------


def test_the_time_zone_is_that_of_all_pages(here: Client, alice: User) -> None:
    data = {"first_name": "Alice", "last_name": "Ames", "time_zone": "Europe/Stockholm"}
    assert here.post(PROFILE, data)["Location"] == ACCOUNT

    assert 'data-zone="Europe/Stockholm"' in here.get("/menu/").content.decode()
    assert here.post(PROFILE, {**data, "time_zone": "Moon/Base"}).status_code == 400
    assert here.post(PROFILE, {"first_name": "Alice", "last_name": "Ames"}).status_code == 400


def test_saving_the_profile_writes_nothing_that_changed_meanwhile(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    client, valid = Client(), ProfileForm.is_valid
    client.force_login(alice)

    def shut_out_meanwhile(form: ProfileForm) -> bool:
        User.objects.filter(pk=alice.pk).update(is_active=False, password="!")
        return valid(form)

    monkeypatch.setattr(ProfileForm, "is_valid", shut_out_meanwhile)
    client.post(PROFILE, {"first_name": "Alice", "last_name": "Adams", "time_zone": "UTC"})
    alice.refresh_from_db()
    assert (alice.last_name, alice.is_active, alice.password) == ("Adams", False, "!")


def test_a_language_is_chosen_only_where_there_are_several(here: Client, alice: User, settings: Any) -> None:
    settings.NOTIFICATION_LANGUAGES = [("en", "English")]
    assert "id_language" not in here.get(PROFILE).content.decode()
    settings.LANGUAGES = [("en", "English"), ("sv", "svenska")]
    data = {"first_name": "Alice", "last_name": "Ames", "time_zone": "UTC", "language": "sv"}
    assert here.post(PROFILE, data)["Location"] == ACCOUNT
    assert '<html lang="sv"' in here.get("/menu/").content.decode()
    assert here.post(PROFILE, {**data, "language": "xx"}).status_code == 400
    settings.LANGUAGES = [("en", "English")]
    assert '<html lang="en"' in here.get("/menu/").content.decode()


def test_a_language_without_texts_stops_the_start(settings: Any) -> None:
    settings.LANGUAGES = [("en", "English"), ("sv", "svenska")]

    assert [(error.id, "'sv'" in error.msg) for error in run_checks() if "LANG" in error.msg] == [("iotportal.E009", True)]


# --- numbers -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "country", "stored"),
    [
        ("070-123 45 67", "SE", "+46701234567"),
        ("+46 70 123 45 67", "", "+46701234567"),
        ("+46 70 123 45 67", "US", "+46701234567"),
        ("06 698 12345", "IT", "+390669812345"),
        ("(201) 555-0123", "US", "+12015550123"),
    ],
)
def test_a_number_is_read_as_people_type_it(number: str, country: str, stored: str) -> None:
    assert phones.parse(number, country) == stored


@pytest.mark.parametrize(
    ("number", "country"),
    [
        ("070-123 45 67", ""),
        ("12", "SE"),
        ("+", ""),
        ("abc", "SE"),
        ("\0", "SE"),
        ("٠٧٠", "SE"),
        ("+999 12345", ""),
        ("1" * 300, "US"),
    ],
)
def test_what_is_no_number_is_refused(number: str, country: str) -> None:
    with pytest.raises(phones.NoPhoneNumber):
        phones.parse(number, country)


def test_every_country_has_a_name_and_a_number() -> None:
    names = [words for _, words in phones.countries()]
    assert len(names) > 240
    assert all(words.rpartition(" +")[2].isdigit() and not words.startswith("*") for words in names)
    assert ("SE", "Sweden +46") in phones.countries()
    assert "phonenumbers.geodata" not in sys.modules  # 100 MB in every process


def test_a_number_comes_back_as_it_was_typed() -> None:
    assert phones.split("+46701234567") == ("SE", "070-123 45 67")
    assert phones.show("+46701234567") == "+46 70 123 45 67"
    assert (phones.split(""), phones.show("")) == (("", ""), "")


# --- the phone page ------------------------------------------------------------------------------------------------------------


def test_without_sms_the_number_is_kept_unconfirmed_and_the_owner_told(
    here: Client, alice: User, mailoutbox: list[EmailMessage]
) -> None:
    assert b"SMS is not set up on this server" in here.get(PHONE).content
    assert here.post(PHONE, NUMBER)["Location"] == ACCOUNT

    assert phone_of(alice) == ("+46701234567", False)
    page = here.get(ACCOUNT).content.decode()
    assert "+46 70 123 45 67" in page
    assert "not confirmed" in page
    assert mailoutbox[-1].subject == "Your phone number at IoT Portal was changed"
    assert "+46 70 123 45 67" in mailoutbox[-1].body


def test_with_sms_the_old_number_stays_until_the_code_was_typed(
    here: Client, alice: User, sms: Sms, mailoutbox: list[EmailMessage]
) -> None:
    User.objects.filter(pk=alice.pk).update(phone="+46701111111", phone_verified=True)
    assert here.post(PHONE, NUMBER)["Location"] == CODE
    [(address, code, purpose)] = sms.sent
    assert (address, purpose) == ("+46701234567", Purpose.CONFIRM_PHONE)
    assert phone_of(alice) == ("+46701111111", True)
    wrong = here.post(CODE, {"code": other_than(code)})
    assert b"That code is not right. 4 tries left." in wrong.content
    assert here.post(CODE, {"code": code})["Location"] == ACCOUNT

    assert phone_of(alice) == ("+46701234567", True)
    assert "confirmed by a code" in mailoutbox[-1].body
    assert here.post(CODE, {"code": code})["Location"] == PHONE, "a code works once"


def test_five_wrong_codes_end_it(here: Client, alice: User, sms: Sms) -> None:
    here.post(PHONE, NUMBER)
    code = sms.sent[0][1]
    for _ in range(5):
        response = here.post(CODE, {"code": other_than(code)})
    assert response["Location"] == PHONE
    here.post(CODE, {"code": code})

    assert phone_of(alice) == ("", False)


def test_another_code_takes_the_place_of_the_first_but_not_at_once(here: Client, alice: User, sms: Sms) -> None:
    here.post(PHONE, NUMBER)
    assert b"a moment ago" in here.post(CODE, {"action": "resend"}, follow=True).content
    assert len(sms.sent) == 1
    _a_while_later(here)
    here.post(CODE, {"action": "resend"})
    (_, old, _), (_, new, _) = sms.sent
    assert old == new or here.post(CODE, {"code": old}).status_code == 400
    assert here.post(CODE, {"code": new})["Location"] == ACCOUNT


def _a_while_later(client: Client) -> None:
    """Forget when the last code was sent."""
    from django.core.cache import cache

    for key in cache._cache.get_client().scan_iter("*verify_phone*"):  # type: ignore[attr-defined]  # what is below Django's cache
        cache._cache.get_client().delete(key)  # type: ignore[attr-defined]  # what is below Django's cache
    session = client.session
    session["account_phone_verification"]["at"] = time.time() - 60
    session.save()


def test_an_sms_that_cannot_be_sent_is_said(here: Client, alice: User, sms: Sms) -> None:
    sms.broken = True
    response = here.post(PHONE, NUMBER)

    assert response.status_code == 400
    assert b"The SMS could not be sent." in response.content


def test_the_number_of_the_second_factor_cannot_be_taken_away(here: Client, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(phone="+46701111111", phone_verified=True, code_factor="sms")
    for response in (here.post(PHONE, NUMBER), here.post(REMOVE, follow=True)):
        assert b"Switch them off first." in response.content

    assert phone_of(alice) == ("+46701111111", True)


def test_the_number_is_removed(here: Client, alice: User, mailoutbox: list[EmailMessage]) -> None:
    User.objects.filter(pk=alice.pk).update(phone="+46701111111", phone_verified=True)
    assert here.post(REMOVE)["Location"] == ACCOUNT

    assert phone_of(alice) == ("", False)
    assert "was removed" in mailoutbox[-1].body


@pytest.mark.parametrize(
    "data", [{}, {"country": "SE", "phone": ""}, {"country": "XX", "phone": "1"}, {"country": "SE", "phone": "12"}]
)
def test_it_says_what_is_wrong_with_a_number(here: Client, alice: User, data: dict[str, str]) -> None:
    response = here.post(PHONE, {**data, "x": ""})

    assert response.status_code == 400
    assert 'id="phone-error"' in response.content.decode()


def test_the_phone_needs_a_recent_sign_in(as_alice: Client, alice: User) -> None:
    for url in (PHONE, REMOVE):
        assert as_alice.post(url, NUMBER)["Location"].startswith("/accounts/confirm/")
    assert phone_of(alice) == ("", False)
    assert as_alice.get(CODE)["Location"] == PHONE
