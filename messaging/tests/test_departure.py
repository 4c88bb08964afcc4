"""What goes of devices and history with the account of the person who owns them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.test import TestCase
from django.utils import timezone

from accounts.models import Account, Membership, Role, User
from accounts.services import create_organisation, delete_due, request_deletion
from devices.events import record
from devices.models import Certificate, Device, DeviceEvent, EventKind, OwnProfile, Pin
from devices.profile_documents import blank
from devices.services import make_profile
from devices.tests.factories import make_account, make_device, make_user
from messaging import cache
from messaging.models import Command, Message
from messaging.services import erasure
from messaging.tests.history import asked, exchange


@pytest.fixture
def account(clean_valkey: None, db: None, pki: Path) -> Account:
    return make_account("alice")


@pytest.fixture
def alice(account: Account) -> User:
    return account.members.get()


def leave(user: User, runs: int) -> None:
    """Let `user` go, with so many runs of the task after the days of grace."""
    request_deletion(user=user, name=user.username)
    with time_machine.travel(timezone.now() + timedelta(days=8)):
        for _ in range(runs):
            with TestCase.captureOnCommitCallbacks(execute=True):
                delete_due()


def test_the_devices_are_revoked_and_cut_first(alice: User, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    cut: list[str] = []
    monkeypatch.setattr(cache, "ask_broker_to_disconnect", lambda device, cause, fingerprint: cut.append(device))
    pump = make_device(account)
    leave(alice, runs=1)
    assert not Device.objects.live().exists()
    assert Certificate.objects.get(device=pump).status == "revoked"
    assert pump.hex in cut
    assert User.objects.filter(username="alice").exists(), "the rest waits until nothing is under way any more"


def test_history_and_names_are_erased_and_revoked_certificates_stay_known(
    alice: User, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "BATCH", 2)
    own = make_profile(account=account, name="My pump", document=blank("My pump", ""))
    pump = make_device(account, "Alice's bedroom")
    Device.objects.filter(pk=pump.pk).update(own_profile=own)
    Pin.objects.create(device=pump, number=4, name="Bed light")
    for _ in range(3):
        exchange(pump, answer='{"value": 1}')
        asked(pump, "get_gpio", "{}")
    certificate = Certificate.objects.get()
    kind = ContentType.objects.get_for_model(certificate)
    about = {"content_type": kind, "object_id": str(certificate.pk), "object_repr": str(certificate)}
    LogEntry.objects.create(user=make_user("olga"), action_flag=CHANGE, change_message="Revoke: lost", **about)
    leave(alice, runs=2)
    assert not User.objects.exclude(username="olga").exists()
    assert LogEntry.objects.get().object_repr == "deleted"
    assert not Message.objects.exists()
    assert not Command.objects.exists()
    assert not Pin.objects.exists()
    assert not OwnProfile.objects.exists()
    assert not DeviceEvent.objects.exists()
    assert Device.objects.get().name == "deleted"
    assert Account.objects.get(devices__isnull=False).name == "deleted"
    assert Certificate.objects.get().status == "revoked"


def test_an_organisation_keeps_its_devices_and_history_without_the_name_of_who_left(alice: User) -> None:
    works = create_organisation(user=make_user("bob"), name="Waterworks")
    Membership.objects.create(account=works, user=alice, role=Role.ADMIN)
    pump = make_device(works)
    exchange(pump, answer='{"value": 1}')
    record(device=pump, kind=EventKind.RENAMED, by=alice, before="a", after="b")
    leave(alice, runs=2)
    assert not User.objects.filter(username="alice").exists()
    assert Device.objects.live().filter(pk=pump.pk).exists()
    assert Message.objects.filter(device_id=pump.pk).count() == 2
    assert DeviceEvent.objects.get(kind=EventKind.RENAMED).detail == {"before": "a", "after": "b", "by": "a former member"}
