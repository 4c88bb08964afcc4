"""No secret can be read in the admin: all its pages are opened, with secrets of every kind in the database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from accounts.models import ApiToken, Invitation, Role, User
from accounts.services import create_organisation, create_token, invite, log_in, personal_account
from accounts.tests.factor_helpers import add_app, add_passkey
from devices.models import Certificate
from devices.tests.factories import make_device, make_user

PAGES = ("change", "history", "delete")
ORACLES = {  # a filter that says whether a hash begins with a letter tells the hash, letter by letter
    "accounts/user": ("password__startswith", "api_tokens__token_hash__startswith", "authenticator__data__icontains"),
    "accounts/apitoken": ("token_hash__startswith", "refresh_hash__startswith", "user__password__startswith"),
    "accounts/account": ("members__password__startswith", "invitations__secret_hash__startswith"),
    "accounts/membership": ("user__password__startswith",),
    "usersessions/usersession": ("session_key__startswith", "user__password__startswith"),
    "devices/device": ("certificates__sealed_key__startswith", "account__members__password__startswith"),
    "devices/certificate": ("sealed_key__startswith", "device__account__members__password__startswith"),
    "admin/logentry": ("user__password__startswith",),
}


@pytest.fixture
def root(db: None) -> Client:
    """Return the browser of a superuser, who sees more than anybody else."""
    client = Client()
    client.force_login(User.objects.create_superuser("root2", "root2@example.org", "x"))
    return client


def fill(root: Client) -> set[str]:
    """Put secrets of every kind into the database and return them."""
    alice = make_user("alice")
    browser = Client()
    browser.force_login(alice)
    app_secret = add_app(alice)
    add_passkey(browser, alice)
    token, secret = create_token(user=alice, name="ci")
    login = log_in(user=alice, ip="127.0.0.1", user_agent="x")
    organisation = create_organisation(user=alice, name="Works")
    invite(account=organisation, by=alice, email="guest@example.org", role=Role.VIEWER)
    made = make_device(personal_account(alice))
    for client in (browser, root):
        client.get("/account/")  # which notes the session
    social = SocialAccount.objects.create(user=alice, provider="github", uid="social-uid-7", extra_data={"x": "social-extra-7"})
    app = SocialApp.objects.create(provider="github", name="x", client_id="client-id-7", secret="client-secret-7")
    SocialToken.objects.create(app=app, account=social, token="social-token-7", token_secret="social-second-7")
    EmailAddress.objects.filter(user=alice).update(verified=False)
    LogEntry.objects.create(user=alice, action_flag=CHANGE, object_repr="x", change_message="y")
    sealed = bytes(Certificate.objects.get(device=made).sealed_key or b"")
    stored = ApiToken.objects.get(kind="login")
    found = {
        app_secret, secret, token.token_hash, login.access, login.refresh, stored.token_hash, str(stored.refresh_hash),
        "client-secret-7", "social-token-7", "social-second-7", "social-extra-7", Invitation.objects.get().secret_hash,
        sealed.hex(), repr(sealed), "PRIVATE KEY",
        *User.objects.values_list("password", flat=True), *UserSession.objects.values_list("session_key", flat=True),
        *(json.dumps(one.data)[1:-1] for one in Authenticator.objects.all()),
        *(value for one in Authenticator.objects.all() for value in one.data.values() if isinstance(value, str)),
    }  # fmt: skip
    assert "" not in found
    return found


def addresses(model: type[Model]) -> list[str]:
    """Return the addresses of a model's admin pages."""
    base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    found = [reverse(f"{base}_changelist"), reverse(f"{base}_add")]
    for one in model._default_manager.order_by("pk")[:5]:
        found += [reverse(f"{base}_{page}", args=[one.pk]) for page in PAGES]
    return found


def test_no_page_of_the_admin_shows_a_secret_or_answers_questions_about_one(root: Client, pki: Path) -> None:
    secrets = fill(root)
    opened = 0
    for model in admin.site._registry:
        for address in addresses(model):
            answer = root.get(address)
            assert answer.status_code in {200, 403}, address
            opened += answer.status_code == 200
            html = answer.content.decode()
            assert [secret for secret in secrets if secret in html] == [], address
            assert 'type="password"' not in html, address
    assert opened > 30
    for path, names in ORACLES.items():
        for name in names:
            assert root.get(f"/admin/{path}/", {name: "a"}).status_code in {302, 400}, (path, name)
