"""The admin opens to staff with a second factor alone."""

from __future__ import annotations

import pytest
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from accounts.tests.factor_helpers import add_app, add_passkey, app_code, confirm_lately
from accounts.tests.helpers import PASSWORD, SIGN_IN
from accounts.tests.test_factor_pages import APP, secret_on

ADMIN, STEP = "/admin/", "/accounts/second-factor/"


@pytest.fixture(autouse=True)
def _required(settings: Settings) -> None:
    settings.ADMIN_REQUIRES_FACTOR = True


@pytest.fixture
def olga(alice: User) -> User:
    """Return somebody of the staff."""
    User.objects.filter(pk=alice.pk).update(is_staff=True, is_superuser=True)
    alice.refresh_from_db()
    return alice


@pytest.fixture
def browser(olga: User) -> Client:
    """Return a browser in which she signed in with the password alone."""
    client = Client()
    assert client.post(SIGN_IN, {"login": "alice", "password": PASSWORD})["Location"] == "/devices/"
    return client


def opens(client: Client) -> bool:
    return client.get(ADMIN).status_code == 200


def test_staff_without_a_factor_is_told_how_to_set_one_up(browser: Client) -> None:
    page = browser.get(ADMIN, follow=True)
    assert page.status_code == 403
    assert "The admin needs a second factor" in page.content.decode()
    assert "/accounts/factors/app/" in page.content.decode()


def every_admin_address() -> list[str]:
    names = [f"/admin/{model._meta.app_label}/{model._meta.model_name}/" for model in admin.site._registry]
    return [ADMIN, "/admin/jsi18n/", "/admin/autocomplete/", "/admin/password_change/", "/admin/accounts/", *names]


def test_no_page_of_the_admin_opens_without_a_factor(browser: Client) -> None:
    for address in every_admin_address():
        for where in (address, f"{address}add/", f"{address}1/change/"):
            for method in ("get", "post", "head", "put", "delete", "options"):
                response = getattr(browser, method)(where)
                assert response.status_code == 302, (method, where)
                assert response["Location"].startswith("/admin/login/?next="), where


def test_setting_an_app_up_opens_it(browser: Client, olga: User) -> None:
    confirm_lately(browser, olga)
    secret = secret_on(browser)
    browser.post(APP, {"code": app_code(secret)})
    assert opens(browser)


def test_making_a_passkey_opens_it(browser: Client, olga: User) -> None:
    add_passkey(browser, olga)
    assert opens(browser)


def test_signing_in_with_the_second_factor_opens_it(olga: User) -> None:
    secret, client = add_app(olga), Client()
    client.post(SIGN_IN, {"login": "alice", "password": PASSWORD, "next": "/admin/accounts/user/"})
    assert client.post(STEP, {"code": app_code(secret)})["Location"] == "/admin/accounts/user/"
    assert opens(client)


def test_a_session_from_before_the_factor_shows_it_first(browser: Client, olga: User) -> None:
    """Somebody left another browser signed in; that its owner has a second factor now does not open the admin there."""
    secret = add_app(olga)
    assert not opens(browser)
    page = browser.get("/admin/accounts/user/", follow=True)
    assert page.redirect_chain[-1][0] == "/accounts/confirm/code/?next=%2Fadmin%2Faccounts%2Fuser%2F"
    done = browser.post(page.redirect_chain[-1][0], {"code": app_code(secret)})
    assert done["Location"] == "/admin/accounts/user/"
    assert opens(browser)


def test_confirming_with_the_password_is_no_second_factor(browser: Client, olga: User) -> None:
    add_app(olga)
    confirm_lately(browser, olga)
    assert not opens(browser)


def test_switching_the_factor_off_shuts_it(olga: User) -> None:
    secret, client = add_app(olga), Client()
    client.post(SIGN_IN, {"login": "alice", "password": PASSWORD})
    client.post(STEP, {"code": app_code(secret)})
    assert opens(client)
    Authenticator.objects.filter(user=olga).delete()
    assert not opens(client)


def test_anothers_records_in_the_session_open_nothing(browser: Client, bob: User) -> None:
    session = browser.session
    session["account_authentication_methods"] = [{"method": "mfa", "at": 0, "type": "totp"}]
    session["account_authentication_methods_user"] = str(bob.pk)
    session.save()
    assert not opens(browser)


def test_who_has_codes_by_mail_and_signed_in_before_signs_in_again(browser: Client, olga: User) -> None:
    User.objects.filter(pk=olga.pk).update(code_factor="email")
    assert "Log out and sign in again" in browser.get(ADMIN, follow=True).content.decode()


@pytest.mark.parametrize("target", ["https://evil.example/admin/", "//evil.example/admin/", "/devices/", "/admin/../devices/"])
def test_the_door_leads_to_the_admin_alone(olga: User, target: str) -> None:
    secret, client = add_app(olga), Client()
    client.post(SIGN_IN, {"login": "alice", "password": PASSWORD})
    client.post(STEP, {"code": app_code(secret)})
    location = client.get("/admin/login/", {"next": target})["Location"]
    assert location.startswith(ADMIN)
    assert "evil" not in location


def test_who_is_not_staff_is_refused_with_a_factor_too(bob: User) -> None:
    secret, client = add_app(bob), Client()
    client.post(SIGN_IN, {"login": "bob", "password": PASSWORD})
    client.post(STEP, {"code": app_code(secret)})
    assert client.get(ADMIN, follow=True).status_code == 403


def test_a_portal_may_do_without(browser: Client, settings: Settings) -> None:
    settings.ADMIN_REQUIRES_FACTOR = False
    assert opens(browser)
