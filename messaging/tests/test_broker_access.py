"""Who may connect: the table of cases, and a database that goes away."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography import x509
from django.db import connection, connections
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.services import create_user, personal_account
from devices import pki as authority
from devices.models import Certificate
from devices.pki import setting_up
from devices.services import (
    Registered,
    delete_device,
    register_device,
    rename_device,
    renew_certificate,
    rescue_certificate,
    revoke_certificate,
)
from messaging.authorization import SOCKET, Identity, Kind, Refusal
from messaging.services.broker_access import RegistryUnavailable, admit_connection

T = TypeVar("T")


def register(name: str) -> Registered:
    user = create_user(username=name, email=f"{name}@example.org", password="x", first_name="A", last_name="B")
    return register_device(account=personal_account(user), name=name)


@pytest.fixture
def device(db: None, pki: Path) -> Registered:
    return register("alice")


@pytest.fixture
def other(device: Registered) -> Registered:
    return register("bob")


def admit(made: Registered, *, name: str | None = None, fingerprint: str | None = None, client_id: str | None = None) -> object:
    """Ask for the device as it would connect, with what is given in place of its own."""
    hex_id = made.device.hex
    return admit_connection(
        name or hex_id, fingerprint or made.certificate.fingerprint, hex_id if client_id is None else client_id
    )


def fingerprint_at(path: Path) -> str:
    return authority.fingerprint(x509.load_pem_x509_certificate(path.read_bytes()))


# --- devices -----------------------------------------------------------------------------------------------------------------


def test_a_device_with_its_certificate_is_let_in_with_one_query(
    device: Registered, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    admit(device)  # the first time is noted
    with django_assert_num_queries(1):
        assert admit(device) == Identity(Kind.DEVICE, device.device.hex)


def test_the_query_finds_the_certificate_by_an_index(device: Registered) -> None:
    found = Certificate.objects.select_related("device").filter(fingerprint=device.certificate.fingerprint)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # a table of one row is read whole otherwise
    plan = found.explain()
    assert "fingerprint" in plan
    assert "Seq Scan" not in plan


def test_it_is_still_let_in_after_a_rename(device: Registered) -> None:
    rename_device(device=device.device, name="Fan")
    assert isinstance(admit(device), Identity)


def test_anothers_client_id_is_refused(device: Registered, other: Registered) -> None:
    assert isinstance(admit(device, client_id=other.device.hex), Refusal)


@pytest.mark.parametrize(
    "change", [str.upper, lambda name: name + ".1", lambda name: "", lambda name: name + "\x00", lambda name: " " + name]
)
def test_a_client_id_that_is_not_exactly_the_devices_is_refused(device: Registered, change: Callable[[str], str]) -> None:
    assert isinstance(admit(device, client_id=change(device.device.hex)), Refusal)


def test_a_common_name_in_another_case_is_refused(device: Registered) -> None:
    upper = device.device.hex.upper()
    assert isinstance(admit(device, name=upper), Refusal)
    assert isinstance(admit(device, name=upper, client_id=upper), Refusal)


def test_a_common_name_with_hyphens_is_refused(device: Registered) -> None:
    name = str(device.device.id)
    assert isinstance(admit(device, name=name, client_id=name), Refusal)


def test_a_certificate_the_registry_does_not_know_is_refused(device: Registered) -> None:
    assert admit(device, fingerprint="0" * 64) == Refusal("unknown certificate")


def test_anothers_certificate_is_refused(device: Registered, other: Registered) -> None:
    assert admit(device, fingerprint=other.certificate.fingerprint) == Refusal("another device's certificate")


def test_a_revoked_certificate_is_refused_and_its_successor_is_not(device: Registered) -> None:
    revoke_certificate(certificate=device.certificate)
    new = renew_certificate(device=device.device)
    assert isinstance(admit(new), Identity)
    assert admit(device) == Refusal("the certificate was revoked", "revoked")


def test_a_renewed_certificate_is_good_until_its_successor_is_seen(device: Registered) -> None:
    new = renew_certificate(device=device.device)
    assert isinstance(admit(device), Identity)
    assert isinstance(admit(device), Identity)
    assert isinstance(admit(new), Identity)
    assert admit(device) == Refusal("the certificate was revoked", "revoked")
    assert Certificate.objects.get(pk=device.certificate.pk).revocation_reason == "superseded"


def test_a_renewed_certificate_is_refused_once_its_overlap_is_over(device: Registered) -> None:
    renew_certificate(device=device.device)
    Certificate.objects.filter(status="retiring").update(retires_at=timezone.now())
    assert admit(device) == Refusal("the certificate is not in its dates")


def test_an_expired_certificate_is_refused_noted_and_let_in_when_its_owner_says_so(device: Registered) -> None:
    Certificate.objects.update(not_after=timezone.now() - timedelta(days=3))
    assert admit(device) == Refusal("the certificate has ended", "expired")
    tried_at = Certificate.objects.get().tried_at
    assert tried_at is not None
    assert admit(device) == Refusal("the certificate has ended", "expired")
    assert Certificate.objects.get().tried_at == tried_at  # a row is not written again and again
    rescue_certificate(certificate=device.certificate)
    assert isinstance(admit(device), Identity)
    Certificate.objects.update(rescued_until=timezone.now())
    assert admit(device) == Refusal("the certificate has ended", "expired")


def test_no_rescue_is_had_for_a_revoked_certificate(device: Registered) -> None:
    Certificate.objects.update(rescued_until=timezone.now() + timedelta(hours=1))
    revoke_certificate(certificate=device.certificate)
    assert admit(device) == Refusal("the certificate was revoked", "revoked")


def test_a_deleted_device_is_refused(device: Registered) -> None:
    delete_device(device=device.device)
    assert admit(device) == Refusal("the device was deleted", "deleted")


@pytest.mark.parametrize(
    ("starts", "ends", "admitted"),
    [(-10, 10, True), (-10, 0, False), (-20, -10, False), (10, 20, False)],
    ids=["now", "just over", "over", "not yet"],
)
def test_a_certificate_is_good_in_its_dates_alone(device: Registered, starts: int, ends: int, admitted: bool) -> None:
    now = timezone.now()
    dates = {"not_before": now + timedelta(seconds=starts), "not_after": now + timedelta(seconds=ends)}
    Certificate.objects.update(**dates)
    assert isinstance(admit(device), Identity) is admitted


# --- the portal's own services -----------------------------------------------------------------------------------------------


@pytest.fixture
def own_pki(settings: Settings, tmp_path: Path) -> Path:
    settings.PKI_DIR = tmp_path / "pki"
    authority.set_up([])
    return tmp_path / "pki"


@pytest.mark.parametrize(("name", "kind"), [("portal.gateway", Kind.GATEWAY), ("portal.bridge", Kind.BRIDGE)])
@pytest.mark.parametrize("suffix", ["", ".4f2a"])
def test_a_service_with_its_file_is_let_in_without_a_query(own_pki: Path, name: str, kind: Kind, suffix: str) -> None:
    """No database in this test: any query would fail it."""
    fingerprint = fingerprint_at(own_pki / f"{kind.value}.pem")
    assert admit_connection(name, fingerprint, name + suffix) == Identity(kind, name)


@pytest.mark.parametrize("client_id", ["", "portal.gatewayx", "portal.bridge", "portal", "0" * 32, "Portal.Gateway"])
def test_a_service_with_a_client_id_that_is_not_its_own_is_refused(own_pki: Path, client_id: str) -> None:
    assert isinstance(admit_connection("portal.gateway", fingerprint_at(own_pki / "gateway.pem"), client_id), Refusal)


def test_a_service_with_another_services_certificate_is_refused(own_pki: Path) -> None:
    fingerprint = fingerprint_at(own_pki / "bridge.pem")
    assert admit_connection("portal.gateway", fingerprint, "portal.gateway") == Refusal("not the service's certificate")


def test_a_service_with_a_devices_or_the_brokers_certificate_is_refused(device: Registered) -> None:
    from django.conf import settings

    server = fingerprint_at(Path(settings.PKI_DIR) / "server.pem")
    for fingerprint in (device.certificate.fingerprint, server, "", "0" * 64):
        assert isinstance(admit_connection("portal.bridge", fingerprint, "portal.bridge"), Refusal)


def test_a_service_keeps_its_way_in_over_a_renewal_and_the_file_before_can_be_taken_away(
    own_pki: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = fingerprint_at(own_pki / "gateway.pem")
    monkeypatch.setattr(setting_up, "RENEW_BEFORE", timedelta(days=1000))
    authority.set_up([])
    new = fingerprint_at(own_pki / "gateway.pem")
    assert old != new
    assert isinstance(admit_connection("portal.gateway", old, "portal.gateway"), Identity)
    assert isinstance(admit_connection("portal.gateway", new, "portal.gateway"), Identity)
    (own_pki / "gateway.previous.pem").unlink()
    assert isinstance(admit_connection("portal.gateway", old, "portal.gateway"), Refusal)


def test_a_service_whose_certificate_ended_is_refused(own_pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setting_up, "SERVICE_DAYS", 0)
    (own_pki / "bridge.pem").unlink()
    authority.set_up([])
    verdict = admit_connection("portal.bridge", fingerprint_at(own_pki / "bridge.pem"), "portal.bridge")
    assert verdict == Refusal("the service's certificate is not in its dates")


@pytest.mark.parametrize("name", ["portal.other", "", "localhost", "guest", "portal.gateway.1", "#", "$SYS"])
def test_any_other_name_is_refused_without_a_query(own_pki: Path, name: str) -> None:
    assert isinstance(admit_connection(name, "0" * 64, name), Refusal)


# --- a database that goes away -------------------------------------------------------------------------------------------------


@pytest.fixture
def thread() -> Iterator[Callable[[Callable[[], T]], T]]:
    """Return a way to run something in one long-lived thread, as the broker does, with its own database connection."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda call: pool.submit(call).result(30)
        pool.submit(connections.close_all).result(30)


@pytest.mark.django_db(transaction=True)
def test_a_broken_connection_is_replaced(pki: Path, thread: Callable[[Callable[[], object]], object]) -> None:
    made = register("alice")

    def server_process() -> object:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return cursor.fetchone()[0]

    assert isinstance(thread(lambda: admit(made)), Identity)
    before = thread(server_process)
    assert isinstance(before, int)
    with connection.cursor() as cursor:  # what a restart of PostgreSQL does to every connection
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [before])
        assert cursor.fetchone() == (True,)
    assert isinstance(thread(lambda: admit(made)), Identity)
    assert thread(server_process) != before


@pytest.mark.django_db(transaction=True)
def test_nobody_is_let_in_while_the_database_is_away_and_everybody_again_after(
    pki: Path, thread: Callable[[Callable[[], object]], object], unused_tcp_port: int
) -> None:
    made = register("alice")
    assert isinstance(thread(lambda: admit(made)), Identity)

    def move_to(port: object) -> None:
        connection.close()
        connection.settings_dict = {**connection.settings_dict, "PORT": port}

    port = connection.settings_dict["PORT"]
    thread(lambda: move_to(str(unused_tcp_port)))
    for _ in range(2):
        with pytest.raises(RegistryUnavailable):
            thread(lambda: admit(made))
    thread(lambda: move_to(port))
    assert isinstance(thread(lambda: admit(made)), Identity)


def test_by_its_socket_a_service_comes_in_and_nobody_else(device: Registered) -> None:
    assert admit_connection("portal.gateway", SOCKET, "portal.gateway.1") == Identity(Kind.GATEWAY, "portal.gateway")
    assert isinstance(admit_connection("portal.gateway", SOCKET, "portal.bridge"), Refusal)
    assert isinstance(admit(device, fingerprint=SOCKET), Refusal)
