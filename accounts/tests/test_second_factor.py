"""The step after the password, and every way around it that somebody might try."""

from __future__ import annotations

import json
import re
import threading
from datetime import timedelta

import pytest
import time_machine
from allauth.account.internal.stagekit import LOGIN_SESSION_KEY
from allauth.mfa.models import Authenticator
from django.core import mail
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.code_channels import Purpose
from accounts.models import User
from accounts.services import change_password, deactivate_user
from accounts.tests.factor_helpers import add_app, add_recovery_codes, app_code, authenticator, wrong_code
from accounts.tests.helpers import PASSWORD, RECOVER, RECOVER_CODE, RECOVER_NEW, SIGN_IN, Sms, code_in, other_than

STEP, SEND, AWAY = "/accounts/second-factor/", "/accounts/second-factor/send/", "/accounts/start-over/"
GOOD = {"login": "alice", "password": PASSWORD}
DEVICES = "/devices/"


@pytest.fixture
def secret(alice: User) -> str:
    """Return the secret of Alice's app."""
    return add_app(alice)


@pytest.fixture
def half(client: Client, secret: str) -> Client:
    """Return a browser in which Alice has typed her password and no code yet."""
    assert client.post(SIGN_IN, GOOD)["Location"] == STEP
    return client


def use_codes(user: User, way: str = "email") -> None:
    """Have `user` sign in with codes that are sent."""
    User.objects.filter(pk=user.pk).update(phone="+15550001234", phone_verified=True, code_factor=way)


def signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def outbox(subject: str) -> list[mail.EmailMessage]:
    return [message for message in mail.outbox if subject in message.subject]


# --- the way through ----------------------------------------------------------------------------------------------------------


def test_password_then_the_apps_code(half: Client, secret: str) -> None:
    assert b"authenticator app shows now" in half.get(STEP).content
    assert not signed_in(half)
    assert half.post(STEP, {"code": app_code(secret)})["Location"] == DEVICES
    assert signed_in(half)


def test_it_goes_on_to_where_the_person_was_going(client: Client, secret: str) -> None:
    client.post(SIGN_IN, {**GOOD, "next": "/history/?device=1"})
    assert client.post(STEP, {"code": app_code(secret)})["Location"] == "/history/?device=1"


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example"])
def test_it_goes_to_no_other_site(client: Client, secret: str, target: str) -> None:
    client.post(SIGN_IN, {**GOOD, "next": target})
    assert client.post(STEP + "?next=" + target, {"code": app_code(secret), "next": target})["Location"] == DEVICES


def test_it_forgets_the_session_with_the_browser_unless_asked_to_keep_it(alice: User, secret: str) -> None:
    short, kept = Client(), Client()
    for client, more, steps in ((short, {}, 0), (kept, {"remember": "on"}, 1)):
        client.post(SIGN_IN, {**GOOD, **more})
        client.post(STEP, {"code": app_code(secret, steps)})
        assert signed_in(client)
    assert short.session.get_expire_at_browser_close()
    assert not kept.session.get_expire_at_browser_close()


def test_a_wrong_code_is_counted_aloud_and_nobody_gets_in(half: Client, secret: str) -> None:
    response = half.post(STEP, {"code": wrong_code(secret)})
    assert response.status_code == 400
    assert "That code is not right. 4 tries left." in response.content.decode()
    assert not signed_in(half)


def test_an_empty_field_costs_no_try(half: Client, secret: str) -> None:
    for _ in range(8):
        assert half.post(STEP, {"code": ""}).status_code == 400
    assert half.post(STEP, {"code": app_code(secret)}).status_code == 302


def test_after_five_wrong_codes_it_says_how_long_to_wait_and_tells_the_owner_once(half: Client, secret: str) -> None:
    for _ in range(5):
        half.post(STEP, {"code": wrong_code(secret)})
    for _ in range(2):
        response = half.post(STEP, {"code": app_code(secret)})
        assert response.status_code == 429
        assert 295 <= int(response["Retry-After"]) <= 300
        assert "Too many wrong codes. Wait 5 minutes, then try again." in response.content.decode()
    assert not signed_in(half)
    [told] = outbox("Wrong codes")
    assert told.to == ["alice@example.org"]


def test_other_browsers_share_the_tries(half: Client, secret: str) -> None:
    for _ in range(5):
        half.post(STEP, {"code": wrong_code(secret)})
    other = Client(REMOTE_ADDR="203.0.113.7")
    other.post(SIGN_IN, GOOD)
    assert other.post(STEP, {"code": app_code(secret)}).status_code == 429


def test_a_new_password_begins_the_count_anew(half: Client, alice: User, secret: str) -> None:
    for _ in range(5):
        half.post(STEP, {"code": wrong_code(secret)})
    change_password(user=alice, password="blue pump 43 runs")
    owner = Client()
    owner.post(SIGN_IN, {"login": "alice", "password": "blue pump 43 runs"})
    assert owner.post(STEP, {"code": app_code(secret)}).status_code == 302


def test_a_recovery_code_gets_in_once_and_the_owner_is_told(alice: User, half: Client) -> None:
    [code, *_] = add_recovery_codes(alice)
    page = half.get(STEP + "?way=recovery").content.decode()
    assert 'maxlength="32"' in page
    half.post(STEP + "?way=recovery", {"code": f"{code[:5]}-{code[5:]}"})
    assert signed_in(half)
    [told] = outbox("Recovery code used")
    assert "You have 9 left." in told.body
    again = Client()
    again.post(SIGN_IN, GOOD)
    assert again.post(STEP, {"code": code}).status_code == 400


def test_the_page_offers_what_the_person_has_and_nothing_else(alice: User, half: Client) -> None:
    page = half.get(STEP).content.decode()
    assert "Other ways" not in page
    use_codes(alice)
    add_recovery_codes(alice)
    page = half.get(STEP).content.decode()
    assert "?way=recovery" in page
    assert "A code by e-mail" in page
    assert "?way=passkey" not in page
    assert half.get(STEP + "?way=nonsense").status_code == 200
    assert b"authenticator app" in half.get(STEP + "?way=passkey").content


def test_somebody_else_can_sign_in_instead(half: Client, bob: User) -> None:
    assert half.get(SIGN_IN)["Location"] == STEP
    assert half.post(AWAY)["Location"] == SIGN_IN
    assert LOGIN_SESSION_KEY not in half.session
    assert half.get(STEP)["Location"] == SIGN_IN
    half.post(SIGN_IN, {"login": "bob", "password": PASSWORD})
    assert half.session["_auth_user_id"] == str(bob.pk)


# --- codes that are sent ------------------------------------------------------------------------------------------------------


def test_who_has_only_codes_by_mail_gets_one_with_the_password(client: Client, alice: User) -> None:
    use_codes(alice)
    assert client.post(SIGN_IN, GOOD)["Location"] == STEP
    [sent] = mail.outbox
    assert "Your code to sign in" in sent.body
    page = client.get(STEP).content.decode()
    assert "a…@example.org" in page
    assert "alice@example.org" not in page
    assert client.post(STEP, {"code": code_in(sent)})["Location"] == DEVICES
    assert signed_in(client)


def test_a_sent_code_is_good_once_and_for_its_own_sign_in(client: Client, alice: User) -> None:
    use_codes(alice)
    client.post(SIGN_IN, GOOD)
    code = code_in(mail.outbox[0])
    thief = Client()
    with time_machine.travel(timezone.now() + timedelta(seconds=31)):
        thief.post(SIGN_IN, GOOD)
        assert thief.post(STEP, {"code": code}).status_code == 400
        assert client.post(STEP, {"code": code}).status_code == 302
        assert thief.post(STEP, {"code": code}).status_code == 400


def test_a_sent_code_is_dead_after_ten_minutes(client: Client, alice: User) -> None:
    use_codes(alice)
    client.post(SIGN_IN, GOOD)
    code = code_in(mail.outbox[0])
    from django.core.cache import cache

    assert any(600 >= cache._cache.get_client().ttl(key) > 590 for key in _keys("sent-code"))  # type: ignore[attr-defined]  # what is below Django's cache
    for key in _keys("sent-code"):
        cache._cache.get_client().delete(key)  # type: ignore[attr-defined]  # as Valkey does when the time is over
    assert client.post(STEP, {"code": code}).status_code == 400


def _keys(part: str) -> list[bytes]:
    from django.core.cache import cache

    return list(cache._cache.get_client().scan_iter(f"*{part}*"))  # type: ignore[attr-defined]  # what is below Django's cache


def test_a_new_code_takes_the_place_of_the_old_one(client: Client, alice: User) -> None:
    use_codes(alice)
    client.post(SIGN_IN, GOOD)
    old = code_in(mail.outbox[0])
    with time_machine.travel(timezone.now() + timedelta(seconds=31)):
        assert client.post(SEND)["Location"] == STEP + "?way=code"
        new = code_in(mail.outbox[1])
        if old != new:
            assert client.post(STEP, {"code": old}).status_code == 400
        assert client.post(STEP, {"code": new}).status_code == 302


def test_codes_are_not_sent_more_often_than_every_30_s_and_10_times_an_hour(client: Client, alice: User) -> None:
    use_codes(alice)
    client.post(SIGN_IN, GOOD)
    client.post(SEND)
    assert len(mail.outbox) == 1
    assert "A code was sent a moment ago." in client.get(STEP).content.decode()
    assert "A code was sent a moment ago." not in client.get(STEP).content.decode()
    for number in range(1, 15):
        with time_machine.travel(timezone.now() + timedelta(seconds=31 * number)):
            client.post(SEND)
    assert len(mail.outbox) == 10


def test_the_codes_that_are_kept_say_nothing(client: Client, alice: User) -> None:
    from django.core.cache import cache

    use_codes(alice)
    client.post(SIGN_IN, GOOD)
    code = code_in(mail.outbox[0])
    for key in _keys(""):
        if cache._cache.get_client().type(key) == b"string":  # type: ignore[attr-defined]  # what is below Django's cache
            assert code.encode() not in cache._cache.get_client().get(key)  # type: ignore[attr-defined]  # what is below Django's cache
    assert code not in json.dumps(dict(client.session.items()), default=str)


def test_a_wrong_sent_code_is_counted_and_five_end_it(client: Client, alice: User) -> None:
    use_codes(alice)
    client.post(SIGN_IN, GOOD)
    code = code_in(mail.outbox[0])
    for _ in range(5):
        assert client.post(STEP, {"code": other_than(code)}).status_code == 400
    assert client.post(STEP, {"code": code}).status_code == 429
    with time_machine.travel(timezone.now() + timedelta(minutes=5, seconds=2)):
        assert client.post(STEP, {"code": code}).status_code == 400


def test_who_has_an_app_gets_a_mail_only_when_asked_for(half: Client, alice: User) -> None:
    use_codes(alice)
    assert mail.outbox == []
    half.get(STEP + "?way=code")
    assert mail.outbox == []
    half.post(SEND)
    assert half.post(STEP, {"code": code_in(mail.outbox[0])}).status_code == 302


def test_who_does_not_get_codes_cannot_have_one_sent(half: Client) -> None:
    half.post(SEND)
    assert mail.outbox == []
    assert Client().post(SEND)["Location"] == SIGN_IN


def test_a_code_by_sms_goes_to_the_confirmed_number(client: Client, alice: User, sms: Sms) -> None:
    use_codes(alice, "sms")
    client.post(SIGN_IN, GOOD)
    [(address, code, purpose)] = sms.sent
    assert (address, purpose) == ("+15550001234", Purpose.SIGN_IN)
    page = client.get(STEP).content.decode()
    assert "…234" in page
    assert "+15550001234" not in page
    assert client.post(STEP, {"code": code}).status_code == 302


def test_when_no_sms_can_be_sent_the_page_says_so_and_nobody_gets_in(client: Client, alice: User, sms: Sms) -> None:
    use_codes(alice, "sms")
    sms.broken = True
    client.post(SIGN_IN, GOOD)
    assert "The SMS could not be sent." in client.get(STEP).content.decode()
    assert not signed_in(client)


def test_on_a_server_without_sms_a_recovery_code_still_gets_in(client: Client, alice: User) -> None:
    use_codes(alice, "sms")
    [code, *_] = add_recovery_codes(alice)
    client.post(SIGN_IN, GOOD)
    assert "Use a recovery code." in client.get(STEP).content.decode()
    assert not signed_in(client)
    assert client.post(STEP + "?way=recovery", {"code": code}).status_code == 302


# --- trusted browsers ---------------------------------------------------------------------------------------------------------


def trusted(client: Client, secret: str) -> Client:
    client.post(SIGN_IN, GOOD)
    client.post(STEP, {"code": app_code(secret), "trust": "on"})
    assert signed_in(client)
    client.post("/accounts/logout/")
    return client


def test_a_trusted_browser_is_not_asked_again_for_two_weeks(client: Client, secret: str) -> None:
    trusted(client, secret)
    cookie = client.cookies["mfa_trusted"]
    assert (cookie["httponly"], cookie["samesite"], cookie["max-age"]) == (True, "Lax", 14 * 24 * 3600)
    assert client.post(SIGN_IN, GOOD)["Location"] == DEVICES
    client.post("/accounts/logout/")
    with time_machine.travel(timezone.now() + timedelta(days=14, seconds=1)):
        assert client.post(SIGN_IN, GOOD)["Location"] == STEP


def test_trust_is_no_others(client: Client, secret: str, bob: User) -> None:
    add_app(bob)
    trusted(client, secret)
    assert client.post(SIGN_IN, {"login": "bob", "password": PASSWORD})["Location"] == STEP


def test_trust_is_not_given_for_a_wrong_code(half: Client, secret: str) -> None:
    half.post(STEP, {"code": wrong_code(secret), "trust": "on"})
    assert "mfa_trusted" not in half.cookies


@pytest.mark.parametrize("change", ["password", "recovery codes", "app"])
def test_trust_ends_with_a_change_of_what_it_rests_on(client: Client, alice: User, secret: str, change: str) -> None:
    trusted(client, secret)
    if change == "password":
        change_password(user=alice, password=PASSWORD)
    elif change == "recovery codes":
        add_recovery_codes(alice)
    else:
        authenticator(alice, "totp").delete()
        add_app(alice)
    assert client.post(SIGN_IN, GOOD)["Location"] == STEP


def test_a_forged_cookie_is_no_trust(client: Client, secret: str) -> None:
    trusted(client, secret)
    good = client.cookies["mfa_trusted"].value
    for forged in (good[:-1] + ("A" if good[-1] != "A" else "B"), "", "x:y", "W10:" + good.partition(":")[2]):
        client.cookies["mfa_trusted"] = forged
        assert client.post(SIGN_IN, GOOD)["Location"] == STEP
        client.post(AWAY)


def test_operators_show_the_second_factor_each_time(client: Client, alice: User, secret: str) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    client.post(SIGN_IN, GOOD)
    assert b'name="trust"' not in client.get(STEP).content
    client.post(STEP, {"code": app_code(secret), "trust": "on"})
    assert "mfa_trusted" not in client.cookies


def test_a_browser_that_was_trusted_before_is_not_trusted_with_an_operator(client: Client, alice: User, secret: str) -> None:
    trusted(client, secret)
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    assert client.post(SIGN_IN, GOOD)["Location"] == STEP


# --- attacks ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/devices/", "/account/", "/history/", "/settings/", "/api/v1/devices", "/admin/", "/menu/"])
def test_who_is_half_signed_in_sees_no_page(half: Client, path: str) -> None:
    response = half.get(path)
    assert response.status_code in {302, 401}
    assert not signed_in(half)
    if response.status_code == 302:
        assert "/login/?next=" in response["Location"]


@pytest.mark.parametrize("path", [STEP, SEND])
def test_nobody_comes_to_the_step_without_the_one_before(client: Client, secret: str, path: str) -> None:
    assert client.post(path, {"code": app_code(secret)})["Location"] == SIGN_IN
    assert not signed_in(client)


def test_a_code_without_a_password_is_not_even_used_up(client: Client, half: Client, secret: str) -> None:
    code = app_code(secret)
    Client().post(STEP, {"code": code})
    assert half.post(STEP, {"code": code}).status_code == 302


def test_the_code_of_one_is_not_good_for_the_half_sign_in_of_another(half: Client, bob: User) -> None:
    assert half.post(STEP, {"code": app_code(add_app(bob))}).status_code == 400
    assert not signed_in(half)


def test_naming_another_user_changes_nothing(half: Client, alice: User, bob: User, secret: str) -> None:
    half.post(f"{STEP}?user={bob.pk}", {"code": app_code(secret), "user": str(bob.pk), "login": "bob", "user_pk": str(bob.pk)})
    assert half.session["_auth_user_id"] == str(alice.pk)


def test_the_step_cannot_be_replayed_with_the_session_from_before(half: Client, secret: str) -> None:
    old = half.cookies["sessionid"].value
    assert half.post(STEP, {"code": app_code(secret)}).status_code == 302
    replay = Client()
    replay.cookies["sessionid"] = old
    assert replay.post(STEP, {"code": app_code(secret, 1)})["Location"] == SIGN_IN
    assert not signed_in(replay)


def test_the_step_cannot_be_done_twice(half: Client, secret: str) -> None:
    half.post(STEP, {"code": app_code(secret)})
    key = half.session.session_key
    assert half.post(STEP, {"code": app_code(secret, 1)})["Location"] == DEVICES
    assert half.session.session_key == key


def test_a_planted_session_does_not_see_the_second_step(client: Client, alice: User, secret: str) -> None:
    client.get(SIGN_IN)
    session = client.session
    session["planted"] = "yes"
    session.save()
    client.cookies["sessionid"] = str(session.session_key)
    client.post(SIGN_IN, GOOD)

    attacker = Client()
    attacker.cookies["sessionid"] = str(session.session_key)
    assert attacker.get(STEP)["Location"] == SIGN_IN
    assert client.get(STEP).status_code == 200


def test_a_password_that_is_changed_in_between_ends_the_sign_in_under_way(half: Client, alice: User, secret: str) -> None:
    change_password(user=alice, password="blue pump 43 runs")
    assert half.post(STEP, {"code": app_code(secret)})["Location"] == SIGN_IN
    assert not signed_in(half)


def test_who_is_shut_out_in_between_does_not_get_in(half: Client, alice: User, secret: str) -> None:
    deactivate_user(user=alice)
    assert half.post(STEP, {"code": app_code(secret)})["Location"] == "/accounts/inactive/"
    assert not signed_in(half)


def test_a_user_who_is_gone_in_between_breaks_nothing(half: Client, alice: User, secret: str) -> None:
    alice.delete()
    assert half.get(STEP).status_code == 302
    assert half.post(STEP, {"code": app_code(secret)}).status_code == 302
    assert not signed_in(half)


def test_a_factor_that_is_switched_off_in_between_breaks_nothing(half: Client, alice: User) -> None:
    Authenticator.objects.filter(user=alice).delete()
    assert half.get(STEP).status_code == 302
    assert half.post(STEP, {"code": "000000"}).status_code == 302
    assert not signed_in(half)


def test_a_half_sign_in_is_over_after_an_hour(half: Client, secret: str) -> None:
    with time_machine.travel(timezone.now() + timedelta(hours=1, seconds=2)):
        assert half.post(STEP, {"code": app_code(secret)})["Location"] == SIGN_IN
        assert not signed_in(half)


def test_who_is_signed_in_and_half_signs_in_as_another_stays_who_they_are(alice: User, bob: User, secret: str) -> None:
    client = Client()
    client.post(SIGN_IN, {"login": "bob", "password": PASSWORD})
    client.post(SIGN_IN, GOOD)
    assert client.session["_auth_user_id"] == str(bob.pk)
    assert client.post(STEP, {"code": app_code(secret)})["Location"] == DEVICES
    assert client.session["_auth_user_id"] == str(bob.pk)


def test_recovering_the_password_does_not_switch_the_factor_off(client: Client, alice: User, secret: str) -> None:
    client.post(RECOVER, {"email": "alice@example.org"})
    client.post(RECOVER_CODE, {"code": code_in(mail.outbox[0])})
    client.post(RECOVER_NEW, {"password1": "blue pump 43 runs"})
    assert not signed_in(client)
    assert client.post(SIGN_IN, {"login": "alice", "password": "blue pump 43 runs"})["Location"] == STEP
    assert client.post(STEP, {"code": app_code(secret)}).status_code == 302


@pytest.mark.parametrize(
    "credential",
    ["", "null", "[]", "{}", '"x"', "1", "{", "[[[[", '{"id": 1}', '{"response": {}}', '{"response": {"userHandle": null}}',
     '{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"AA","authenticatorData":"AA","signature":"AA"}}',
     '{"id":"\\u0000","rawId":"!","type":3,"response":[]}', "9" * 5000],
)  # fmt: skip
def test_no_nonsense_is_a_passkey(half: Client, credential: str) -> None:
    response = half.post(STEP, {"credential": credential})
    assert response.status_code in {400, 429}
    assert not signed_in(half)


@pytest.mark.django_db(transaction=True)
def test_of_two_browsers_at_once_one_gets_in_with_a_code(alice: User, secret: str) -> None:
    browsers = [Client(), Client()]
    for browser in browsers:
        browser.post(SIGN_IN, GOOD)
    code = app_code(secret)
    statuses: list[int] = []

    def enter(browser: Client) -> None:
        try:
            statuses.append(browser.post(STEP, {"code": code}).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=enter, args=(browser,)) for browser in browsers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(statuses) == [302, 400]


def test_a_form_from_another_site_is_refused(secret: str) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(STEP, {"code": app_code(secret)}).status_code == 403
    assert strict.post(SEND).status_code == 403


@pytest.mark.parametrize("way", ["app", "recovery", "code"])
def test_the_page_has_no_inline_style_or_script(alice: User, half: Client, way: str) -> None:
    use_codes(alice)
    add_recovery_codes(alice)
    page = half.get(f"{STEP}?way={way}").content.decode()
    for bad in (" style=", "<style", "onclick", "data:", "placeholder="):
        assert bad not in page
    assert re.search(r"<script(?![^>]* src=)", page) is None
