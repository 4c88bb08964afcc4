import uuid

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404

from accounts.models import Account, Role
from devices.access import Action, access_device
from devices.models import Device
from devices.services import delete_device
from devices.tests.factories import make_device, make_member, make_user

ALLOWED = {
    Role.VIEWER: {Action.READ},
    Role.OPERATOR: {Action.READ, Action.CONTROL},
    Role.ADMIN: {Action.READ, Action.CONTROL, Action.MANAGE, Action.BILLING},
    Role.OWNER: set(Action),
}


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("role", list(Role))
def test_a_member_may_do_what_the_role_says_and_is_told_403_otherwise(account: Account, role: Role, action: Action) -> None:
    device, member = make_device(account), make_member(account, "bob", role)
    if action in ALLOWED[role]:
        assert access_device(member, device.hex, action) == device
    else:
        with pytest.raises(PermissionDenied):
            access_device(member, device.hex, action)
    assert Device.objects.for_user(member, action).contains(device) is (action in ALLOWED[role])


@pytest.mark.parametrize("action", list(Action))
def test_a_strangers_device_looks_like_none(account: Account, action: Action) -> None:
    device, stranger = make_device(account), make_user("stranger")
    with pytest.raises(Http404) as foreign:
        access_device(stranger, device.hex, action)
    with pytest.raises(Http404) as unknown:
        access_device(stranger, uuid.uuid4().hex, action)
    assert str(foreign.value) == str(unknown.value)
    assert not Device.objects.for_user(stranger, action).exists()


def test_a_deleted_device_is_gone_for_its_owner_too(account: Account) -> None:
    device, owner = make_device(account), account.members.get()
    delete_device(device=device)
    with pytest.raises(Http404):
        access_device(owner, device.id)
    assert not Device.objects.for_user(owner).exists()


@pytest.mark.parametrize("value", ["", "x", "0" * 31, "0" * 33, "g" * 32, "0" * 34 + "--", "\x00" * 32, "💧" * 32])
def test_what_is_no_id_is_no_device(account: Account, value: str) -> None:
    with pytest.raises(Http404):
        access_device(account.members.get(), value)
