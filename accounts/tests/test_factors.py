from __future__ import annotations

import base64
import secrets
import threading
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from django.db import connection
from pytest_django import Settings

from accounts.mfa_adapter import MfaAdapter
from accounts.models import User
from accounts.services.factors import TooManyTries, check_code, forget_tries, needs_second_factor, tries_left, use_code
from accounts.tests.factor_helpers import add_app, add_recovery_codes, app_code, authenticator, wrong_code
from iotportal.sealing import SealError

NOON = datetime(2031, 5, 1, 12, 0, 10, tzinfo=UTC)


def test_a_password_alone_is_enough_until_there_is_a_factor(alice: User, bob: User) -> None:
    assert not needs_second_factor(alice)
    add_app(bob)
    assert needs_second_factor(bob)
    assert not needs_second_factor(alice)


def test_recovery_codes_alone_are_no_factor(alice: User) -> None:
    add_recovery_codes(alice)
    assert not needs_second_factor(alice)


@pytest.mark.parametrize("kind", ["email", "sms"])
def test_a_code_that_is_sent_is_a_factor(alice: User, kind: str) -> None:
    User.objects.filter(pk=alice.pk).update(phone="+15550001", phone_verified=True, code_factor=kind)
    alice.refresh_from_db()
    assert needs_second_factor(alice)


def test_the_apps_code_is_good_once(alice: User) -> None:
    secret = add_app(alice)
    with time_machine.travel(NOON, tick=False):
        assert use_code(alice, app_code(secret)) == "totp"
        assert not check_code(alice, app_code(secret))


@pytest.mark.parametrize("later", [0, 29, 59, 89])
def test_a_code_is_not_good_again_however_late_it_comes_back(alice: User, later: int) -> None:
    secret = add_app(alice)
    with time_machine.travel(NOON, tick=False):
        code = app_code(secret)
        assert check_code(alice, code)
    with time_machine.travel(NOON + timedelta(seconds=later), tick=False):
        assert not check_code(alice, code)


def test_an_older_code_is_not_good_after_a_newer_one(alice: User) -> None:
    secret = add_app(alice)
    with time_machine.travel(NOON, tick=False):
        assert check_code(alice, app_code(secret, steps=1))
        assert not check_code(alice, app_code(secret))
        assert not check_code(alice, app_code(secret, steps=-1))


@pytest.mark.parametrize(("steps", "good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_clocks_may_differ_by_one_code(alice: User, steps: int, good: bool) -> None:
    secret = add_app(alice)
    with time_machine.travel(NOON, tick=False):
        assert check_code(alice, app_code(secret, steps=steps)) is good


def test_what_allauth_took_by_itself_is_used_up_here_too(alice: User) -> None:
    secret = add_app(alice)
    app = authenticator(alice, "totp")
    with time_machine.travel(NOON, tick=False):
        code = app_code(secret)
        assert app.wrap().validate_code(code)
        app.record_usage()
    with time_machine.travel(NOON + timedelta(seconds=45), tick=False):
        assert not check_code(alice, code)


def test_anothers_code_is_not_good(alice: User, bob: User) -> None:
    add_app(alice)
    assert not check_code(alice, app_code(add_app(bob)))


@pytest.mark.parametrize("write", [str, lambda code: f"{code[:5]}-{code[5:]}", lambda code: f" {code[:5]} {code[5:]} "])
def test_a_recovery_code_is_good_once_however_it_is_written(alice: User, write: object) -> None:
    add_app(alice)
    first, second, *_ = add_recovery_codes(alice)
    assert use_code(alice, write(first)) == "recovery_codes"  # type: ignore[operator]  # a fixture
    assert not check_code(alice, first)
    assert check_code(alice, second)
    assert len(authenticator(alice, "recovery_codes").wrap().get_unused_codes()) == 8


@pytest.mark.parametrize(
    "code", ["", " ", "0", "123456789", "١٢٣٤٥٦", "１２３４５６", "\0" * 6, "abcdef", "1" * 100_000, "'; --", "12345\n"]
)
def test_nonsense_is_no_code(alice: User, code: str) -> None:
    add_app(alice)
    add_recovery_codes(alice)
    assert not check_code(alice, code)


def test_who_has_no_factor_has_no_code(alice: User) -> None:
    assert not check_code(alice, "000000")
    assert not check_code(alice, "0000000000")


def test_after_five_wrong_codes_not_even_the_right_one_is_looked_at_for_five_minutes(alice: User) -> None:
    secret = add_app(alice)
    with time_machine.travel(NOON, tick=False):
        left = []
        for _ in range(5):
            assert not check_code(alice, wrong_code(secret))
            left.append(tries_left(alice))
        assert left == [4, 3, 2, 1, 0]
        with pytest.raises(TooManyTries) as refused:
            check_code(alice, app_code(secret))
        assert 295 <= refused.value.wait_s <= 301
    with time_machine.travel(NOON + timedelta(minutes=5, seconds=1), tick=False):
        assert check_code(alice, app_code(secret))
        assert tries_left(alice) == 5


def test_fifty_wrong_codes_are_enough_for_a_day(alice: User) -> None:
    secret = add_app(alice)
    for minute in range(0, 60, 6):
        with time_machine.travel(NOON + timedelta(minutes=minute), tick=False):
            for _ in range(5):
                assert not check_code(alice, wrong_code(secret))
    with time_machine.travel(NOON + timedelta(hours=2), tick=False), pytest.raises(TooManyTries) as refused:
        check_code(alice, app_code(secret))
    assert refused.value.wait_s > 20 * 3600
    forget_tries(alice)  # a new password
    with time_machine.travel(NOON + timedelta(hours=2), tick=False):
        assert check_code(alice, app_code(secret))


def test_wrong_codes_of_one_user_are_not_anothers(alice: User, bob: User) -> None:
    secret = add_app(alice)
    for _ in range(5):
        check_code(alice, wrong_code(secret))
    assert check_code(bob, app_code(add_app(bob)))


@pytest.mark.parametrize("kind", ["totp", "recovery_codes"])
@pytest.mark.django_db(transaction=True)
def test_of_four_at_once_one_has_the_code(alice: User, kind: str) -> None:
    secret, codes = add_app(alice), add_recovery_codes(alice)
    code = app_code(secret) if kind == "totp" else codes[0]
    took: list[bool] = []

    def take() -> None:
        try:
            took.append(check_code(alice, code))
        finally:
            connection.close()

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(took) == [False, False, False, True]


def test_secrets_lie_sealed_in_the_database(alice: User) -> None:
    secret = add_app(alice)
    add_recovery_codes(alice)
    for row in Authenticator.objects.filter(user=alice):
        assert secret not in str(row.data)
        for sealed in (row.data.get("secret"), row.data.get("seed")):
            assert sealed is None or len(base64.b64decode(sealed)) > 40


def test_with_another_seal_key_no_code_is_good_and_nothing_breaks(alice: User, settings: Settings) -> None:
    secret, codes = add_app(alice), add_recovery_codes(alice)
    settings.SEAL_KEY = base64.b64encode(secrets.token_bytes(32)).decode()
    assert not check_code(alice, app_code(secret))
    assert not check_code(alice, codes[0])


@pytest.mark.parametrize("text", ["", "!", "AAAA", "JBSWY3DPEHPK3PXP"])
def test_what_is_no_seal_does_not_open(text: str) -> None:
    with pytest.raises(SealError):
        MfaAdapter().decrypt(text)
