"""What becomes of devices when their organisation is deleted."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import transaction
from django.http import Http404

from accounts.models import Account, User
from accounts.services import create_organisation, delete_organisation, personal_account
from accounts.tests.helpers import wait_for_a_lock
from devices.access import access_device
from devices.models import Device
from devices.services import register_device
from devices.tests.factories import at_once, make_device, make_user


@pytest.fixture
def owner(db: None, pki: Path) -> User:
    return make_user("alice")


def test_they_are_revoked_and_nobody_gets_to_them(owner: User) -> None:
    works = create_organisation(user=owner, name="Waterworks")
    pump, mine = make_device(works), make_device(personal_account(owner))
    delete_organisation(account=works, by=owner, name="Waterworks")

    with pytest.raises(Http404):
        access_device(owner, pump.pk)
    assert list(pump.certificates.values_list("status", flat=True)) == ["revoked"]
    assert Device.objects.live().get() == mine
    assert Account.objects.get(pk=works.pk).memberships.count() == 0, "the row stays while the deleted device hangs on it"


def test_one_that_never_had_devices_is_gone(owner: User) -> None:
    works = create_organisation(user=owner, name="Waterworks")
    delete_organisation(account=works, by=owner, name="Waterworks")

    assert not Account.objects.filter(pk=works.pk).exists()
    with pytest.raises(Http404):
        register_device(account=works, name="Pump")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("had_devices", [True, False])
def test_a_device_that_comes_while_the_organisation_goes_does_not_stay(owner: User, had_devices: bool) -> None:
    works = create_organisation(user=owner, name="Waterworks")
    if had_devices:
        make_device(works, "Old")
    with ThreadPoolExecutor(1) as other:
        with transaction.atomic():
            delete_organisation(account=works, by=owner, name="Waterworks")
            late = other.submit(at_once, lambda: register_device(account=works, name="Pump"))
            wait_for_a_lock()
        assert isinstance(late.result(20)[0], Http404)
    assert not Device.objects.live().exists()
