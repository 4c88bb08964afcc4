"""Codes of mails over the API (/api/auth/): no more mails and guesses than on the pages, and nothing is told of anybody."""

from __future__ import annotations

import time
from typing import Any

import pytest
import time_machine
from allauth.account.internal.flows.code_verification import AbstractCodeVerificationProcess
from allauth.core.internal import ratelimit
from django.core import mail
from django.core.cache import cache
from django.utils import timezone

from accounts.models import User
from accounts.tests.helpers import PASSWORD
from accounts.tests.test_headless import NEW, Program, code_of_the_mail

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_valkey")]

REQUEST, RESET, VERIFY = "auth/password/request", "auth/password/reset", "auth/email/verify"
FRESH = "blue valve 7 opens"


def forget(email: str = "alice@example.org") -> tuple[Program, Any]:
    program = Program()
    return program, program.ask("POST", REQUEST, {"email": email})


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


def test_a_new_password_is_set_with_the_code_once(alice: User) -> None:
    program, asked = forget()
    code = code_of_the_mail()
    seen = program.ask("GET", RESET, None, **{"x-password-reset-key": code})
    weak = program.ask("POST", RESET, {"key": code, "password": "short"})
    done = program.ask("POST", RESET, {"key": code, "password": FRESH})
    alice.refresh_from_db()

    assert asked.status_code == 401
    assert seen.json()["data"]["user"]["username"] == "alice"
    assert [error["param"] for error in weak.json()["errors"]] == ["password"]
    assert done.status_code == 401, "the next step is to sign in"
    assert alice.check_password(FRESH)
    assert program.ask("POST", RESET, {"key": code, "password": FRESH}).status_code == 409


def test_a_mailbox_gets_five_mails_however_many_programs_ask(alice: User) -> None:
    answers = [forget()[1] for _ in range(7)]

    assert [one.status_code for one in answers] == [401] * 5 + [429] * 2
    assert 800 < int(answers[-1]["Retry-After"]) <= 900
    assert len(mail.outbox) == 5


def test_a_code_has_five_guesses_though_the_session_forgets_them(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    # As of many requests at once: each reads the session before any has written to it.
    monkeypatch.setattr(AbstractCodeVerificationProcess, "record_invalid_attempt", lambda process: True)
    program, _ = forget()
    code = code_of_the_mail()
    guesses = [program.ask("POST", RESET, {"key": wrong(code), "password": FRESH}).status_code for _ in range(3)]
    guesses += [program.ask("GET", RESET, None, **{"x-password-reset-key": wrong(code)}).status_code for _ in range(2)]

    assert guesses == [400] * 5
    assert program.ask("POST", RESET, {"key": code, "password": FRESH}).status_code == 409

    program.ask("POST", "auth/signup", NEW)
    code = code_of_the_mail()
    assert [program.ask("POST", VERIFY, {"key": wrong(code)}).status_code for _ in range(5)] == [400] * 5
    assert program.ask("POST", VERIFY, {"key": code}).status_code == 409


def test_ten_wrong_codes_a_day_over_all_that_strangers_had_sent(alice: User) -> None:
    statuses = []
    for _ in range(4):
        program, _ = forget()
        code = code_of_the_mail()
        statuses += [program.ask("POST", RESET, {"key": wrong(code), "password": FRESH}).status_code for _ in range(3)]

    assert statuses == [400] * 10 + [429, 409]


def test_whether_anybody_has_an_address_is_told_to_nobody(alice: User) -> None:
    told = []
    for email in ("alice@example.org", "nobody@example.org"):
        program, asked = forget(email)
        guess = program.ask("POST", RESET, {"key": "000000", "password": "short"})
        flows = asked.json()["data"]
        told.append((asked.status_code, flows, guess.status_code, guess.json()))

    assert told[0] == told[1]
    assert [len(one.to) for one in mail.outbox] == [1, 1]


def test_a_code_that_a_newer_one_replaced_confirms_nothing() -> None:
    first, second = Program(), Program()
    first.ask("POST", "auth/signup", NEW)
    old = code_of_the_mail()
    with time_machine.travel(timezone.now().timestamp() + 40):
        second.ask("POST", "auth/login", {"username": NEW["username"], "password": PASSWORD})
        assert code_of_the_mail() != old
        assert first.ask("POST", VERIFY, {"key": old}).status_code == 409
        assert second.ask("POST", VERIFY, {"key": code_of_the_mail()}).status_code == 200


def test_who_has_anothers_session_guesses_the_password_fifty_times_a_day(alice: User) -> None:
    program, guess = Program(), {"current_password": "guess", "new_password": FRESH}
    program.sign_in()
    by_day = ratelimit.get_rates(app="allauth.account", action="change_password")[-1]
    key = ratelimit.get_cache_key(None, app="allauth.account", action="change_password", rate=by_day, user=alice)
    cache.set(key, [time.time() - 3600] * 49)
    first, second = (program.ask("POST", "account/password/change", guess) for _ in range(2))

    assert (first.status_code, second.status_code) == (400, 429)
    assert 82_000 < int(second["Retry-After"]) <= 82_800
