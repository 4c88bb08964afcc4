"""Signing in with other sites, against real providers: who comes in as whom, and who does not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.core import mail
from django.test import Client
from pytest_django import Settings

from accounts.models import Account, User
from accounts.services import create_user, social
from accounts.tests.factor_helpers import add_app, app_code, confirm_lately
from accounts.tests.helpers import CODE, PASSWORD, RECOVER, RECOVER_CODE, RECOVER_NEW, SIGN_IN, SIGN_UP, code_in, sign_up_data
from accounts.tests.sites import BEGIN, DEVICES, SAM, LyingSite, Site, asked_for, go, is_told, offer, oidc, running_site, who

# The provider's library warns of what it does itself.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:authlib")

STEP, ACCOUNT = "/accounts/second-factor/", "/account/"
CONNECT, DISCONNECT, MORE = "/account/sites/oidc/connect/", "/account/sites/oidc/disconnect/", "/accounts/sites/signup/"


@pytest.fixture(scope="module")
def provider() -> Iterator[Site]:
    with running_site() as site:
        yield site


@pytest.fixture
def site(provider: Site, settings: Settings) -> Site:
    """Return a site whose word on addresses is not trusted."""
    offer(settings, oidc(provider.url))
    return provider


@pytest.fixture
def trusted(provider: Site, settings: Settings) -> Site:
    """Return a site whose word on addresses is trusted."""
    offer(settings, oidc(provider.url, trusts_email=True))
    return provider


# --- the way there --------------------------------------------------------------------------------------------------------------


def test_buttons_are_there_for_what_is_set_up_alone(client: Client, site: Site, settings: Settings) -> None:
    for page in (SIGN_IN, SIGN_UP):
        text = client.get(page).content.decode()
        assert "Home SSO" in text
        assert 'action="/accounts/oidc/login/"' in text
        assert "Google" not in text
    offer(settings)
    assert "Home SSO" not in client.get(SIGN_IN).content.decode()


@pytest.mark.parametrize("name", ["google", "github", "facebook", "amazon", "apple", "oidc", "oidc2", "nonsense", "a" * 300])
def test_what_is_not_set_up_is_not_there(client: Client, name: str) -> None:
    for method in ("get", "post"):
        assert getattr(client, method)(f"/accounts/{name}/login/").status_code == 404
        assert getattr(client, method)(f"/accounts/{name}/login/callback/").status_code in {404, 405}


def test_a_link_from_elsewhere_asks_first_and_carries_nothing_along(client: Client, site: Site) -> None:
    page = client.get(BEGIN + "?process=connect&auth_params=state%3Dmine&scope=everything&next=https://evil.example/")
    text = page.content.decode()
    assert "Go to Home SSO" in text
    assert 'action="/accounts/oidc/login/"' in text
    for planted in ("evil", "mine", "everything"):
        assert planted not in text


def test_the_page_goes_on_by_itself_with_what_the_protocol_wants(client: Client, site: Site) -> None:
    page = client.post(BEGIN + "?auth_params=redirect_uri%3Dhttps://evil.example/%26nonce%3Dmine&scope=everything")
    asked = {key: value[0] for key, value in parse_qs(urlsplit(asked_for(page)).query).items()}
    assert asked["client_id"] == "portal"
    assert asked["redirect_uri"] == "http://testserver/accounts/oidc/login/callback/"
    assert asked["response_type"] == "code"
    assert set(asked["scope"].split()) == {"openid", "profile", "email"}
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["nonce"]) >= 32
    assert len(asked["state"]) >= 16
    assert "form-action 'self'" in page["Content-Security-Policy"]


def test_going_there_is_limited_by_address(client: Client, site: Site) -> None:
    answers = [client.post(BEGIN) for _ in range(31)]
    assert [one.status_code for one in answers[-2:]] == [200, 429]
    assert 50 <= int(answers[-1]["Retry-After"]) <= 60
    assert Client(REMOTE_ADDR="203.0.113.9").post(BEGIN).status_code == 200


def test_a_form_from_another_site_is_refused(site: Site) -> None:
    assert Client(enforce_csrf_checks=True).post(BEGIN).status_code == 403


# --- new and returning ----------------------------------------------------------------------------------------------------------


def test_a_new_user_of_a_trusted_site_is_in_at_once(client: Client, trusted: Site) -> None:
    response = go(client, trusted, trusted.person("new", **SAM))
    assert response["Location"] == DEVICES
    sam = User.objects.get(username="sam")
    assert (sam.first_name, sam.last_name, sam.email, sam.has_usable_password()) == ("Sam", "Smith", "sam@example.com", False)
    assert who(client) == "sam"
    assert Account.objects.filter(memberships__user=sam, kind=Account.Kind.PERSONAL).count() == 1
    assert [(one.email, one.verified, one.primary) for one in EmailAddress.objects.filter(user=sam)] == [
        ("sam@example.com", True, True)
    ]
    assert mail.outbox == []


def test_a_new_user_of_another_site_confirms_the_address_by_a_code(client: Client, site: Site) -> None:
    response = go(client, site, site.person("careful", **SAM))
    assert response["Location"] == CODE
    assert who(client) == ""
    assert client.post(CODE, {"code": code_in(mail.outbox[0]), "action": "verify"})["Location"] == DEVICES
    assert who(client) == "sam"
    assert SocialAccount.objects.get(user__username="sam").uid == "careful"


def test_a_returning_user_is_known_whatever_the_site_tells_now(client: Client, trusted: Site, bob: User) -> None:
    go(client, trusted, trusted.person("back", **SAM))
    client.post("/accounts/logout/")
    trusted.person("back", name="Someone Else", email="bob@example.org", email_verified=True, preferred_username="bob")
    assert go(client, trusted, "back")["Location"] == DEVICES
    assert who(client) == "sam"
    assert User.objects.get(username="sam").email == "sam@example.com"


def test_it_goes_on_to_where_the_person_was_going(client: Client, trusted: Site) -> None:
    trusted.person("next", **SAM)
    assert client.get(trusted.answer(client.post(BEGIN, {"next": "/history/"}), "next"))["Location"] == "/history/"


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:alert(1)"])
def test_it_goes_to_no_other_site(client: Client, trusted: Site, target: str) -> None:
    trusted.person("evil", **SAM)
    assert client.get(trusted.answer(client.post(BEGIN, {"next": target}), "evil"))["Location"] == DEVICES


def test_the_session_ends_with_the_browser(client: Client, trusted: Site) -> None:
    go(client, trusted, trusted.person("short", **SAM))
    assert client.session.get_expire_at_browser_close()


def test_nothing_of_the_sites_answer_is_kept_but_what_is_shown(client: Client, trusted: Site) -> None:
    go(client, trusted, trusted.person("spare", **SAM, phone_number="+15550001", address="somewhere", picture="x"))
    assert SocialAccount.objects.get(uid="spare").extra_data == {"username": "sam@example.com"}
    assert "token" not in json.dumps(dict(client.session.items()), default=str).replace("csrf", "")


@pytest.mark.parametrize(
    ("told", "name"),
    [("alice", None), ("ALICE", None), ("admin", None), ("bob@example.org", None), ("аlice", None), ("a b", None), ("x", None),
     ("a" * 200, None), ("", None), ("sam.smith", "sam.smith"), ({"a": 1}, None)],
)  # fmt: skip
def test_a_user_name_that_cannot_be_is_replaced(
    client: Client, trusted: Site, alice: User, told: object, name: str | None
) -> None:
    go(client, trusted, trusted.person("named", **{**SAM, "preferred_username": told}))
    made = User.objects.get(email="sam@example.com").username
    assert who(client) == made
    assert re.fullmatch(r"[A-Za-z0-9._+-]{3,150}", made)
    assert made.lower() not in {"alice", "admin"}
    if name:
        assert made == name


@pytest.mark.parametrize(
    "claims", [{"name": "\u202eevil\u0000\u0007 " + "x" * 400}, {"name": "\ud83d\ude00 😀"}, {"given_name": "a" * 999}]
)
def test_names_that_cannot_be_kept_are_made_so(client: Client, trusted: Site, claims: dict[str, object]) -> None:
    go(client, trusted, trusted.person("odd", **{**SAM, **claims}))
    sam = User.objects.get(email="sam@example.com")
    assert len(sam.first_name) <= 150
    assert not set("\u202e\0\x07") & set(sam.first_name + sam.last_name)


@pytest.mark.parametrize("email", [None, "", "no address", "ｓam@example.com", "a" * 250 + "@example.com", ["sam@example.com"]])
def test_an_address_that_is_missing_is_asked_for_and_confirmed(client: Client, trusted: Site, email: object) -> None:
    claims = {key: value for key, value in SAM.items() if key != "email"}
    response = go(client, trusted, trusted.person("shy", **claims, **({} if email is None else {"email": email})))
    assert response["Location"] == MORE
    page = client.get(MORE).content.decode()
    assert "A few things are still needed" in page
    assert 'value="Sam"' in page
    form = {"first_name": "Sam", "last_name": "Smith", "username": "sam", "email": "sam@example.net"}
    assert client.post(MORE, {**form, "email": "nonsense"}).status_code == 400
    assert client.post(MORE, form)["Location"] == CODE
    assert who(client) == ""
    client.post(CODE, {"code": code_in(mail.outbox[-1]), "action": "verify"})
    sam = User.objects.get(username="sam")
    assert who(client) == "sam"
    assert (sam.email, EmailAddress.objects.get(user=sam).verified) == ("sam@example.net", True)
    assert Account.objects.filter(memberships__user=sam).count() == 1


def test_the_form_of_new_users_is_theirs_alone(client: Client, trusted: Site) -> None:
    assert client.get(MORE)["Location"] == SIGN_IN
    assert client.post(MORE, {"username": "sam"})["Location"] == SIGN_IN


def test_the_form_does_not_confirm_an_address_that_was_typed(client: Client, trusted: Site, bob: User) -> None:
    go(client, trusted, trusted.person("typist", **{**SAM, "email": ""}))
    form = {"first_name": "Sam", "last_name": "Smith", "username": "sam", "email": "bob@example.org"}
    assert client.post(MORE, form)["Location"] == CODE  # as if; the owner gets a mail
    assert not User.objects.filter(username="sam").exists()
    assert mail.outbox[-1].to == ["bob@example.org"]
    assert not re.search(r"\b\d{6}\b", str(mail.outbox[-1].body))


def test_two_tabs_make_one_user(client: Client, trusted: Site) -> None:
    trusted.person("tabs", **SAM)
    first, second = trusted.answer(client.post(BEGIN), "tabs"), trusted.answer(client.post(BEGIN), "tabs")
    client.get(first)
    assert client.get(second)["Location"] == DEVICES
    assert User.objects.count() == Account.objects.count() == 1


def test_who_changes_their_mind_there_is_told_that_nothing_happened(client: Client, site: Site) -> None:
    page = client.get(site.deny(client.post(BEGIN)), follow=True)
    assert page.redirect_chain[-1][0] == SIGN_IN
    assert "Nothing was changed" in page.content.decode()


def test_who_was_shut_out_does_not_come_in(client: Client, trusted: Site) -> None:
    go(client, trusted, trusted.person("shut", **SAM))
    client.post("/accounts/logout/")
    User.objects.update(is_active=False)
    assert go(client, trusted, "shut")["Location"] == "/accounts/inactive/"
    assert who(client) == ""


# --- the second factor ----------------------------------------------------------------------------------------------------------


def test_a_site_does_not_stand_for_the_second_factor(client: Client, trusted: Site) -> None:
    go(client, trusted, trusted.person("mfa", **SAM))
    sam = User.objects.get(username="sam")
    secret = add_app(sam)
    client.post("/accounts/logout/")
    assert go(client, trusted, "mfa")["Location"] == STEP
    assert who(client) == ""
    assert client.get(DEVICES).status_code == 302
    assert client.post(STEP, {"code": app_code(secret)})["Location"] == DEVICES
    assert who(client) == "sam"


def test_nothing_is_connected_before_the_second_factor_was_shown(client: Client, trusted: Site, alice: User) -> None:
    secret = add_app(alice)
    go(client, trusted, trusted.person("early", **{**SAM, "email": "alice@example.org"}))
    assert not SocialAccount.objects.exists()
    assert not is_told("connected")
    client.post(STEP, {"code": app_code(secret)})
    assert who(client) == "alice"
    assert SocialAccount.objects.get(user=alice).uid == "early"
    assert is_told("Home SSO connected")


# --- linking --------------------------------------------------------------------------------------------------------------------


def test_a_confirmed_address_that_a_trusted_site_confirms_is_linked_and_told(client: Client, trusted: Site, alice: User) -> None:
    assert go(client, trusted, trusted.person("link", **{**SAM, "email": "Alice@Example.org"}))["Location"] == DEVICES
    assert who(client) == "alice"
    assert SocialAccount.objects.get(uid="link").user == alice
    assert is_told("Home SSO connected")
    alice.refresh_from_db()
    assert (alice.first_name, alice.check_password(PASSWORD)) == ("Alice", True)


def test_connect_and_disconnect_on_the_account_page(as_alice: Client, alice: User, site: Site) -> None:
    site.person("mine", **{**SAM, "email": "other@example.com", "email_verified": False})
    confirm_lately(as_alice, alice)
    assert "not connected" in as_alice.get(ACCOUNT).content.decode()
    back = as_alice.get(site.answer(as_alice.post(CONNECT), "mine"))
    assert back["Location"] == ACCOUNT
    page = as_alice.get(ACCOUNT).content.decode()
    assert "other@example.com · connected" in page
    assert is_told("Home SSO connected")

    other = Client()
    assert go(other, site, "mine")["Location"] == DEVICES
    assert who(other) == "alice"

    assert "Disconnect Home SSO?" in as_alice.get(DISCONNECT).content.decode()
    assert as_alice.post(DISCONNECT)["Location"] == ACCOUNT
    assert is_told("Home SSO disconnected")
    assert not SocialAccount.objects.exists()
    assert as_alice.get(DISCONNECT).status_code == 404


def test_connecting_needs_a_recent_confirmation(as_alice: Client, alice: User, site: Site) -> None:
    assert as_alice.post(CONNECT)["Location"].startswith("/accounts/confirm/")
    assert Client().post(CONNECT)["Location"].startswith(SIGN_IN)
    confirm_lately(as_alice, alice)
    there = as_alice.post(CONNECT)
    site.person("late", **SAM)
    confirm_lately(as_alice, alice, seconds_ago=301)
    assert as_alice.get(site.answer(there, "late"))["Location"] == "/accounts/confirm/"
    assert not SocialAccount.objects.exists()


def test_the_last_way_in_is_not_disconnected(client: Client, trusted: Site) -> None:
    go(client, trusted, trusted.person("only", **SAM))
    page = client.post(DISCONNECT)
    assert page.status_code == 409
    assert "It is your only way in." in page.content.decode()
    assert SocialAccount.objects.exists()


def test_of_two_ways_in_one_stays_whatever_order_they_go_in(alice: User) -> None:
    alice.set_unusable_password()
    alice.save()
    for provider in ("google", "github"):
        SocialAccount.objects.create(user=alice, provider=provider, uid="1")
    social.disconnect(user=alice, provider="google")
    with pytest.raises(social.LastWayIn):
        social.disconnect(user=alice, provider="github")


def test_anothers_account_there_is_not_connected_to_a_second_user(
    client: Client, as_alice: Client, alice: User, site: Site
) -> None:
    bob = create_user(username="bobby", email="bobby@example.org", password=PASSWORD, first_name="B", last_name="B")
    SocialAccount.objects.create(user=bob, provider="oidc", uid="taken")
    site.person("taken", **SAM)
    confirm_lately(as_alice, alice)
    page = as_alice.get(site.answer(as_alice.post(CONNECT), "taken"), follow=True)
    assert "signs another user in here" in page.content.decode()
    assert SocialAccount.objects.get(uid="taken").user == bob


def test_a_user_has_one_account_of_a_site(as_alice: Client, alice: User, site: Site) -> None:
    SocialAccount.objects.create(user=alice, provider="oidc", uid="first")
    site.person("second", **SAM)
    confirm_lately(as_alice, alice)
    page = as_alice.get(site.answer(as_alice.post(CONNECT), "second"), follow=True)
    assert "Another account at Home SSO is connected." in page.content.decode()
    assert SocialAccount.objects.get(user=alice).uid == "first"


def test_a_site_that_is_no_longer_set_up_can_still_be_let_go(as_alice: Client, alice: User) -> None:
    SocialAccount.objects.create(user=alice, provider="github", uid="1", extra_data={"username": "alice-there"})
    confirm_lately(as_alice, alice)
    assert "this portal no longer offers it" in as_alice.get(ACCOUNT).content.decode()
    assert as_alice.post("/account/sites/github/disconnect/")["Location"] == ACCOUNT
    assert not SocialAccount.objects.exists()


# --- takeover attempts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verified", [False, None, "true", "false", 1, [], {"a": 1}])
def test_an_address_that_is_not_confirmed_takes_nobody_over(client: Client, trusted: Site, alice: User, verified: object) -> None:
    claims = {**SAM, "email": "alice@example.org", "email_verified": verified}
    response = go(client, trusted, trusted.person("attacker", **claims))
    assert response["Location"] == CODE  # as if
    assert who(client) == ""
    assert not SocialAccount.objects.exists()
    assert User.objects.count() == 1
    [told] = mail.outbox
    assert told.to == ["alice@example.org"]
    assert not re.search(r"\b\d{6}\b", str(told.body))
    owner = Client()
    owner.post(SIGN_IN, {"login": "alice", "password": PASSWORD})
    assert who(owner) == "alice"


def test_the_word_of_a_site_that_is_not_trusted_takes_nobody_over(client: Client, site: Site, alice: User) -> None:
    response = go(client, site, site.person("untrusted", **{**SAM, "email": "alice@example.org"}))
    assert response["Location"] == CODE
    assert who(client) == ""
    assert not SocialAccount.objects.exists()


def test_an_address_that_changed_hands_there_does_not_change_hands_here(client: Client, trusted: Site, alice: User) -> None:
    SocialAccount.objects.create(user=alice, provider="oidc", uid="alice-there")
    go(client, trusted, trusted.person("heir", **{**SAM, "email": "alice@example.org"}))
    assert who(client) == ""
    assert SocialAccount.objects.get().uid == "alice-there"


def test_an_unconfirmed_sign_up_gives_way_to_the_addresss_owner(client: Client, trusted: Site) -> None:
    attacker = Client()
    attacker.post(SIGN_UP, sign_up_data(username="mallory", email="sam@example.com"))
    assert User.objects.get(email="sam@example.com").username == "mallory"

    assert go(client, trusted, trusted.person("owner", **SAM))["Location"] == DEVICES
    sam = User.objects.get(email="sam@example.com")
    assert (sam.username, who(client)) == ("sam", "sam")
    assert not User.objects.filter(username="mallory").exists()
    attacker.post(SIGN_IN, {"login": "sam@example.com", "password": PASSWORD})
    attacker.get(CODE)
    attacker.get(DEVICES)
    assert who(attacker) == ""


def test_who_came_with_anothers_address_is_out_once_the_owner_confirms_it(client: Client, site: Site) -> None:
    """Mallory signs up through a site that tells sam's address; later Sam gets a password by mail."""
    go(client, site, site.person("mallory", **{**SAM, "preferred_username": "mallory"}))
    assert SocialAccount.objects.get(uid="mallory").user.email == "sam@example.com"

    owner = Client()
    owner.post(RECOVER, {"email": "sam@example.com"})
    owner.post(RECOVER_CODE, {"code": code_in(mail.outbox[-1])})
    owner.post(RECOVER_NEW, {"password1": "blue pump 43 runs"})
    owner.post(SIGN_IN, {"login": "sam@example.com", "password": "blue pump 43 runs"})
    assert who(owner)
    assert not SocialAccount.objects.exists()

    client.get(CODE)
    client.get(DEVICES)
    assert who(client) == ""
    fresh = Client()
    go(fresh, site, "mallory")
    assert who(fresh) == ""


def test_who_signed_up_there_and_confirms_here_stays_connected(client: Client, site: Site) -> None:
    go(client, site, site.person("honest", **SAM))
    client.post(CODE, {"code": code_in(mail.outbox[0]), "action": "verify"})
    assert SocialAccount.objects.filter(uid="honest").exists()


def test_an_answer_is_good_once(client: Client, trusted: Site) -> None:
    answer = trusted.answer(client.post(BEGIN), trusted.person("once", **SAM))
    client.get(answer)
    client.post("/accounts/logout/")
    again = client.get(answer)
    assert again.status_code == 401
    assert "That did not work" in again.content.decode()
    assert who(client) == ""


def test_an_answer_is_good_in_the_browser_that_asked(client: Client, trusted: Site) -> None:
    """Mallory has Sam's browser follow the answer to her own sign-in, so that Sam works in her account."""
    answer = trusted.answer(client.post(BEGIN), trusted.person("mallory2", **SAM))
    victim = Client()
    assert victim.get(answer).status_code == 401
    victim.post(BEGIN)
    assert victim.get(answer).status_code == 401
    assert who(victim) == ""


def test_a_stolen_code_is_not_good_in_another_sign_in(client: Client, trusted: Site, alice: User) -> None:
    """Mallory got hold of the code of Alice's sign-in and puts it into her own: nonce and proof key do not fit."""
    trusted.person("alice-there", **{**SAM, "email": "alice@example.org"})
    stolen = trusted.answer(Client().post(BEGIN), "alice-there")
    code = parse_qs(urlsplit(stolen).query)["code"][0]
    state = parse_qs(urlsplit(asked_for(client.post(BEGIN))).query)["state"][0]
    assert client.get(f"/accounts/oidc/login/callback/?{urlencode({'code': code, 'state': state})}").status_code == 401
    assert who(client) == ""


def test_an_answer_of_one_site_is_none_of_another(client: Client, trusted: Site, settings: Settings, alice: User) -> None:
    evil = LyingSite()
    offer(settings, oidc(trusted.url, trusts_email=True), oidc(evil.url, provider_id="oidc2", name="Evil"))
    trusted.person("mixed", **{**SAM, "email": "alice@example.org"})
    answer = trusted.answer(client.post(BEGIN), "mixed")
    assert client.get(answer.replace("/oidc/", "/oidc2/")).status_code == 401
    assert evil.asked == []  # no code went there
    assert who(client) == ""
    evil.close()


def test_a_users_id_at_one_site_is_nobody_at_another(client: Client, trusted: Site, settings: Settings, alice: User) -> None:
    SocialAccount.objects.create(user=alice, provider="oidc", uid="sam")
    evil = LyingSite()
    offer(settings, oidc(trusted.url), oidc(evil.url, provider_id="oidc2", name="Evil"))
    client.get(evil.answer(client.post("/accounts/oidc2/login/"), provider_id="oidc2"))
    assert who(client) == ""
    evil.close()


@pytest.mark.parametrize("state", ["", "x", "a" * 5000, "../../", "\0"])
@pytest.mark.parametrize("code", ["", "x", "a" * 5000])
def test_made_up_answers_sign_nobody_in(client: Client, site: Site, state: str, code: str) -> None:
    client.post(BEGIN)
    assert client.get(f"/accounts/oidc/login/callback/?{urlencode({'code': code, 'state': state})}").status_code == 401
    assert who(client) == ""
