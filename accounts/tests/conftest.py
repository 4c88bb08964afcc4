"""Users for the tests of accounts, each of which begins with no rate limit used up."""

from __future__ import annotations

import pytest
from django.test import Client

from accounts.models import User
from accounts.services import create_user
from accounts.tests.helpers import PASSWORD


@pytest.fixture(autouse=True)
def _fresh(clean_valkey: None, db: None) -> None:
    """Empty cache, sessions and rate limits."""


@pytest.fixture
def alice() -> User:
    return create_user(username="alice", email="alice@example.org", password=PASSWORD, first_name="Alice", last_name="Ames")


@pytest.fixture
def bob() -> User:
    return create_user(username="bob", email="bob@example.org", password=PASSWORD, first_name="Bob", last_name="Bell")


@pytest.fixture
def as_alice(alice: User) -> Client:
    client = Client()
    client.force_login(alice)
    return client
