import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.conf import settings
from django.db import transaction
from pytest_django import DjangoAssertNumQueries

from accounts.models import Account
from devices import hooks, pki, services
from devices.downloads import device_files
from devices.models import Certificate, Device
from devices.services import InvalidName, NameTaken, register_device
from devices.tests.factories import at_once, make_account, make_device
from messaging.models import Presence

DISCONNECT_CHANNEL = "broker:disconnect"


# --- registering -------------------------------------------------------------------------------------------------------------


def test_a_registered_device_has_an_id_a_key_and_a_certificate_that_fit(account: Account) -> None:
    made = register_device(account=account, name="  Pump ")
    certificate = x509.load_pem_x509_certificate(made.certificate.pem.encode())
    assert made.private_key_pem is not None
    assert load_pem_private_key(made.private_key_pem, None).public_key() == certificate.public_key()
    assert re.fullmatch(r"[0-9a-f]{32}", made.device.hex)
    assert made.device.name == "Pump"
    assert made.certificate.fingerprint == pki.fingerprint(certificate)
    assert int(made.certificate.serial, 16) == certificate.serial_number
    assert made.certificate.is_valid()
    stored = Certificate.objects.get(device=made.device)
    assert (stored.not_before, stored.not_after) == (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    assert stored.key_algorithm == "ec"
    assert stored.sealed_key is not None
    assert made.private_key_pem not in bytes(stored.sealed_key)
    assert Presence.objects.filter(device=made.device, connected=False).exists()


def test_an_rsa_key_is_had_for_the_asking(account: Account) -> None:
    made = register_device(account=account, name="Old board", key_algorithm="rsa")
    assert made.certificate.key_algorithm == "rsa"
    assert device_files(made.device).private_key == made.private_key_pem


def test_a_registration_takes_this_many_queries(account: Account, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    # The account's own profiles, a savepoint of the test opened and closed, the account held and looked at, device, certificate,
    # event, presence, members (whose access is buried).
    with django_assert_num_queries(10):
        register_device(account=account, name="Pump")


@pytest.mark.parametrize("name", ["", " \n", "a\x00", "a" * 81, "\u202edeid"])
def test_a_name_nobody_can_read_registers_nothing(account: Account, name: str) -> None:
    with pytest.raises(InvalidName):
        register_device(account=account, name=name)
    assert not Device.objects.exists()


def test_an_unknown_profile_or_kind_of_key_registers_nothing(account: Account) -> None:
    with pytest.raises(services.UnknownProfile):
        register_device(account=account, name="Pump", profile="../secrets")
    with pytest.raises(services.UnknownKeyAlgorithm):
        register_device(account=account, name="Pump", key_algorithm="dsa")
    assert not Device.objects.exists()


def test_a_name_is_taken_whatever_its_case_and_the_transaction_goes_on(account: Account) -> None:
    make_device(account, "Pump")
    with transaction.atomic():
        with pytest.raises(NameTaken):
            register_device(account=account, name="pump")
        assert Device.objects.count() == 1  # the transaction is still usable


def test_another_account_may_use_the_same_name(account: Account) -> None:
    make_device(account, "Pump")
    make_device(make_account("bob"), "Pump")


def test_a_reaction_that_fails_leaves_nothing_behind(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(device: Device) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(hooks.device_registered, "_handlers", [fail])
    with pytest.raises(RuntimeError):
        register_device(account=account, name="Pump")
    assert not Device.objects.exists()
    assert not Certificate.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_many_registrations_of_one_name_at_once_one_wins(pki: Path) -> None:
    account, start = make_account("alice"), threading.Barrier(6)

    def register(name: str) -> services.Registered:
        start.wait(10)
        return register_device(account=account, name=name)

    ended = at_once(*(partial(register, name) for name in ("Pump", "pump", "PUMP", "pUmp", "puMp", "pumP")))
    assert sum(isinstance(one, services.Registered) for one in ended) == 1, ended
    assert sum(isinstance(one, NameTaken) for one in ended) == 5, ended
    assert Device.objects.live().count() == Certificate.objects.count() == 1


# --- changing ----------------------------------------------------------------------------------------------------------------


@contextmanager
def told(monkeypatch: pytest.MonkeyPatch, hook: str) -> Iterator[list[Device]]:
    heard: list[Device] = []
    getattr(hooks, hook).register(heard.append)
    yield heard
    getattr(hooks, hook)._handlers.remove(heard.append)


def test_a_rename_is_told_and_may_change_the_case_alone(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    device = make_device(account, "Pump")
    with told(monkeypatch, "device_changed") as heard:
        assert services.rename_device(device=device, name=" PUMP ") is device
    assert heard == [device]
    assert Device.objects.get().name == device.name == "PUMP"


def test_a_rename_to_a_taken_or_unreadable_name_changes_nothing(account: Account) -> None:
    make_device(account, "Fan")
    device = make_device(account, "Pump")
    with pytest.raises(NameTaken):
        services.rename_device(device=device, name="fan")
    with pytest.raises(InvalidName):
        services.rename_device(device=device, name="")
    assert device.name == Device.objects.get(pk=device.pk).name == "Pump"


def test_a_profile_is_changed_to_one_there_is(account: Account) -> None:
    device = make_device(account)
    services.change_profile(device=device, profile="ft900")
    assert Device.objects.get().profile == device.profile == "ft900"
    with pytest.raises(services.UnknownProfile):
        services.change_profile(device=device, profile="none")


def test_a_deleted_device_cannot_be_changed(account: Account) -> None:
    device, stale = make_device(account), Device.objects.get()
    services.delete_device(device=device)
    with pytest.raises(services.DeviceGone):
        services.rename_device(device=stale, name="Fan")
    with pytest.raises(services.DeviceGone):
        services.change_profile(device=stale, profile="modern")
    with pytest.raises(services.DeviceGone):
        services.renew_certificate(device=stale)


def test_a_pin_is_named_renamed_and_unnamed(account: Account) -> None:
    device = make_device(account)
    assert str(services.name_pin(device=device, number=10, name=" Pump ")) == "Pump"
    services.name_pin(device=device, number=10, name="Valve")
    assert [str(pin) for pin in device.pins.all()] == ["Valve"]
    services.name_pin(device=device, number=10, name="")
    assert [str(pin) for pin in device.pins.all()] == ["GPIO 10"]


@pytest.mark.parametrize("number", [-1, 256, 2**31])
def test_a_pin_that_no_device_has_is_not_named(account: Account, number: int) -> None:
    with pytest.raises(services.InvalidPin):
        services.name_pin(device=make_device(account), number=number, name="Pump")


def test_a_pins_name_can_be_read(account: Account) -> None:
    with pytest.raises(InvalidName):
        services.name_pin(device=make_device(account), number=1, name="a" * 61)


# --- deleting ----------------------------------------------------------------------------------------------------------------


def test_deleting_revokes_and_destroys_the_key_and_frees_the_name(account: Account) -> None:
    device = make_device(account, "Pump")
    services.delete_device(device=device)
    certificate = Certificate.objects.get(device=device)
    assert certificate.status == Certificate.Status.REVOKED
    assert certificate.revoked_at is not None
    assert certificate.sealed_key is None
    assert not Device.objects.live().exists()
    assert Device.objects.filter(pk=device.pk).exists()
    assert make_device(account, "Pump").hex != device.hex


def test_deleting_twice_is_deleting_once(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    device, stale = make_device(account), Device.objects.get()
    with told(monkeypatch, "device_deleted") as heard:
        services.delete_device(device=device)
        services.delete_device(device=stale)
    assert heard == [device]


@pytest.mark.django_db(transaction=True)
def test_of_two_deletions_at_once_one_is_told(pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device, start = make_device(make_account("alice")), threading.Barrier(2)

    def delete() -> None:
        stale = Device.objects.get(pk=device.pk)
        start.wait(10)
        services.delete_device(device=stale)

    with told(monkeypatch, "device_deleted") as heard:
        assert at_once(delete, delete) == [None, None]
    assert heard == [device]


@pytest.mark.django_db(transaction=True)
def test_the_broker_is_asked_to_cut_the_connection_after_the_commit(pki: Path, clean_valkey: None) -> None:
    device = make_device(make_account("alice"))
    with redis.Redis.from_url(settings.VALKEY_URL, decode_responses=True) as link, link.pubsub() as heard:
        heard.subscribe(DISCONNECT_CHANNEL)
        assert (heard.get_message(timeout=5) or {})["type"] == "subscribe"
        with transaction.atomic():
            services.delete_device(device=device)
            assert heard.get_message(timeout=0.1) is None
        message = heard.get_message(timeout=5) or {}
    assert message["data"] == f"{device.hex} deleted"


# --- keys --------------------------------------------------------------------------------------------------------------------


def test_a_forgotten_key_is_gone_and_the_certificate_stays_good(account: Account) -> None:
    made = register_device(account=account, name="Pump")
    services.forget_key(device=made.device)
    files = device_files(made.device)
    assert files.private_key is None
    assert files.certificate.decode() == made.certificate.pem
    assert Certificate.objects.get().is_valid()
