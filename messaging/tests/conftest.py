"""Alice, her account, and her pump."""

from __future__ import annotations

from pathlib import Path

import pytest

from accounts.models import Account, User
from devices.models import Device
from devices.tests.factories import make_account, make_device


@pytest.fixture
def account(db: None, pki: Path) -> Account:
    return make_account("alice")


@pytest.fixture
def alice(account: Account) -> User:
    return account.members.get()


@pytest.fixture
def pump(account: Account) -> Device:
    return make_device(account, "Pump")
