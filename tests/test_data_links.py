"""How the portal's processes reach their data, and in what form it lies there."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from accounts.services import create_user
from accounts.tests.helpers import PASSWORD, SIGN_IN
from iotportal import env
from iotportal.cache import valkey

URL = "postgres://portal:secret@db.example.com/portal"


def test_the_database_is_asked_for_tls_as_its_url_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{URL}?sslmode=verify-full&sslrootcert=/etc/portal/db%20ca.pem")

    assert env.database()["OPTIONS"] == {"sslmode": "verify-full", "sslrootcert": "/etc/portal/db ca.pem"}
    assert env.database()["NAME"] == "portal"


@pytest.mark.parametrize("query", ["sslmod=verify-full", "host=elsewhere", "sslmode=require&options=-csession_replication_role"])
def test_what_a_url_cannot_say_is_refused_and_not_passed_over(monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{URL}?{query}")

    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL has .* it takes sslmode") as refused:
        env.database()
    assert "secret" not in str(refused.value)


def test_every_process_checks_the_certificate_of_a_valkey_with_tls() -> None:
    said = "from iotportal.celery import app; print(app.connection_for_write().ssl)"
    place = {"VALKEY_URL": "rediss://:secret@valkey.example.com:6379", "DJANGO_SETTINGS_MODULE": "iotportal.settings"}
    environment = {**os.environ, **place}
    done = subprocess.run([sys.executable, "-c", said], env=environment, cwd=settings.BASE_DIR, capture_output=True, text=True)

    assert "CERT_REQUIRED" in done.stdout, done.stderr


@pytest.mark.django_db
@pytest.mark.usefixtures("clean_valkey")
def test_sessions_and_counters_lie_in_valkey_as_json_which_nobody_can_run(client: Client) -> None:
    create_user(username="alice", email="alice@example.com", password=PASSWORD, first_name="A", last_name="A")
    client.post(SIGN_IN, {"login": "alice", "password": PASSWORD})

    kept = [json.loads(valkey().get(key) or "") for key in valkey().scan_iter("cache:*") if valkey().type(key) == b"string"]
    assert any(isinstance(one, dict) and "_auth_user_id" in one for one in kept)


@pytest.mark.usefixtures("clean_valkey")
@pytest.mark.parametrize("value", [7, "7", True, None, 1.5, [1.5, 2], {"a": ["å", None]}, ""])
def test_what_is_kept_comes_back_as_it_was(value: object) -> None:
    cache.set("a", value)

    assert cache.get("a", "nothing") == value
    assert type(cache.get("a", "nothing")) is type(value)


@pytest.mark.usefixtures("clean_valkey")
def test_a_pickle_that_somebody_puts_there_is_not_run() -> None:
    valkey().set(cache.make_key("a"), b"cos\nsystem\n(S'false'\ntR.")

    with pytest.raises(ValueError, match="Expecting value"):
        cache.get("a")
