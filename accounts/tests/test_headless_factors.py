"""The second factor over the API (/api/auth/): no way around it, and the same codes as on the pages."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.utils import timezone

from accounts.models import ApiToken, User
from accounts.services import factors
from accounts.services.factor_settings import passkeys
from accounts.tests.factor_helpers import SoftPasskey, add_app, add_recovery_codes, app_code, wrong_code
from accounts.tests.helpers import code_in
from accounts.tests.test_headless import Program

TOTP, PASSKEYS = "account/authenticators/totp", "account/authenticators/webauthn"


@pytest.fixture
def program() -> Program:
    return Program()


def pending(answer: Any) -> dict[str, Any]:
    found: dict[str, Any] = next(flow for flow in answer.json()["data"]["flows"] if flow.get("is_pending"))
    return found


def confirm(program: Program) -> None:
    from accounts.tests.helpers import PASSWORD

    assert program.ask("POST", "auth/reauthenticate", {"password": PASSWORD}).status_code == 200


def test_a_password_alone_gets_no_token(program: Program, alice: User) -> None:
    secret = add_app(alice)
    answer = program.sign_in()

    assert answer.status_code == 401
    assert pending(answer) == {"id": "mfa_authenticate", "is_pending": True, "types": ["totp"]}
    assert "access_token" not in program.meta
    assert not ApiToken.objects.exists()
    for path in ("/api/v1/account", "/api/v1/devices"):
        assert program.ask("GET", path).status_code == 401
    assert program.ask("POST", "auth/2fa/authenticate", {"code": app_code(secret)}).status_code == 200
    assert program.meta["access_token"]
    assert program.ask("GET", "/api/v1/account").status_code == 200


def test_a_code_is_good_once_here_and_on_the_pages(program: Program, alice: User) -> None:
    secret = add_app(alice)
    code = app_code(secret)
    program.sign_in()
    program.ask("POST", "auth/2fa/authenticate", {"code": code})

    other = Program()
    other.sign_in()
    assert other.ask("POST", "auth/2fa/authenticate", {"code": code}).status_code == 400
    assert not factors.check_code(alice, code)


def test_wrong_codes_are_counted_with_those_of_the_pages(program: Program, alice: User) -> None:
    secret = add_app(alice)
    program.sign_in()
    for _ in range(2):
        factors.check_code(alice, wrong_code(secret))
    statuses = [program.ask("POST", "auth/2fa/authenticate", {"code": wrong_code(secret)}).status_code for _ in range(3)]
    refused = program.ask("POST", "auth/2fa/authenticate", {"code": app_code(secret)})

    assert statuses == [400, 400, 400]
    assert refused.status_code == 429
    assert int(refused["Retry-After"]) > 290
    assert not ApiToken.objects.exists()


def test_who_has_only_codes_by_mail_types_the_one_that_was_sent(program: Program, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(code_factor="email")
    assert pending(program.sign_in())["id"] == "mfa_authenticate"
    assert program.ask("POST", "auth/2fa/authenticate", {"code": code_in(mail.outbox[0])}).status_code == 200
    assert program.meta["access_token"]


def test_a_recovery_code_gets_in_and_the_owner_is_told(program: Program, alice: User) -> None:
    add_app(alice)
    [code, *_] = add_recovery_codes(alice)
    program.sign_in()
    assert program.ask("POST", "auth/2fa/authenticate", {"code": code}).status_code == 200
    assert "You have 9 left." in str(mail.outbox[-1].body)


def test_a_token_of_one_half_sign_in_is_not_good_for_anothers_code(program: Program, alice: User, bob: User) -> None:
    add_app(alice)
    bobs = add_app(bob)
    program.sign_in("alice")
    assert program.ask("POST", "auth/2fa/authenticate", {"code": app_code(bobs)}).status_code == 400
    assert not ApiToken.objects.exists()


def test_the_step_before_cannot_be_left_out_nor_the_token_from_before_be_used(program: Program, alice: User) -> None:
    secret = add_app(alice)
    assert program.ask("POST", "auth/2fa/authenticate", {"code": app_code(secret)}).status_code == 401
    program.sign_in()
    half = program.session_token
    program.ask("POST", "auth/2fa/authenticate", {"code": app_code(secret)})

    replay = Program()
    replay.session_token = half
    assert replay.ask("POST", "auth/2fa/authenticate", {"code": app_code(secret, 1)}).status_code in {401, 410}
    assert replay.ask("GET", "/api/v1/account").status_code == 401


def test_an_app_is_set_up_and_the_code_that_proved_it_is_used_up(program: Program, alice: User) -> None:
    program.sign_in()
    confirm(program)
    secret = program.ask("GET", TOTP).json()["meta"]["secret"]
    code = app_code(secret)
    assert program.ask("POST", TOTP, {"code": code}).status_code == 200
    assert not factors.check_code(alice, code)
    assert factors.check_code(alice, app_code(secret, 1))
    assert [str(message.subject) for message in mail.outbox] == ["Authenticator app added at IoT Portal"]


def test_of_two_programs_that_set_an_app_up_the_second_is_told(alice: User) -> None:
    programs = [Program(), Program()]
    secrets = []
    for one in programs:
        one.sign_in()
        confirm(one)
        secrets.append(one.ask("GET", TOTP).json()["meta"]["secret"])
    answers = [one.ask("POST", TOTP, {"code": app_code(secret)}) for one, secret in zip(programs, secrets, strict=True)]
    assert [answer.status_code for answer in answers] == [200, 409]


def test_nothing_is_changed_without_a_recent_confirmation(program: Program, alice: User) -> None:
    secret = add_app(alice)
    program.sign_in()
    program.ask("POST", "auth/2fa/authenticate", {"code": app_code(secret)})
    with time_machine.travel(timezone.now() + timedelta(seconds=301)):
        assert program.ask("DELETE", TOTP).status_code == 401
        assert program.ask("POST", "account/authenticators/recovery-codes", {}).status_code == 401
        assert factors.needs_second_factor(alice)
        assert program.ask("POST", "auth/2fa/reauthenticate", {"code": app_code(secret)}).status_code == 200
        assert program.ask("DELETE", TOTP).status_code == 200
        assert not factors.needs_second_factor(alice)


def test_a_passkey_is_made_and_signs_in_alone(program: Program, alice: User) -> None:
    program.sign_in()
    confirm(program)
    passkey = SoftPasskey()
    options = program.ask("GET", PASSKEYS + "?passwordless").json()["data"]["creation_options"]
    made = program.ask("POST", PASSKEYS, {"name": "Key", "credential": json.loads(passkey.create(options))})
    assert made.status_code == 200
    assert [one.wrap().name for one in passkeys(alice)] == ["Key"]

    other = Program()
    options = other.ask("GET", "auth/webauthn/login").json()["data"]["request_options"]
    assert other.ask("POST", "auth/webauthn/login", {"credential": json.loads(passkey.get(options))}).status_code == 200
    assert other.meta["access_token"]


@pytest.mark.parametrize("credential", [None, [], {}, "x", 1, {"id": 1}, {"response": {}}, {"id": "AA", "response": 1}])
@pytest.mark.parametrize("path", ["auth/webauthn/login", "auth/webauthn/authenticate"])
def test_no_nonsense_is_a_passkey(program: Program, alice: User, path: str, credential: Any) -> None:
    add_app(alice)
    if path.endswith("authenticate"):
        program.sign_in()
    program.ask("GET", path)
    assert program.ask("POST", path, {"credential": credential}).status_code == 400
    assert not ApiToken.objects.exists()
