"""Owners with accounts, and a ledger that other connections see."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from accounts.models import Account
from accounts.services import create_user, personal_account
from billing.tests.helpers import forget_ledger


def make_account(username: str) -> Account:
    """Return the personal account of a new user."""
    return personal_account(
        create_user(username=username, email=f"{username}@example.org", password="x", first_name="A", last_name="B")
    )


@pytest.fixture
def alice(db: None) -> Account:
    return make_account("alice")


@pytest.fixture
def bob(db: None) -> Account:
    return make_account("bob")


@pytest.fixture
def committed(transactional_db: None) -> Iterator[None]:
    """Commit in earnest, and empty the ledger afterwards."""
    yield
    forget_ledger()
