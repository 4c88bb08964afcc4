"""Owners with accounts, and a ledger that other connections see."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from accounts.models import Account
from accounts.services import create_user, personal_account
from billing.tests import paypal
from billing.tests.helpers import forget_ledger
from billing.tests.paypal import Sandbox


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


@pytest.fixture(scope="package")
def running_paypal() -> Iterator[Sandbox]:
    """Run one PayPal for all tests here."""
    with paypal.sandbox() as one:
        yield one


@pytest.fixture
def pay_pal(running_paypal: Sandbox, settings: Settings) -> Sandbox:
    """Have the portal sell, at a PayPal of its own."""
    paypal.use(settings, running_paypal.url)
    return running_paypal
