"""What the registry's tests share."""

from pathlib import Path

import pytest
from pytest_django import Settings

from accounts.models import Account
from devices import pki as authority
from devices.tests.factories import make_account


@pytest.fixture
def account(db: None, pki: Path) -> Account:
    """Return alice's personal account, in a portal with a certificate authority."""
    return make_account("alice")


@pytest.fixture
def own_pki(settings: Settings, tmp_path: Path) -> Path:
    """Return a PKI folder of the test's own, set up, for tests that change it."""
    settings.PKI_DIR = tmp_path / "pki"
    authority.set_up([])
    return tmp_path / "pki"
