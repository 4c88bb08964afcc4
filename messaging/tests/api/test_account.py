"""Who am I, and where are things?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import Membership, Role, User
from accounts.services import create_token
from devices.models import Device
from messaging import cache

pytestmark = pytest.mark.usefixtures("clean_valkey")


def test_it_says_who_asks_with_what_and_what_is_left(alice: User, pump: Device, bob: User) -> None:
    Membership.objects.create(user=alice, account=bob.accounts.get(), role=Role.VIEWER)
    cache.client().set(f"quota:{pump.account_id.hex}:{datetime.now(UTC):%Y%m}", 41)
    ends = timezone.now() + timedelta(days=1)
    _, secret = create_token(user=alice, name="grafana", scopes=["read"], expires_at=ends)
    body = APIClient(headers={"Authorization": f"Bearer {secret}"}).get("/api/v1/account").json()
    assert body["user"] == {
        "username": "alice",
        "email": "alice@example.org",
        "first_name": "Alice",
        "last_name": "T",
        "time_zone": "UTC",
        "language": "en",
        "theme": "",
        "delete_at": None,
    }
    assert (body["token"]["name"], body["token"]["scopes"]) == ("grafana", ["read"])
    assert body["token"]["expires_at"].endswith("Z")
    mine, theirs = body["accounts"]
    assert (mine["id"], mine["kind"], mine["role"]) == (pump.account_id.hex, "personal", "owner")
    assert mine["messages"]["used"] == 41
    assert mine["messages"]["limit"] == settings.FREE_MESSAGES_PER_MONTH
    assert (theirs["name"], theirs["role"]) == ("bob", "viewer")
    assert secret not in str(body)


def test_a_signed_in_browser_has_no_token(alice: User) -> None:
    browser = Client()
    browser.force_login(alice, backend="accounts.auth_backend.AuthenticationBackend")
    assert browser.get("/api/v1/account").json()["token"] is None


def test_the_root_says_where_things_are_with_and_without_a_slash(db: None) -> None:
    body = Client().get("/api/v1").json()
    assert set(body) == {"account", "accounts", "devices", "profiles", "messages", "schema", "docs"}
    assert body["devices"] == "http://testserver/api/v1/devices"
    assert Client().get("/api/v1/", follow=True).json() == body


@pytest.mark.parametrize(
    "path", ["/api/", "/api/v2", "/api/v1/nothing", "/api/v1/devices/", "/api/v1/%0a", "/api/v1/devices/a/b/c"]
)
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_a_path_that_is_not_there_is_a_problem_too(db: None, path: str, method: str) -> None:
    answer = getattr(Client(enforce_csrf_checks=True), method)(path)
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert answer.json()["code"] == "not_found"


def test_what_the_account_page_shows_is_what_the_api_says(pki: Path, alice: User) -> None:
    browser = Client()
    browser.force_login(alice, backend="accounts.auth_backend.AuthenticationBackend")
    assert alice.email in browser.get("/account/").content.decode()
    assert browser.get("/api/v1/account").json()["user"]["email"] == alice.email
