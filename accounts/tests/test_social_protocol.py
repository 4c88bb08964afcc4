"""Sites that break the protocol of signing in with them, and what is believed of what they say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from allauth.socialaccount.models import SocialAccount, SocialLogin
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from accounts.social_adapter import usable_name, visible
from accounts.tests.sites import BEGIN, DEVICES, SAM, LyingSite, offer, oidc, who

# The provider's library warns of what it does itself.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:authlib")


@pytest.fixture
def liar(settings: Settings) -> Iterator[LyingSite]:
    site = LyingSite()
    offer(settings, oidc(site.url, trusts_email=True))
    yield site
    site.close()


def test_the_sites_description_is_asked_for_once(client: Client, liar: LyingSite) -> None:
    for _ in range(5):
        client.post(BEGIN)
    assert len(liar.asked) == 1


# --- a site that breaks its protocol --------------------------------------------------------------------------------------------


def test_the_liar_is_believed_while_it_keeps_to_the_protocol(client: Client, liar: LyingSite) -> None:
    liar.claims = dict(SAM)
    assert client.get(liar.answer(client.post(BEGIN)))["Location"] == DEVICES
    assert who(client) == "sam"


@pytest.mark.parametrize(
    "claims",
    [{"nonce": "another"}, {"nonce": None}, {"nonce": ""}, {"aud": "another"}, {"aud": None}, {"iss": "https://accounts.google.com"},
     {"iss": None}, {"exp": 1}, {"sub": None}, {"sub": ""}, {"sub": 7}, {"sub": "a" * 300}, {"sub": {"a": 1}}],
)  # fmt: skip
def test_an_id_token_that_is_not_ours_signs_nobody_in(
    client: Client, liar: LyingSite, alice: User, claims: dict[str, Any]
) -> None:
    liar.claims = {**SAM, "email": "alice@example.org", **claims}
    assert client.get(liar.answer(client.post(BEGIN))).status_code == 401
    assert who(client) == ""
    assert not SocialAccount.objects.exists()


@pytest.mark.parametrize(
    "userinfo", [{"sub": "somebody else", "email": "alice@example.org", "email_verified": True}, {}, [], "x", 7, None]
)
def test_userinfo_of_somebody_else_signs_nobody_in(client: Client, liar: LyingSite, alice: User, userinfo: Any) -> None:
    page = client.post(BEGIN)
    liar.userinfo = {"sub": "x"} if userinfo is None else userinfo
    assert client.get(liar.answer(page)).status_code == 401
    assert who(client) == ""


@pytest.mark.parametrize(
    "token", [{}, [], "x", b"<html>", {"access_token": "a"}, {"access_token": "a", "id_token": "x.y.z"}, {"error": "no"}]
)
def test_nonsense_for_tokens_signs_nobody_in(client: Client, liar: LyingSite, token: Any) -> None:
    liar.token = token
    assert client.get(liar.answer(client.post(BEGIN))).status_code == 401
    assert who(client) == ""


def test_another_provider_that_answers_is_noticed(client: Client, liar: LyingSite) -> None:
    liar.claims = dict(SAM)
    assert client.get(liar.answer(client.post(BEGIN), iss="https://evil.example")).status_code == 401
    assert client.get(liar.answer(client.post(BEGIN), iss=liar.url))["Location"] == DEVICES


def test_a_provider_that_says_who_answers_must_say_it(client: Client, liar: LyingSite) -> None:
    liar.claims, liar.configuration = dict(SAM), {"authorization_response_iss_parameter_supported": True}
    assert client.get(liar.answer(client.post(BEGIN))).status_code == 401
    assert client.get(liar.answer(client.post(BEGIN), iss=liar.url))["Location"] == DEVICES


@pytest.mark.parametrize(
    "configuration",
    [{"issuer": "https://accounts.google.com"}, {"issuer": None}, {"token_endpoint": 7}, {"authorization_endpoint": None}],
)
def test_a_description_of_another_provider_is_refused(client: Client, liar: LyingSite, configuration: dict[str, Any]) -> None:
    liar.configuration = configuration
    page = client.post(BEGIN)
    assert page.status_code == 401
    assert "That did not work" in page.content.decode()


def test_a_provider_that_is_away_is_said_to_be(client: Client, settings: Settings) -> None:
    offer(settings, oidc("http://localhost:1"))
    page = client.post(BEGIN)
    assert page.status_code == 401
    assert "Home SSO could not be asked" in page.content.decode()


@pytest.mark.parametrize("email", [7, {"a": 1}, True, 1e400])
def test_an_address_that_is_no_text_breaks_nothing(client: Client, liar: LyingSite, email: object) -> None:
    liar.claims = {**SAM, "email": email}
    assert client.get(liar.answer(client.post(BEGIN))).status_code in {302, 401}
    assert not User.objects.exists()


# --- what is believed, by kind of site ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("email", "hosted", "believed"),
    [
        ("sam@gmail.com", None, True),
        ("sam@corp.example", "corp.example", True),
        ("sam@corp.example", None, False),
        ("sam@corp.example", "other.example", False),
        ("sam@evilgmail.com", None, False),
        ("sam@corp.example", ["corp.example"], False),
    ],
)
def test_google_is_believed_about_its_own_mailboxes(settings: Settings, rf: Any, email: str, hosted: Any, believed: bool) -> None:
    from allauth.core import context
    from allauth.socialaccount.adapter import get_adapter

    from iotportal.login_providers import LoginProvider

    offer(settings, LoginProvider("google", "google", "Google", True, {"ID": "x", "SECRET": "y"}, ()))
    request = rf.get("/")
    with context.request_context(request):
        provider = get_adapter().get_provider(request, "google")
        told = {"sub": "1", "email": email, "email_verified": True, "hd": hosted}
        login: SocialLogin = provider.sociallogin_from_response(request, told)
    assert [(one.email, one.verified) for one in login.email_addresses] == [(email, believed)]


@pytest.mark.parametrize(
    ("name", "shown"), [("Sam", "Sam"), (" \0Sa\x07m ", "Sam"), ("\u202eevil", ""), (None, ""), ("x" * 200, "x" * 150)]
)
def test_names_are_shown_as_they_can_be(name: object, shown: str) -> None:
    assert visible(name) == shown


@pytest.mark.parametrize(("name", "used"), [("sam", "sam"), ("sa", ""), ("sam@example.com", ""), ("", ""), ("sam smith", "")])
def test_user_names_are_used_as_they_can_be(name: str, used: str) -> None:
    assert usable_name(name) == used
