"""Second factors on the Account page: switched on and off, by their owner alone, with the owner told of it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.core import mail
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from accounts.services import factors
from accounts.services.factor_settings import MAX_PASSKEYS, passkey_id, passkeys
from accounts.tests.factor_helpers import (
    SoftPasskey,
    add_app,
    add_passkey,
    add_recovery_codes,
    app_code,
    authenticator,
    confirm_lately,
    options_of,
    wrong_code,
)
from accounts.tests.helpers import PASSWORD, SIGN_IN

ACCOUNT, APP, APP_OFF = "/account/", "/accounts/factors/app/", "/accounts/factors/app/remove/"
PASSKEY, CODES, CODES_OFF = "/account/passkeys/new/", "/account/codes/", "/account/codes/remove/"
RECOVERY, DOWNLOAD, ALL_OFF = "/account/recovery-codes/new/", "/account/recovery-codes/download/", "/account/second-factor/off/"
STEP, PASSKEY_SIGN_IN = "/accounts/second-factor/", "/accounts/passkey/"
NONSENSE = [
    "",
    "null",
    "[]",
    "{}",
    '"x"',
    "{",
    '{"id": 1}',
    '{"response": {}}',
    "[" * 50_000,
    "9" * 5000,
    '{"id":"AA","response":1}',
]


@pytest.fixture
def alices(as_alice: Client, alice: User) -> Client:
    """Return a browser in which Alice has just confirmed that it is her."""
    confirm_lately(as_alice, alice)
    return as_alice


def secret_on(client: Client) -> str:
    page = client.get(APP).content.decode()
    found = re.search(r'id="secret">(.*?)</code>', page)
    assert found
    return re.sub(r"<[^>]+>|\s", "", found[1])


def codes_on(page: str) -> list[str]:
    found = re.search(r'id="codes">([^<]*)</pre>', page)
    return found[1].split() if found else []


def told() -> list[str]:
    return [str(message.subject) for message in mail.outbox]


# --- the app ------------------------------------------------------------------------------------------------------------------


def test_an_app_is_set_up_with_a_code_and_recovery_codes_are_shown_once(alices: Client, alice: User) -> None:
    secret = secret_on(alices)
    page = alices.post(APP, {"code": app_code(secret)})

    codes = codes_on(page.content.decode())
    assert len(codes) == 10
    assert all(re.fullmatch(r"\d{5}-\d{5}", code) for code in codes)
    assert factors.ways(alice) == factors.Ways(app=True, passkeys=0, code="", recovery_codes=10)
    assert told() == ["Authenticator app added at IoT Portal"]
    for later in (alices.get(ACCOUNT), alices.get(RECOVERY), alices.post(APP, {"code": app_code(secret)})):
        assert not any(code in later.content.decode() for code in codes)
    assert factors.check_code(alice, codes[0])


def test_the_page_has_the_secret_as_a_drawing_as_text_and_as_a_link(alices: Client) -> None:
    page = alices.get(APP).content.decode()

    assert re.search(r'<svg class="qr" viewBox="0 0 (\d+) \1"[^>]*><path d="(M\d+ \d+h\d+v1h-\d+z)+"/></svg>', page)
    assert "otpauth://totp/alice%40example.org?secret=" in page
    assert "issuer=IoT%20Portal" in page
    for bad in (" style=", "<style", "onclick", "data:image"):
        assert bad not in page


def test_the_code_that_set_the_app_up_signs_nobody_in(alices: Client) -> None:
    secret = secret_on(alices)
    code = app_code(secret)
    alices.post(APP, {"code": code})
    other = Client()
    other.post(SIGN_IN, {"login": "alice", "password": PASSWORD})
    assert other.post(STEP, {"code": code}).status_code == 400


def test_a_wrong_code_sets_nothing_up_and_keeps_the_secret(alices: Client, alice: User) -> None:
    secret = secret_on(alices)
    page = alices.post(APP, {"code": wrong_code(secret)})
    assert page.status_code == 400
    assert "That code is not right." in page.content.decode()
    assert secret[:4] in page.content.decode()
    assert not factors.needs_second_factor(alice)
    assert alices.post(APP, {"code": app_code(secret)}).status_code == 200


def test_the_secret_cannot_be_chosen_by_the_one_who_posts(alices: Client, alice: User) -> None:
    secret_on(alices)
    mine = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    assert alices.post(APP, {"code": app_code(mine), "secret": mine}).status_code == 400
    assert not factors.needs_second_factor(alice)


def test_a_second_app_is_not_added_unseen(alices: Client, alice: User) -> None:
    add_app(alice)
    assert alices.get(APP)["Location"] == APP_OFF


def test_an_app_is_removed_after_asking_and_the_recovery_codes_go_with_it(alices: Client, alice: User) -> None:
    add_app(alice)
    add_recovery_codes(alice)
    assert "Remove the authenticator app?" in alices.get(APP_OFF).content.decode()
    assert factors.needs_second_factor(alice)
    assert alices.post(APP_OFF)["Location"] == ACCOUNT
    assert not Authenticator.objects.filter(user=alice).exists()
    assert told() == ["Authenticator app removed at IoT Portal"]


def test_who_still_gets_codes_by_mail_gets_new_recovery_codes_with_the_removal(alices: Client, alice: User) -> None:
    add_app(alice)
    old = add_recovery_codes(alice)
    User.objects.filter(pk=alice.pk).update(code_factor="email")
    codes = codes_on(alices.post(APP_OFF).content.decode())
    assert len(codes) == 10
    assert not set(old) & {code.replace("-", "") for code in codes}


# --- passkeys -----------------------------------------------------------------------------------------------------------------


def test_a_passkey_is_made_named_renamed_and_removed(alices: Client, alice: User) -> None:
    add_passkey(alices, alice, "Blue key")
    [passkey] = passkeys(alice)
    where = f"/account/passkeys/{passkey_id(passkey)}/"
    assert "Blue key" in alices.get(ACCOUNT).content.decode()
    alices.post(where, {"name": "Key at <home>"})
    assert "Key at &lt;home&gt;" in alices.get(ACCOUNT).content.decode()
    assert "Remove the passkey Key at &lt;home&gt;?" in alices.get(where + "remove/").content.decode()
    alices.post(where + "remove/")
    assert not factors.needs_second_factor(alice)
    assert told() == ["Passkey added at IoT Portal", "Passkey removed at IoT Portal"]


def test_a_new_passkey_is_asked_to_know_its_user_and_to_work_without_a_password(alices: Client) -> None:
    wanted = options_of(alices.get(PASSKEY))["publicKey"]
    assert wanted["rp"] == {"id": "localhost", "name": "IoT Portal"}
    assert wanted["authenticatorSelection"]["userVerification"] == "required"
    assert wanted["authenticatorSelection"]["residentKey"] == "required"


def test_a_passkey_without_a_name_gets_one(alices: Client, alice: User) -> None:
    add_passkey(alices, alice, "")
    assert passkeys(alice)[0].wrap().name == "Passkey 1"


@pytest.mark.parametrize("name", ["a" * 61, "tab\there", "\u202eevil"])
def test_a_name_that_cannot_be_shown_is_refused(alices: Client, alice: User, name: str) -> None:
    add_passkey(alices, alice)
    where = f"/account/passkeys/{passkey_id(passkeys(alice)[0])}/"
    assert alices.post(where, {"name": name}).status_code == 400
    assert passkeys(alice)[0].wrap().name == "Blue key"


@pytest.mark.parametrize(
    "how", [{"origin": "http://localhost.evil.example"}, {"origin": "https://evil.example"}, {"site": "evil.example"}]
)
def test_a_passkey_of_another_site_is_not_kept(alices: Client, alice: User, how: dict[str, Any]) -> None:
    credential = SoftPasskey(**how).create(options_of(alices.get(PASSKEY)))
    assert alices.post(PASSKEY, {"name": "", "credential": credential}).status_code == 400
    assert passkeys(alice) == []


def test_a_passkey_that_does_not_know_its_user_is_not_kept(alices: Client, alice: User) -> None:
    credential = SoftPasskey(verified=False).create(options_of(alices.get(PASSKEY)))
    assert alices.post(PASSKEY, {"name": "", "credential": credential}).status_code == 400
    assert passkeys(alice) == []


def test_an_answer_to_an_older_question_is_not_taken(alices: Client, alice: User) -> None:
    old = options_of(alices.get(PASSKEY))
    alices.get(PASSKEY)
    assert alices.post(PASSKEY, {"name": "", "credential": SoftPasskey().create(old)}).status_code == 400
    assert passkeys(alice) == []


@pytest.mark.parametrize("credential", NONSENSE)
def test_no_nonsense_is_kept_as_a_passkey(alices: Client, alice: User, credential: str) -> None:
    alices.get(PASSKEY)
    assert alices.post(PASSKEY, {"name": "x", "credential": credential}).status_code == 400
    assert passkeys(alice) == []


def test_nobody_has_more_passkeys_than_anybody_needs(alices: Client, alice: User) -> None:
    add_passkey(alices, alice)
    [first] = passkeys(alice)
    for _ in range(MAX_PASSKEYS - 1):
        Authenticator.objects.create(user=alice, type="webauthn", data=first.data)
    assert alices.get(PASSKEY)["Location"] == ACCOUNT


def test_anothers_passkey_is_not_there(alices: Client, bob: User) -> None:
    bobs = Client()
    bobs.force_login(bob)
    add_passkey(bobs, bob)
    where = f"/account/passkeys/{passkey_id(passkeys(bob)[0])}/"
    for response in (alices.get(where), alices.post(where, {"name": "mine"}), alices.post(where + "remove/")):
        assert response.status_code == 404
    assert passkeys(bob)[0].wrap().name == "Blue key"


# --- signing in with a passkey --------------------------------------------------------------------------------------------------


def ask(client: Client) -> dict[str, object]:
    answer: dict[str, object] = client.get(PASSKEY_SIGN_IN, headers={"accept": "application/json"}).json()["request_options"]
    return answer


def signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


@pytest.fixture
def passkey(as_alice: Client, alice: User) -> SoftPasskey:
    """Return a passkey of Alice's."""
    return add_passkey(as_alice, alice)


def test_a_passkey_signs_in_alone(client: Client, passkey: SoftPasskey) -> None:
    options = ask(client)
    assert options["publicKey"]["userVerification"] == "required"  # type: ignore[index]  # JSON
    assert options["publicKey"]["allowCredentials"] == []  # type: ignore[index]  # JSON
    response = client.post(PASSKEY_SIGN_IN, {"credential": passkey.get(options), "next": "/history/"})
    assert response["Location"] == "/history/"
    assert signed_in(client)
    assert client.session.get_expire_at_browser_close()


def test_it_is_remembered_where_that_was_asked_for(client: Client, passkey: SoftPasskey) -> None:
    client.post(PASSKEY_SIGN_IN, {"credential": passkey.get(ask(client)), "remember": "on"})
    assert not client.session.get_expire_at_browser_close()


def test_a_passkey_is_a_second_step_too(client: Client, passkey: SoftPasskey) -> None:
    client.post(SIGN_IN, {"login": "alice", "password": PASSWORD})
    page = client.get(STEP)
    assert "Use your passkey" in page.content.decode()
    assert client.post(STEP, {"credential": passkey.get(options_of(page))})["Location"] == "/devices/"
    assert signed_in(client)


def test_an_answer_is_good_once(client: Client, passkey: SoftPasskey) -> None:
    credential = passkey.get(ask(client))
    client.post(PASSKEY_SIGN_IN, {"credential": credential})
    client.post("/accounts/logout/")
    assert client.post(PASSKEY_SIGN_IN, {"credential": credential})["Location"] == SIGN_IN
    assert not signed_in(client)
    thief = Client()
    ask(thief)
    thief.post(PASSKEY_SIGN_IN, {"credential": credential})
    assert not signed_in(thief)


def test_without_a_question_there_is_no_answer(client: Client, passkey: SoftPasskey) -> None:
    other = Client()
    credential = passkey.get(ask(other))
    client.post(PASSKEY_SIGN_IN, {"credential": credential})
    assert not signed_in(client)


@pytest.mark.parametrize("wrong", ["origin", "site", "unverified", "stranger", "anothers name"])
def test_a_wrong_answer_signs_nobody_in(client: Client, bob: User, passkey: SoftPasskey, wrong: str) -> None:
    options, user = ask(client), passkey.user
    if wrong == "origin":
        passkey.origin = "https://evil.example"
    elif wrong == "site":
        passkey.site = "evil.example"
    elif wrong == "unverified":
        passkey.verified = False
    elif wrong == "stranger":
        passkey = SoftPasskey()
    else:
        from allauth.account.utils import user_pk_to_url_str

        user = user_pk_to_url_str(bob).encode()
    assert client.post(PASSKEY_SIGN_IN, {"credential": passkey.get(options, user)})["Location"] == SIGN_IN
    assert not signed_in(client)
    assert "That passkey was not accepted." in client.get(SIGN_IN).content.decode()


def test_a_question_of_the_second_step_does_not_stand_for_both(alice: User, bob: User, passkey: SoftPasskey) -> None:
    """Mallory gets a question for a second step of her own account, and answers it with a key that she stole from Alice."""
    mallorys = Client()
    mallorys.force_login(bob)
    add_passkey(mallorys, bob)
    thief = Client()
    thief.post(SIGN_IN, {"login": "bob", "password": PASSWORD})
    question = options_of(thief.get(STEP))
    passkey.verified = False  # she does not have Alice's finger
    thief.post(STEP, {"credential": passkey.get(question)})
    thief.post(PASSKEY_SIGN_IN, {"credential": passkey.get(question)})
    assert not signed_in(thief)
    thief.post("/accounts/start-over/")
    thief.post(PASSKEY_SIGN_IN, {"credential": passkey.get(question)})
    assert not signed_in(thief)


@pytest.mark.parametrize("credential", NONSENSE)
def test_no_nonsense_signs_in(client: Client, passkey: SoftPasskey, credential: str) -> None:
    ask(client)
    assert client.post(PASSKEY_SIGN_IN, {"credential": credential})["Location"] == SIGN_IN
    assert not signed_in(client)


def test_who_was_shut_out_does_not_come_in_with_a_passkey(client: Client, alice: User, passkey: SoftPasskey) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert client.post(PASSKEY_SIGN_IN, {"credential": passkey.get(ask(client))})["Location"] == "/accounts/inactive/"
    assert not signed_in(client)


def test_a_removed_passkey_signs_nobody_in(client: Client, alice: User, passkey: SoftPasskey) -> None:
    options = ask(client)
    Authenticator.objects.filter(user=alice).delete()
    client.post(PASSKEY_SIGN_IN, {"credential": passkey.get(options)})
    assert not signed_in(client)


def test_passkey_sign_in_is_limited_by_address(client: Client) -> None:
    statuses = [client.post(PASSKEY_SIGN_IN, {"credential": "{}"}).status_code for _ in range(12)]
    assert statuses[-1] == 429


# --- codes that are sent ------------------------------------------------------------------------------------------------------


def test_codes_by_mail_are_switched_on_and_off(alices: Client, alice: User) -> None:
    assert "alice@example.org" in alices.get(CODES).content.decode()
    assert len(codes_on(alices.post(CODES, {"way": "email"}).content.decode())) == 10
    alice.refresh_from_db()
    assert alice.code_factor == "email"
    assert "Remove codes by e-mail?" in alices.get(CODES_OFF).content.decode()
    alices.post(CODES_OFF)
    alice.refresh_from_db()
    assert alice.code_factor == ""
    assert not Authenticator.objects.filter(user=alice).exists()
    assert told() == ["Codes at sign-in switched on at IoT Portal", "Codes at sign-in switched off at IoT Portal"]


@pytest.mark.parametrize("way", ["sms", "", "pigeon", "email\0"])
def test_codes_are_not_switched_on_in_ways_that_are_not_there(alices: Client, alice: User, way: str) -> None:
    assert alices.post(CODES, {"way": way}).status_code == 400
    alice.refresh_from_db()
    assert alice.code_factor == ""


def test_codes_need_a_confirmed_address(alices: Client, alice: User) -> None:
    EmailAddress.objects.filter(user=alice).update(verified=False)
    assert alices.post(CODES, {"way": "email"}).status_code == 400
    assert "confirm your e-mail address first" in alices.get(CODES).content.decode()


def test_switching_codes_off_leaves_an_app_and_its_recovery_codes(alices: Client, alice: User) -> None:
    add_app(alice)
    add_recovery_codes(alice)
    User.objects.filter(pk=alice.pk).update(code_factor="email")
    alices.post(CODES_OFF)
    assert factors.ways(User.objects.get(pk=alice.pk)) == factors.Ways(app=True, passkeys=0, code="", recovery_codes=10)


# --- recovery codes, and all of it ----------------------------------------------------------------------------------------------


def test_new_recovery_codes_end_the_old_ones(alices: Client, alice: User) -> None:
    add_app(alice)
    old = add_recovery_codes(alice)
    assert "The 10 that you have left stop working." in alices.get(RECOVERY).content.decode()
    new = codes_on(alices.post(RECOVERY).content.decode())
    assert not factors.check_code(alice, old[0])
    assert factors.check_code(alice, new[0])
    assert told() == ["New recovery codes at IoT Portal"]


def test_without_a_factor_there_are_no_recovery_codes(alices: Client, alice: User) -> None:
    assert alices.post(RECOVERY)["Location"] == ACCOUNT
    assert not Authenticator.objects.filter(user=alice).exists()


def test_the_codes_on_the_page_can_be_had_as_a_file(alices: Client, alice: User) -> None:
    add_app(alice)
    codes = codes_on(alices.post(RECOVERY).content.decode())
    response = alices.post(DOWNLOAD, {"codes": "\r\n".join(codes) + "\r\n"})
    assert response["Content-Disposition"] == 'attachment; filename="iot-portal-recovery-codes.txt"'
    assert response.content.decode().split()[-10:] == codes


@pytest.mark.parametrize("codes", ["", "<script>", "12345-67890\n<script>", "1" * 10_000, "12345-67890\n" * 20])
def test_the_file_has_nothing_but_codes(alices: Client, codes: str) -> None:
    assert alices.post(DOWNLOAD, {"codes": codes})["Location"] == ACCOUNT


def test_all_is_switched_off_after_asking(alices: Client, alice: User) -> None:
    add_passkey(alices, alice)
    add_app(alice)
    User.objects.filter(pk=alice.pk).update(code_factor="email")
    mail.outbox.clear()
    page = alices.get(ALL_OFF).content.decode()
    assert "the authenticator app, 1 passkey, codes by message, and the recovery codes" in page
    alices.post(ALL_OFF)
    alice.refresh_from_db()
    assert not factors.ways(alice)
    assert not Authenticator.objects.filter(user=alice).exists()
    assert told() == ["Second factor switched off at IoT Portal"]


def test_the_account_page_warns_when_no_recovery_code_is_left(alices: Client, alice: User) -> None:
    add_app(alice)
    assert "No recovery codes are left." in alices.get(ACCOUNT).content.decode()


# --- who may ------------------------------------------------------------------------------------------------------------------

GUARDED = [APP, PASSKEY, CODES, ALL_OFF, RECOVERY, CODES_OFF]


@pytest.mark.parametrize("url", [*GUARDED, APP_OFF, DOWNLOAD])
def test_strangers_sign_in_first(client: Client, url: str) -> None:
    assert client.post(url)["Location"].startswith(SIGN_IN)


@pytest.mark.parametrize("ago", [None, 301])
@pytest.mark.parametrize("url", [*GUARDED, APP_OFF])
def test_nothing_is_changed_without_a_recent_confirmation(as_alice: Client, alice: User, url: str, ago: float | None) -> None:
    add_app(alice)
    User.objects.filter(pk=alice.pk).update(code_factor="email")
    if ago is not None:
        confirm_lately(as_alice, alice, ago)
    before = list(Authenticator.objects.filter(user=alice).values("type", "data"))
    for method in ("get", "post"):
        response = getattr(as_alice, method)(url, {"way": "email"})
        assert "/accounts/confirm/" in response["Location"]
    assert list(Authenticator.objects.filter(user=alice).values("type", "data")) == before
    assert User.objects.get(pk=alice.pk).code_factor == "email"


def test_the_apps_code_confirms_and_leads_to_what_was_asked_for(as_alice: Client, alice: User) -> None:
    secret = add_app(alice)
    response = as_alice.get("/accounts/confirm/code/?next=/account/codes/")
    assert response.status_code == 200
    assert as_alice.post("/accounts/confirm/code/?next=/account/codes/", {"code": wrong_code(secret)}).status_code == 400
    assert as_alice.get(CODES).status_code == 302
    response = as_alice.post("/accounts/confirm/code/?next=/account/codes/", {"code": app_code(secret)})
    assert response["Location"] == "/account/codes/"
    assert as_alice.get(CODES).status_code == 200
    with time_machine.travel(timezone.now() + timedelta(seconds=301)):
        assert as_alice.get(CODES).status_code == 302


def test_the_password_confirms(as_alice: Client) -> None:
    where = "/accounts/confirm/?next=/account/codes/"
    assert as_alice.post(where, {"password": "red pump 42 stops"}).status_code == 400
    assert as_alice.get(CODES)["Location"] == "/accounts/confirm/?next=%2Faccount%2Fcodes%2F"
    assert as_alice.post(where, {"password": PASSWORD})["Location"] == "/account/codes/"
    assert as_alice.get(CODES).status_code == 200


def test_a_passkey_confirms(as_alice: Client, alice: User) -> None:
    passkey = add_passkey(as_alice, alice)
    confirm_lately(as_alice, alice, 301)
    where = "/accounts/confirm/passkey/?next=/account/codes/"
    wrong = as_alice.post(where, {"credential": SoftPasskey().get(options_of(as_alice.get(where)))})
    assert wrong.status_code == 400
    assert as_alice.post(where, {"credential": passkey.get(options_of(wrong))})["Location"] == "/account/codes/"
    assert as_alice.get(CODES).status_code == 200


def test_a_code_does_not_confirm_on_another_site(as_alice: Client, alice: User) -> None:
    secret = add_app(alice)
    response = as_alice.post("/accounts/confirm/code/?next=https://evil.example/", {"code": app_code(secret)})
    assert response["Location"] == "/devices/"


def test_no_factor_is_added_while_the_address_is_not_confirmed(alices: Client, alice: User) -> None:
    EmailAddress.objects.filter(user=alice).update(verified=False)
    for url in (APP, PASSKEY):
        assert alices.get(url, follow=True).redirect_chain[-1][0] == ACCOUNT
    assert not Authenticator.objects.filter(user=alice).exists()


def test_another_portal_address_does_not_change_where_passkeys_belong(alices: Client, settings: Settings) -> None:
    settings.PORTAL_URL = "https://portal.example.com"
    assert options_of(alices.get(PASSKEY))["publicKey"]["rp"]["id"] == "portal.example.com"


def test_allauths_own_rows_have_what_the_services_read(alice: User) -> None:
    add_recovery_codes(alice)
    assert authenticator(alice, "recovery_codes").data["used_mask"] == 0
