"""`/api/user/…`, the documented API: getting in, and who one is."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core import mail
from django.test import Client

from accounts import services
from accounts.models import Account, ApiToken, User
from accounts.services import codes
from accounts.tests.helpers import PASSWORD, SIGN_UP, at_once, code_in, has_code, other_than, sign_up_data
from accounts.tests.legacy_helpers import NEW, NEW_PASSWORD, Program, later, refused

# --- signing up --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sign_up", "confirm"), [("/sign_up", "/confirm_sign_up"), ("/signup/", "/confirm_signup/")])
@pytest.mark.parametrize("names", [("firstname", "lastname", "confirmation"), ("givenname", "familyname", "confirmationcode")])
def test_somebody_signs_up_and_in(program: Program, sign_up: str, confirm: str, names: tuple[str, str, str]) -> None:
    first, last, code = names
    body = {**NEW, first: "Carol", last: "Chen"}
    body = {key: value for key, value in body.items() if key not in {"firstname", "lastname"} - {first, last}}
    assert program(sign_up, body).status_code == 200
    refused(program.sign_in("carol"), 403, "email_not_confirmed")
    assert program(confirm, {"username": "carol", code: code_in(mail.outbox[0])}).status_code == 200

    assert program.sign_in("carol").status_code == 200
    carol = User.objects.get(username="carol")
    assert (carol.first_name, carol.last_name) == ("Carol", "Chen")
    assert Account.objects.filter(memberships__user=carol).count() == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"username": ""}, "username"),
        ({"username": None}, "username"),
        ({"username": 7}, "username"),
        ({"username": ["carol"]}, "username"),
        ({"username": "ca"}, "username"),
        ({"username": "ca\0rol"}, "username"),
        ({"username": "саrol"}, "username"),  # the first two letters are Cyrillic
        ({"username": "bob@example.org"}, "username"),
        ({"username": "c" * 300}, "username"),
        ({"password": "short"}, "password"),
        ({"password": "carol@example.org"}, "password"),
        ({"password": True}, "password"),
        ({"password": "x" * 257}, "password"),
        ({"email": "carol"}, "email"),
        ({"email": {"a": 1}}, "email"),
        ({"email": "ｃarol@example.org"}, "email"),
        ({"firstname": 1.5}, "firstname"),
        ({"firstname": "Carol", "givenname": "Karla"}, "firstname"),
        ({"lastname": "\u202e"}, "lastname"),
        ({"lastname": "\ud800"}, "lastname"),
    ],
)
def test_a_sign_up_that_is_not_right_says_what(program: Program, changes: dict[str, Any], field: str) -> None:
    said = refused(program("/sign_up", {**NEW, **changes}), 400, "invalid")

    assert list(said["errors"]) == [field]
    assert said["message"].startswith(f"{field}: ")
    assert not User.objects.exists()
    assert not mail.outbox


def test_a_user_name_that_is_taken_is_409(program: Program, alice: User) -> None:
    refused(program("/sign_up", {**NEW, "username": "ALICE"}), 409, "name_taken")


def test_an_address_that_has_an_account_answers_like_any_other_and_gets_a_mail(program: Program, alice: User) -> None:
    stranger = program("/sign_up", NEW)
    known = program("/sign_up", {**NEW, "username": "dave", "email": "ALICE@example.org"})

    assert known.content.lower().replace(b"alice@", b"carol@") == stranger.content.lower()
    assert not has_code(mail.outbox[1])
    assert not User.objects.filter(username="dave").exists()


@pytest.mark.django_db(transaction=True)
def test_of_many_who_sign_up_at_once_under_one_name_one_gets_it(program: Program) -> None:
    numbers = iter(range(6))
    answers = at_once(6, lambda: program("/sign_up", {**NEW, "email": f"carol{next(numbers)}@example.org"}))

    first, *others = sorted(one.status_code for one in answers)  # type: ignore[attr-defined]  # answers of the test client
    assert first == 200
    assert set(others) <= {409, 429}, "429: a busy machine has them wait for the counter of sign-ups"
    assert User.objects.count() == 1


def test_a_code_has_five_tries(program: Program) -> None:
    program("/sign_up", NEW)
    code = code_in(mail.outbox[0])
    for _ in range(5):
        refused(program("/confirm_sign_up", {"username": "carol", "confirmation": other_than(code)}), 400, "invalid_code")

    refused(program("/confirm_sign_up", {"username": "carol", "confirmation": code}), 400, "invalid_code")


@pytest.mark.django_db(transaction=True)
def test_a_hundred_guesses_at_once_are_five(program: Program) -> None:
    program("/sign_up", NEW)
    user, code = User.objects.get(), code_in(mail.outbox[0])
    at_once(100, lambda: codes.guess_live(user=user, address=NEW["email"], code=other_than(code)))

    assert not codes.guess_live(user=user, address=NEW["email"], code=code)


@pytest.mark.django_db(transaction=True)
def test_a_right_code_is_used_up_by_the_first_of_many(program: Program) -> None:
    assert program("/sign_up", NEW).status_code == 200
    code = code_in(mail.outbox[0])
    answers = at_once(4, lambda: program("/confirm_sign_up", {"username": "carol", "confirmation": code}))

    assert sorted(one.status_code for one in answers) == [200, 400, 400, 400]  # type: ignore[attr-defined]  # answers of the test client


def test_a_code_works_for_ten_minutes(program: Program) -> None:
    program("/sign_up", NEW)
    program("/forgot_password", {"email": NEW["email"]})
    with redis.Redis.from_url(settings.VALKEY_URL) as valkey:
        lives = [valkey.ttl(key) for key in valkey.scan_iter("*live-code:*")]
    assert len(lives) == 2
    assert all(500 < one <= 600 for one in lives)


def test_a_code_works_once(program: Program) -> None:
    program("/sign_up", NEW)
    body = {"username": "carol", "confirmation": code_in(mail.outbox[0])}
    assert program("/confirm_sign_up", body).status_code == 200
    refused(program("/confirm_sign_up", body), 400, "invalid_code")


def test_a_new_code_replaces_the_old_one(program: Program) -> None:
    program("/sign_up", NEW)
    with later(seconds=31):
        assert program("/resend_confirmation_code", {"username": "carol"}).status_code == 200
        old, new = (code_in(one) for one in mail.outbox)
        refused(program("/confirm_sign_up", {"username": "carol", "confirmation": old}), 400, "invalid_code")
        assert program("/confirm_sign_up", {"username": "CAROL@example.org", "confirmation": new}).status_code == 200


def test_a_code_that_a_page_asked_for_is_one_here_too(program: Program) -> None:
    browser = Client()
    browser.post(SIGN_UP, sign_up_data())
    code = code_in(mail.outbox[0])
    assert program("/confirm_sign_up", {"username": "carol", "confirmation": f" {code[:3]}-{code[3:]} "}).status_code == 200
    assert program.sign_in("carol").status_code == 200


def test_asking_for_another_code_tells_nobody_who_there_is(program: Program, alice: User) -> None:
    program("/sign_up", NEW)
    names = ("carol", "alice", "nobody", "nobody@example.org")
    answers = [program("/resend_confirmation_code", {"username": name}) for name in names]

    assert {(one.status_code, one.content) for one in answers} == {(200, answers[0].content)}
    assert len(mail.outbox) == 1, "the one of the sign-up, which is on its way"


def test_asking_again_and_again_is_429_for_everybody(program: Program) -> None:
    program("/sign_up", NEW)
    for name in ("carol", "nobody"):
        assert program("/resend_confirmation_code", {"username": name}).status_code == 200
        answer = program("/resend_confirmation_code", {"username": name})
        refused(answer, 429, "throttled")
        assert 25 <= int(answer["Retry-After"]) <= 30


def test_a_code_of_another_purpose_or_user_is_none(program: Program, alice: User) -> None:
    program("/sign_up", NEW)
    program("/forgot_password", {"email": "alice@example.org"})
    sign_up, recover = (code_in(one) for one in mail.outbox)
    for name, code in (("carol", recover), ("alice", sign_up), ("alice", recover)):
        if name == "carol" and sign_up == recover:
            continue  # one in a million
        refused(program("/confirm_sign_up", {"username": name, "confirmation": code}), 400, "invalid_code")


# --- signing in and out ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["alice", "ALICE", "alice@example.org", " alice "])
def test_signing_in_returns_tokens_in_both_shapes(program: Program, alice: User, name: str) -> None:
    said = program.sign_in(name).json()

    assert said["access_token"] == said["token"]["access"]
    assert said["token"]["id"] == alice.uuid.hex
    assert (said["username"], said["expires_in"]) == ("alice", 3600)
    assert services.find_token(said["access_token"]) is not None
    assert program("/login", {"email": name, "password": PASSWORD}).status_code == 200


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", "wrong"),
        ("nobody", PASSWORD),
        ("alice", ""),
        ("alice", PASSWORD + " "),
        ("аlice", PASSWORD),
        ("a" * 254, PASSWORD),
    ],
)
def test_what_does_not_match_is_401_and_does_not_say_why(program: Program, alice: User, name: str, password: str) -> None:
    answer = program.sign_in(name, password)
    if password:
        assert refused(answer, 401, "invalid_credentials")["message"] == "User name and password do not match."
    else:
        refused(answer, 400, "invalid")
    assert not ApiToken.objects.exists()


def test_whoever_guesses_has_to_wait_also_with_the_right_password(program: Program, alice: User) -> None:
    for _ in range(5):
        refused(program.sign_in(password="wrong"), 401, "invalid_credentials")
    answer = program.sign_in()

    refused(answer, 429, "throttled")
    assert 1 <= int(answer["Retry-After"]) <= 300


def test_strangers_who_guess_lock_nobody_out_at_an_address_from_which_they_signed_in(
    program: Program, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ALLAUTH_TRUSTED_PROXY_COUNT", 1)
    home = {"x-forwarded-for": "198.51.100.7"}
    right = {"username": "alice", "password": PASSWORD}
    assert program("/login", right, **home).status_code == 200
    for number in range(6):
        wrong = program("/login", {**right, "password": "wrong"}, **{"x-forwarded-for": f"203.0.113.{number}"})

    refused(wrong, 429, "throttled")
    assert program("/login", right, **home).status_code == 200


def test_a_user_who_was_shut_out_is_told_so_with_the_right_password(program: Program, alice: User) -> None:
    services.deactivate_user(user=alice)
    refused(program.sign_in(), 403, "user_inactive")
    refused(program.sign_in(password="wrong"), 401, "invalid_credentials")


def test_a_second_factor_is_asked_for(program: Program, alice: User) -> None:
    Authenticator.objects.create(user=alice, type=Authenticator.Type.WEBAUTHN, data={})
    refused(program.sign_in(), 401, "second_factor_needed")
    refused(program.sign_in(code="123456"), 401, "invalid_code")
    refused(program.sign_in(code="12345 67890"), 401, "invalid_code")
    assert not ApiToken.objects.exists()


def test_wrong_second_factors_are_counted(program: Program, alice: User) -> None:
    Authenticator.objects.create(user=alice, type=Authenticator.Type.WEBAUTHN, data={})
    for _ in range(5):
        refused(program.sign_in(code="123456"), 401, "invalid_code")
    answer = program.sign_in(code="123456")

    refused(answer, 429, "throttled")
    assert int(answer["Retry-After"]) > 60


def test_a_code_of_the_second_factor_opens(program: Program, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes

    Authenticator.objects.create(user=alice, type=Authenticator.Type.WEBAUTHN, data={})
    code = RecoveryCodes.activate(alice).get_unused_codes()[0]
    assert program.sign_in(code=code).status_code == 200
    refused(program.sign_in(code=code), 401, "invalid_code")


def test_a_login_opens_the_rest_of_the_api(program: Program, alice: User) -> None:
    token = program.sign_in().json()["access_token"]
    assert Client().get("/api/v1/account", headers={"authorization": f"Bearer {token}"}).json()["user"]["username"] == "alice"


def refresh_of(said: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the ways to send a refresh token."""
    refresh = said["token"]["refresh"]
    return [
        {"refresh": refresh},
        {"refresh_token": refresh},
        {"token": said["token"]},
        {"token": said["token"], "refresh": refresh},
    ]


@pytest.mark.parametrize("way", range(4))
def test_a_login_is_renewed(program: Program, alice: User, way: int) -> None:
    first = program.sign_in().json()
    second = program("/refresh", refresh_of(first)[way]).json()

    assert second["username"] == "alice"
    assert services.find_token(first["access_token"]) is None
    assert services.find_token(second["access_token"]) is not None


def test_a_refresh_token_that_was_used_is_told_apart_from_one_that_came_too_late(program: Program, alice: User) -> None:
    first = program.sign_in().json()
    second = program("/refresh", refresh_of(first)[0]).json()
    refused(program("/refresh", refresh_of(first)[0]), 409, "refresh_token_used")
    with later(seconds=11):
        refused(program("/refresh", refresh_of(first)[0]), 401, "invalid_token")
        refused(program("/refresh", refresh_of(second)[0]), 401, "invalid_token")


@pytest.mark.parametrize("body", [{}, {"refresh": 7}, {"refresh": None}, {"token": "x"}, {"token": {"refresh": 7}}])
def test_without_a_refresh_token_there_is_nothing_to_renew(program: Program, body: dict[str, Any]) -> None:
    refused(program("/refresh", body), 400, "invalid")


def test_signing_out_ends_both_tokens_at_once(program: Program, alice: User) -> None:
    said = program.sign_in().json()
    assert program("/logout", {"username": "alice", "token": said["token"]}).status_code == 200

    refused(program("", {"username": "alice", "token": said["token"]}), 401, "invalid_token")
    refused(program("/refresh", refresh_of(said)[0]), 401, "invalid_token")


def test_a_personal_token_is_not_signed_out(program: Program, alice: User) -> None:
    _, secret = services.create_token(user=alice, name="ci", scopes=["manage"])
    refused(program("/logout", {"username": "alice", "access_token": secret}), 403, "permission_denied")
    assert services.find_token(secret) is not None


def test_a_code_is_sent_to_who_has_no_other_second_factor(program: Program, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(code_factor="email")
    assert "a…@example.org" in refused(program.sign_in(), 401, "second_factor_needed")["message"]
    code = code_in(mail.outbox[0])
    refused(program.sign_in(code=other_than(code)), 401, "invalid_code")
    refused(program.sign_in(), 401, "second_factor_needed")
    assert len(mail.outbox) == 1, "one is on its way"
    assert program.sign_in(code=code).status_code == 200
    refused(program.sign_in(code=code), 401, "invalid_code")


def test_a_code_that_cannot_be_sent_is_told(program: Program, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(code_factor="sms", phone="+4930123456", phone_verified=True)
    assert "cannot send" in refused(program.sign_in(), 401, "second_factor_needed")["message"]


# --- a lost password ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["password", "new_password", "newpassword", "new password"])
def test_a_new_password_is_set_with_the_code_and_ends_everything(program: Program, alice: User, field: str) -> None:
    old = program.signed_in()
    browser = Client()
    browser.force_login(alice)
    assert program("/forgot_password", {"email": "Alice@example.org"}).status_code == 200
    assert "alice" in str(mail.outbox[0].body), "the mail names the user name"
    body = {"username": "alice", "confirmation": code_in(mail.outbox[0]), field: NEW_PASSWORD}
    assert program("/confirm_forgot_password", body).status_code == 200

    refused(program("", old), 401, "invalid_token")
    assert browser.get("/account/").status_code == 302
    refused(program.sign_in(), 401, "invalid_credentials")
    assert program.sign_in(password=NEW_PASSWORD).status_code == 200
    assert len(mail.outbox) == 2, "the owner was told"


def test_asking_for_a_new_password_tells_nobody_who_there_is(program: Program, alice: User) -> None:
    answers = [program("/forgot_password", {"email": one}) for one in ("alice@example.org", "nobody@example.org")]

    assert {(one.status_code, one.content) for one in answers} == {(200, answers[0].content)}
    assert [has_code(one) for one in mail.outbox] == [True, False]


def test_the_confirmation_tells_nobody_who_there_is(program: Program, alice: User, bob: User) -> None:
    program("/forgot_password", {"email": "alice@example.org"})
    body = {"confirmation": other_than(code_in(mail.outbox[0])), "password": NEW_PASSWORD}
    answers = [program("/confirm_forgot_password", {"username": one, **body}) for one in ("alice", "bob", "nobody")]

    assert {(one.status_code, one.content) for one in answers} == {(400, answers[0].content)}


def test_a_password_that_is_too_weak_leaves_the_code_good(program: Program, alice: User) -> None:
    program("/forgot_password", {"email": "alice@example.org"})
    body = {"username": "alice", "confirmation": code_in(mail.outbox[0])}
    for weak in ("short", "alice@example.org", "1234567890"):
        assert list(refused(program("/confirm_forgot_password", {**body, "password": weak}), 400, "invalid")["errors"]) == [
            "password"
        ]

    assert program("/confirm_forgot_password", {**body, "password": NEW_PASSWORD}).status_code == 200


def test_a_weak_password_says_nothing_to_whoever_has_no_code(program: Program, alice: User) -> None:
    program("/forgot_password", {"email": "alice@example.org"})
    body = {"confirmation": other_than(code_in(mail.outbox[0])), "password": "alice@example.org"}
    for name in ("alice", "nobody"):
        refused(program("/confirm_forgot_password", {"username": name, **body}), 400, "invalid_code")


def test_codes_cannot_be_guessed_by_asking_for_new_ones(program: Program, alice: User) -> None:
    """Over all codes there are ten wrong ones a day, however they were asked for; and a right one does not count."""
    answers = []
    for hour in range(4):
        with later(hours=hour):
            program("/forgot_password", {"email": "alice@example.org"})
            body = {"username": "alice", "confirmation": other_than(code_in(mail.outbox[-1])), "password": NEW_PASSWORD}
            answers += [program("/confirm_forgot_password", body).status_code for _ in range(4)]

    assert answers == [400] * 10 + [429] * 6


def test_somebody_who_has_to_wait_is_told_how_long(program: Program, alice: User) -> None:
    for _ in range(5):
        assert program("/forgot_password", {"email": "alice@example.org"}).status_code == 200
    answer = program("/forgot_password", {"email": "alice@example.org"})
    refused(answer, 429, "throttled")
    assert 600 < int(answer["Retry-After"]) <= 901


def test_a_user_who_was_shut_out_gets_no_new_password(program: Program, alice: User) -> None:
    program("/forgot_password", {"email": "alice@example.org"})
    services.deactivate_user(user=alice)
    body = {"username": "alice", "confirmation": code_in(mail.outbox[0]), "password": NEW_PASSWORD}
    refused(program("/confirm_forgot_password", body), 400, "invalid_code")


def test_a_code_to_an_address_confirms_it(program: Program) -> None:
    program("/sign_up", NEW)
    program("/forgot_password", {"email": "carol@example.org"})
    body = {"username": "carol", "confirmation": code_in(mail.outbox[-1]), "password": NEW_PASSWORD}
    assert program("/confirm_forgot_password", body).status_code == 200
    assert EmailAddress.objects.get(user__username="carol").verified
