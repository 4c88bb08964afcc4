from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
import redis
import time_machine
from django.conf import settings
from django.test import Client
from django.utils import timezone

from accounts.models import Account, ApiToken, User
from accounts.services import create_token, find_token, personal_account
from accounts.tests.helpers import PASSWORD, SIGN_IN

ACCOUNT, PROFILE, NEW = "/account/", "/account/profile/", "/account/tokens/new/"


@pytest.fixture
def as_alice(alice: User) -> Client:
    """Return a browser in which Alice has just signed in, as making a token needs."""
    client = Client()
    client.post(SIGN_IN, {"login": "alice", "password": PASSWORD})
    return client


def make(client: Client, **changes: str) -> str:
    """Make a token on the page; return what the page says."""
    response = client.post(NEW, {"name": "grafana", "scopes": ["read"], "lifetime": "", **changes})
    return response.content.decode()


def secret_on(page: str) -> str:
    found = re.search(r"iotp_[\w-]{43}", page)
    assert found
    return found[0]


@pytest.mark.parametrize("url", [ACCOUNT, PROFILE, NEW])
def test_strangers_are_asked_to_sign_in(client: Client, url: str) -> None:
    assert client.get(url)["Location"] == f"/accounts/login/?next={url}"
    assert client.post(url)["Location"] == f"/accounts/login/?next={url}"


def test_it_shows_who_one_is_and_that_the_address_is_confirmed(as_alice: Client) -> None:
    page = as_alice.get(ACCOUNT).content.decode()

    for text in ("Alice Ames", "alice@example.org", "confirmed", "UTC", "As the system", "Free", "No tokens yet"):
        assert text in page
    assert "not confirmed" not in page


def test_it_shows_the_messages_used_this_month(as_alice: Client, alice: User) -> None:
    with redis.Redis.from_url(settings.VALKEY_URL) as link:
        link.set(f"quota:{personal_account(alice).pk.hex}:{datetime.now(UTC):%Y%m}", 1234)
    page = as_alice.get(ACCOUNT).content.decode()

    assert '<span class="big">1,234</span>' in page
    assert "of 100,000 messages used" in page
    assert "98,766 left this month" in page
    assert '<progress value="1234" max="100000"' in page


def test_it_shows_none_left_when_all_are_used(as_alice: Client, alice: User) -> None:
    with redis.Redis.from_url(settings.VALKEY_URL) as link:
        link.set(f"quota:{personal_account(alice).pk.hex}:{datetime.now(UTC):%Y%m}", 100_007)

    assert b"none left this month" in as_alice.get(ACCOUNT).content


def test_it_takes_few_queries_however_many_tokens(as_alice: Client, alice: User, django_assert_max_num_queries: object) -> None:
    for number in range(20):
        create_token(user=alice, name=f"t{number}")
    as_alice.get(ACCOUNT)
    # user, account, address, second factors, where codes may go, other sites, browsers, programs, tokens, organisations,
    # invitations; the session is cached
    with django_assert_max_num_queries(13):  # type: ignore[operator]  # a fixture
        as_alice.get(ACCOUNT)


def test_one_changes_the_name_and_nothing_else(as_alice: Client, alice: User) -> None:
    data = {"first_name": " Ålice ", "last_name": "O'Neil <b>", "email": "x@example.org", "is_staff": "on", "username": "root"}
    assert as_alice.post(PROFILE, {**data, "time_zone": "UTC"})["Location"] == ACCOUNT

    alice.refresh_from_db()
    assert alice.get_full_name() == "Ålice O'Neil <b>"
    assert (alice.username, alice.email, alice.is_staff) == ("alice", "alice@example.org", False)
    assert "O&#x27;Neil &lt;b&gt;" in as_alice.get(ACCOUNT).content.decode()


@pytest.mark.parametrize("name", ["", " ", "A" * 151, "A\0", "A\nB", "\u202eecilA"])
def test_it_says_what_is_wrong_with_a_name(as_alice: Client, alice: User, name: str) -> None:
    response = as_alice.post(PROFILE, {"first_name": name, "last_name": "Ames"})

    assert response.status_code == 400
    assert response.context["form"].errors["first_name"]
    alice.refresh_from_db()
    assert alice.first_name == "Alice"


def test_a_token_is_shown_once_and_works(as_alice: Client, alice: User) -> None:
    response = as_alice.post(NEW, {"name": "grafana", "scopes": ["read"], "lifetime": "30"})
    page = response.content.decode()
    secret = secret_on(page)

    assert "no-store" in response["Cache-Control"]
    assert "Copy it now" in page
    assert f"Authorization: Bearer {secret}" in page.replace("&quot;", '"')
    token = find_token(secret)
    assert token is not None
    assert (token.user, token.name, token.scopes) == (alice, "grafana", ["read"])
    assert token.expires_at is not None
    assert abs(token.expires_at - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)
    listed = as_alice.get(ACCOUNT).content.decode()
    assert secret not in listed
    assert token.token_hash not in listed
    assert f"{token.prefix}…" in listed
    assert "never used" not in listed, "find_token used it"


def test_a_token_is_not_made_where_nobody_signed_in_lately(as_alice: Client) -> None:
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        response = as_alice.post(NEW, {"name": "grafana", "scopes": ["read"], "lifetime": ""})
        body = '{"name": "grafana", "scopes": ["read"]}'
        in_api = as_alice.post("/api/v1/tokens", body, content_type="application/json")

    assert response["Location"].startswith("/accounts/confirm/")
    assert (in_api.status_code, in_api.json()["code"]) == (403, "sign_in_again")
    assert not ApiToken.objects.exists()


def test_a_token_without_end_says_nothing_of_one(as_alice: Client) -> None:
    make(as_alice)

    assert ApiToken.objects.get().expires_at is None
    tokens = as_alice.get(ACCOUNT).content.decode().partition('id="tokens"')[2].partition("</section>")[0]
    assert "never used" in tokens
    assert "ends " not in re.sub(r"\s+", " ", tokens)


def test_an_ended_token_says_so(as_alice: Client, alice: User) -> None:
    create_token(user=alice, name="old", expires_at=timezone.now() - timedelta(days=1))

    assert '<span class="flag warn">ended</span>' in as_alice.get(ACCOUNT).content.decode()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 61),
        ("name", "a\0b"),
        ("name", "a\nb"),
        ("scopes", []),
        ("scopes", ["read", "all"]),
        ("lifetime", "8"),
        ("lifetime", "-1"),
    ],
)
def test_it_says_what_is_wrong_with_a_token(as_alice: Client, field: str, value: str) -> None:
    response = as_alice.post(NEW, {"name": "grafana", "scopes": ["read"], "lifetime": "", field: value})

    assert response.status_code == 400
    assert list(response.context["form"].errors) == [field]
    assert not ApiToken.objects.exists()


def test_sending_the_form_twice_makes_one_token(as_alice: Client) -> None:
    make(as_alice)

    assert "You have a token of that name." in make(as_alice)
    assert ApiToken.objects.count() == 1


def test_there_is_a_limit_and_it_says_what_to_do(as_alice: Client, alice: User, settings: object) -> None:
    settings.API_TOKENS_PER_USER = 2  # type: ignore[attr-defined]  # pytest-django's settings
    for name in ("a", "b"):
        make(as_alice, name=name)

    assert "You have 2 tokens, and that is the most. Revoke one that you no longer use." in make(as_alice, name="c")


def test_revoking_asks_first(as_alice: Client, alice: User) -> None:
    secret = secret_on(make(as_alice))
    url = f"/account/tokens/{ApiToken.objects.get().pk}/revoke/"
    page = as_alice.get(url).content.decode()

    assert "Revoke grafana?" in page
    assert find_token(secret) is not None
    assert as_alice.post(url)["Location"] == ACCOUNT
    assert find_token(secret) is None
    assert as_alice.post(url).status_code == 404


def test_anothers_token_is_as_unknown_as_none(as_alice: Client, bob: User) -> None:
    token, secret = create_token(user=bob, name="ci")
    for key in (token.pk, "00000000-0000-4000-8000-000000000000"):
        for method in (as_alice.get, as_alice.post):
            assert method(f"/account/tokens/{key}/revoke/").status_code == 404
    assert find_token(secret) is not None
    assert token.prefix not in as_alice.get(ACCOUNT).content.decode()


def test_the_pages_have_no_inline_style_or_script(as_alice: Client) -> None:
    pages = [as_alice.get(url).content.decode() for url in (ACCOUNT, PROFILE, NEW)] + [make(as_alice)]
    for page in pages:
        for bad in (" style=", "<style", "onclick", "javascript:"):
            assert bad not in page
        assert not re.search(r"<script(?![^>]*\bsrc=)", page)


def test_a_user_without_personal_account_gets_one_on_the_first_visit(client: Client) -> None:
    client.force_login(User.objects.create_superuser("root2", "root2@example.org", "x"))
    assert client.get(ACCOUNT).status_code == 200
    assert client.get(ACCOUNT).status_code == 200

    assert Account.objects.count() == 1
    assert "not confirmed" in client.get(ACCOUNT).content.decode()
