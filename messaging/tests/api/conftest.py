from pathlib import Path
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from accounts.models import ApiToken, User
from accounts.services import create_token
from devices.models import Device
from devices.tests.factories import make_account, make_device


def client_of(user: User, scope: str = ApiToken.Scope.MANAGE) -> APIClient:
    """Return a client with a token of `user`."""
    client = APIClient()
    _, secret = create_token(user=user, name=uuid4().hex, scopes=[scope])
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


@pytest.fixture
def pump(db: None, pki: Path) -> Device:
    """Return alice's device."""
    return make_device(make_account("alice"), "Pump")


@pytest.fixture
def alice(pump: Device) -> User:
    return pump.account.members.get()


@pytest.fixture
def api(alice: User) -> APIClient:
    return client_of(alice)


@pytest.fixture
def bob(db: None) -> User:
    return make_account("bob").members.get()
