"""Guessing from anywhere is slow, and keeps nobody out who has been here before."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any

import pytest
import time_machine
from django.conf import settings as django_settings
from django.core.mail import EmailMessage
from django.db import connections
from django.test import Client
from django.utils import timezone

from accounts import known_browsers
from accounts.models import User
from accounts.tests.helpers import PASSWORD, RECOVER, RECOVER_CODE, RECOVER_NEW, SIGN_IN, code_in, other_than

GOOD = {"login": "alice", "password": PASSWORD}
BAD = {"login": "alice", "password": "red pump 42 stops"}
HOME, CAFE = "198.51.100.7", "203.0.113.20"


@pytest.fixture(autouse=True)
def _behind_a_proxy(settings: Any) -> None:
    """As with PORTAL_BEHIND_PROXY: the address is what the proxy says."""
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1


@pytest.fixture
def owner(alice: User) -> Client:
    """Return Alice's browser at home, on which she has signed in, and out again."""
    browser = at(HOME)
    assert browser.post(SIGN_IN, GOOD).status_code == 302
    browser.post("/accounts/logout/")
    return browser


def at(address: str) -> Client:
    """Return a new browser behind an address."""
    return Client(headers={"x-forwarded-for": address})


def attack(times: int, login: str = "alice", first: int = 0) -> Counter[int]:
    """Try wrong passwords, each from another address; return how often there was which answer."""
    addresses = (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(first, first + times))
    return Counter(at(address).post(SIGN_IN, {**BAD, "login": login}).status_code for address in addresses)


def later(**by: float) -> time_machine.travel:
    return time_machine.travel(timezone.now() + timedelta(**by))


def test_a_thousand_addresses_get_five_tries_in_five_minutes_and_the_owner_still_gets_in(owner: Client) -> None:
    began = timezone.now()
    answers = attack(1000)
    windows = 1 + (timezone.now() - began) // timedelta(minutes=5)  # a machine with much to do may need more than one
    assert answers[400] <= 5 * windows
    assert answers[400] + answers[429] == 1000

    assert owner.post(SIGN_IN, GOOD).status_code == 302
    assert at(HOME).post(SIGN_IN, GOOD).status_code == 302, "a new browser at a known address"


def test_an_attack_that_goes_on_gets_fifty_tries_a_day(owner: Client) -> None:
    looked_at = 0
    for minutes in range(0, 24 * 60, 20):
        with later(minutes=minutes):
            looked_at += attack(6, first=minutes)[400]
    assert looked_at == 50

    with later(hours=23):
        assert owner.post(SIGN_IN, GOOD).status_code == 302


def test_a_stranger_is_told_to_wait_or_to_get_a_mail_and_the_mail_makes_the_browser_known(
    owner: Client, mailoutbox: list[EmailMessage]
) -> None:
    attack(6)
    new = at(CAFE)
    response = new.post(SIGN_IN, GOOD)
    assert response.status_code == 429
    assert 290 <= int(response["Retry-After"]) <= 301
    assert b"Try again in" in response.content
    assert b"get a new password by mail" in response.content

    new.post(RECOVER, {"email": "alice@example.org"})
    new.post(RECOVER_CODE, {"code": code_in(mailoutbox[-1])})
    new.post(RECOVER_NEW, {"password1": "blue valve 7 opens"})
    attack(6, first=100)
    assert new.post(SIGN_IN, {**GOOD, "password": "blue valve 7 opens"}).status_code == 302


def test_the_names_of_one_person_are_known_together(owner: Client) -> None:
    attack(6, login="alice@example.org")

    assert owner.post(SIGN_IN, {**GOOD, "login": "Alice@Example.org"}).status_code == 302


def test_a_known_browser_has_five_tries_of_its_own(owner: Client) -> None:
    answers = [owner.post(SIGN_IN, BAD).status_code for _ in range(6)]

    assert answers == [400] * 5 + [429]
    assert attack(6) == {400: 5, 429: 1}, "and takes none of the strangers'"


def test_what_is_known_for_one_is_no_help_against_another(owner: Client, bob: User) -> None:
    attack(6, login="bob")

    assert owner.post(SIGN_IN, {"login": "bob", "password": PASSWORD}).status_code == 429


def test_two_people_of_one_browser_are_both_known(owner: Client, bob: User) -> None:
    assert owner.post(SIGN_IN, {"login": "bob", "password": PASSWORD}).status_code == 302
    owner.post("/accounts/logout/")
    attack(6)
    attack(6, login="bob")

    away = at(CAFE)
    away.cookies = SimpleCookie({known_browsers.COOKIE: owner.cookies[known_browsers.COOKIE].value})
    assert away.post(SIGN_IN, {"login": "bob", "password": PASSWORD}).status_code == 302
    away.post("/accounts/logout/")
    assert away.post(SIGN_IN, GOOD).status_code == 302


@pytest.mark.parametrize("forge", [lambda value: "x" + value, lambda value: value[:-2], lambda value: "", lambda value: "[[]]"])
def test_a_forged_cookie_is_none(owner: Client, forge: Any) -> None:
    attack(6)
    forged = at(CAFE)
    forged.cookies = SimpleCookie({known_browsers.COOKIE: forge(owner.cookies[known_browsers.COOKIE].value)})

    assert forged.post(SIGN_IN, GOOD).status_code == 429


def test_the_cookie_is_for_the_door_alone_out_of_scripts_reach_and_names_nobody(owner: Client) -> None:
    cookie = owner.cookies[known_browsers.COOKIE]

    assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == ("/accounts/", True, "Lax")
    assert "alice" not in cookie.value


def test_an_address_at_its_limit_uses_up_nobody_elses_tries(alice: User) -> None:
    one = at(CAFE)
    for number in range(10):
        assert one.post(SIGN_IN, {**BAD, "login": f"nobody{number}"}).status_code == 400
    assert one.post(SIGN_IN, BAD).status_code == 429

    assert b"4 tries left." in at("10.0.0.1").post(SIGN_IN, BAD).content


def test_one_network_of_ipv6_is_one_address(alice: User) -> None:
    for number in range(10):
        assert at(f"2001:db8:1:2::{number}").post(SIGN_IN, {**BAD, "login": f"nobody{number}"}).status_code == 400

    assert at("2001:db8:1:2:ffff::1").post(SIGN_IN, GOOD).status_code == 429
    assert at("2001:db8:1:3::1").post(SIGN_IN, GOOD).status_code == 302


def test_an_unknown_name_is_counted_as_a_known_one(alice: User) -> None:
    assert attack(7, login="nobody") == attack(7, login="alice", first=100) == {400: 5, 429: 2}


def test_many_strangers_get_five_mails_to_a_mailbox_and_the_owner_still_gets_one(
    owner: Client, mailoutbox: list[EmailMessage]
) -> None:
    answers = Counter(at(f"10.0.1.{number}").post(RECOVER, {"email": "alice@example.org"}).status_code for number in range(200))

    assert answers == {302: 5, 429: 195}
    assert len(mailoutbox) == 5
    assert owner.post(RECOVER, {"email": "alice@example.org"}).status_code == 302
    assert len(mailoutbox) == 6


def test_ten_wrong_codes_a_day_over_all_that_strangers_had_sent(owner: Client, mailoutbox: list[EmailMessage]) -> None:
    looked_at = 0
    for number in range(4):
        guesser = at(f"10.0.2.{number}")
        guesser.post(RECOVER, {"email": "alice@example.org"})
        wrong = other_than(code_in(mailoutbox[-1]))
        looked_at += sum(guesser.post(RECOVER_CODE, {"code": wrong}).status_code == 400 for _ in range(4))
    assert looked_at == 10
    last = code_in(mailoutbox[-1])
    guesser.post(RECOVER_CODE, {"code": last})
    assert guesser.get(RECOVER_NEW)["Location"] == RECOVER

    owner.post(RECOVER, {"email": "alice@example.org"})
    assert owner.post(RECOVER_CODE, {"code": code_in(mailoutbox[-1])})["Location"] == RECOVER_NEW


@pytest.mark.django_db(transaction=True)
def test_many_guesses_at_once_are_five(alice: User, mailoutbox: list[EmailMessage], settings: Any) -> None:
    settings.TRIES = {**settings.TRIES, "recover_code": dict.fromkeys(settings.TRIES["recover_code"], "1000/d/key")}
    browser = at(CAFE)
    browser.post(RECOVER, {"email": alice.email})
    session = browser.cookies[django_settings.SESSION_COOKIE_NAME].value

    def guess(number: int) -> int:
        try:
            one = at(CAFE)
            one.cookies = SimpleCookie({django_settings.SESSION_COOKIE_NAME: session})
            return one.post(RECOVER_CODE, {"code": other_than(code_in(mailoutbox[0]))}).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(12) as threads:
        answers = Counter(threads.map(guess, range(24)))

    assert answers[400] == 4, "the fifth ends the code"
    assert browser.get(RECOVER_CODE).status_code == 302
