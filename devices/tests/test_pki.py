import shutil
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID
from django.conf import settings as django_settings
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django import Settings

from devices import pki
from devices.pki import KeyAlgorithm, PkiError, setting_up

FILES = {
    "root-ca.pem", "root-ca.key", "issuing-ca.pem", "issuing-ca.key", "clients-ca.pem", "server.pem", "server.key",
    "gateway.pem", "gateway.key", "bridge.pem", "bridge.key", "push.key",
}  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def certificate_at(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


# --- the folder ----------------------------------------------------------------------------------------------------------


def test_set_up_makes_every_file_for_its_owner_alone(own_pki: Path) -> None:
    assert {path.name for path in own_pki.iterdir()} == FILES | {".lock"}
    assert stat.S_IMODE(own_pki.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in own_pki.iterdir()} == {0o600}


def test_a_second_set_up_changes_nothing(own_pki: Path) -> None:
    before = contents(own_pki)
    assert pki.set_up([]) == []
    assert pki.set_up() == []
    assert contents(own_pki) == before


def test_set_up_narrows_a_folder_that_was_made_too_wide(settings: Settings, tmp_path: Path) -> None:
    settings.PKI_DIR = tmp_path / "wide"
    settings.PKI_DIR.mkdir(mode=0o755)
    pki.set_up([])
    assert stat.S_IMODE(settings.PKI_DIR.stat().st_mode) == 0o700


def test_processes_that_start_at_once_make_one_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "pki"
    monkeypatch.setenv("PORTAL_PKI_DIR", str(folder))
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "iotportal.settings")
    command = [sys.executable, "manage.py", "setup_pki", "--name", "broker.example.org"]
    running = [
        subprocess.Popen(command, cwd=django_settings.BASE_DIR, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(4)
    ]
    said = [process.communicate(timeout=60)[0].decode() for process in running]
    assert [process.returncode for process in running] == [0] * 4, said
    assert sum("wrote" in line for line in said) == 1
    issuing = certificate_at(folder / "issuing-ca.pem")
    issuing.verify_directly_issued_by(certificate_at(folder / "root-ca.pem"))
    for name in ("server", "gateway", "bridge"):
        certificate_at(folder / f"{name}.pem").verify_directly_issued_by(issuing)
    assert {path.name for path in folder.iterdir()} == FILES | {".lock"}


def test_a_set_up_that_was_killed_half_way_is_finished_by_the_next(own_pki: Path) -> None:
    root_key = (own_pki / "root-ca.key").read_bytes()
    for path in own_pki.iterdir():
        if path.name != "root-ca.key":
            path.unlink()
    pki.set_up([])
    assert (own_pki / "root-ca.key").read_bytes() == root_key
    pki.authority().issuing.verify_directly_issued_by(pki.authority().root)


def test_the_roots_key_may_be_kept_elsewhere(own_pki: Path) -> None:
    (own_pki / "root-ca.key").unlink()
    assert pki.set_up(["192.0.2.7"]) == ["server.pem"]
    pki.issue_device_certificate(uuid4(), pki.new_private_key(KeyAlgorithm.EC).public_key())


def test_a_new_issuing_ca_without_the_roots_key_is_refused_in_words(own_pki: Path) -> None:
    (own_pki / "root-ca.key").unlink()
    (own_pki / "issuing-ca.pem").unlink()
    with pytest.raises(PkiError, match=r"needs root-ca\.key"):
        pki.set_up([])


def test_files_that_do_not_fit_together_are_refused_and_left_as_they_are(own_pki: Path) -> None:
    (own_pki / "issuing-ca.key").write_bytes((own_pki / "server.key").read_bytes())
    before = contents(own_pki)
    with pytest.raises(PkiError, match=r"not the key of issuing-ca\.pem"):
        pki.set_up(["192.0.2.7"])
    assert contents(own_pki) == before


def test_a_root_from_elsewhere_is_noticed(own_pki: Path, settings: Settings, tmp_path: Path) -> None:
    settings.PKI_DIR = tmp_path / "other"
    pki.set_up([])
    shutil.copy(tmp_path / "other" / "root-ca.pem", own_pki / "root-ca.pem")
    settings.PKI_DIR = own_pki
    with pytest.raises(PkiError, match=r"not issued by root-ca\.pem"):
        pki.authority()


def test_a_portal_without_an_authority_says_how_to_get_one(settings: Settings, tmp_path: Path) -> None:
    settings.PKI_DIR = tmp_path / "none"
    with pytest.raises(PkiError, match="setup_pki"):
        pki.authority()


def test_the_authority_is_read_once_and_again_when_it_changes(own_pki: Path, settings: Settings, tmp_path: Path) -> None:
    first = pki.authority()
    assert pki.authority() is first
    settings.PKI_DIR = tmp_path / "other"
    pki.set_up([])
    other = pki.authority()
    settings.PKI_DIR = own_pki
    for name in ("root-ca.pem", "issuing-ca.pem", "issuing-ca.key"):
        shutil.copy(tmp_path / "other" / name, own_pki / f"{name}.new")
        (own_pki / f"{name}.new").replace(own_pki / name)
    assert pki.authority().issuing == other.issuing != first.issuing


# --- the server's certificate ------------------------------------------------------------------------------------------------


def test_the_server_certificate_names_what_it_was_given_and_where_devices_are_told_to_go(
    settings: Settings, tmp_path: Path
) -> None:
    settings.PKI_DIR, settings.DEVICE_HOST = tmp_path / "pki", "iot.example.org"
    call_command("setup_pki", "--name", "Broker.Example.org", "--name", "192.168.1.5", "--name", "fe80::0001", verbosity=0)
    certificate = certificate_at(tmp_path / "pki" / "server.pem")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {"localhost", "iot.example.org", "broker.example.org"}
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    assert addresses == {"127.0.0.1", "::1", "192.168.1.5", "fe80::1"}
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "192.168.1.5"


def test_it_is_issued_again_when_the_names_change_with_the_same_key(own_pki: Path) -> None:
    key = (own_pki / "server.key").read_bytes()
    assert pki.set_up(["10.0.0.1"]) == ["server.pem"]
    assert pki.set_up(["10.0.0.1", "localhost"]) == []
    assert pki.set_up(["10.0.0.2"]) == ["server.pem"]
    assert "10.0.0.1" not in pki.names_of(certificate_at(own_pki / "server.pem"))
    assert (own_pki / "server.key").read_bytes() == key


def test_without_names_it_keeps_those_it_had(own_pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setting_up, "SERVICE_DAYS", 29)
    pki.set_up(["10.0.0.1"])
    monkeypatch.undo()
    assert "server.pem" in pki.set_up()
    assert "10.0.0.1" in pki.names_of(certificate_at(own_pki / "server.pem"))


def test_it_is_issued_again_when_less_than_thirty_days_are_left(own_pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setting_up, "SERVICE_DAYS", 29)
    pki.set_up(["10.0.0.1"])
    monkeypatch.undo()
    assert pki.set_up(["10.0.0.1"]) == ["server.pem"]
    left = certificate_at(own_pki / "server.pem").not_valid_after_utc - datetime.now(UTC)
    assert left > timedelta(days=390)


def test_a_renewed_service_keeps_its_last_certificate_beside_the_new_one(own_pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setting_up, "SERVICE_DAYS", 29)
    (own_pki / "gateway.pem").unlink()
    pki.set_up([])
    old = pki.service_certificates("portal.gateway")
    monkeypatch.undo()
    assert pki.set_up([]) == ["gateway.previous.pem", "gateway.pem"]
    new = pki.service_certificates("portal.gateway")
    assert len(old) == 1
    assert len(new) == 2
    assert new[1] == old[0] != new[0]


def test_a_key_that_was_removed_is_made_anew_with_its_certificate(own_pki: Path) -> None:
    (own_pki / "server.key").unlink()
    assert pki.set_up([]) == ["server.key", "server.pem"]


@pytest.mark.parametrize("name", ["0.0.0.0", "::", "", "a b", "-x", "x_y", "http://x", "x:8883", "x" * 64, "é", "a..b"])
def test_a_name_at_which_nothing_can_be_reached_is_refused(own_pki: Path, name: str) -> None:
    before = contents(own_pki)
    with pytest.raises(PkiError):
        pki.set_up([name])
    assert contents(own_pki) == before


def test_the_command_says_what_it_cannot_do(own_pki: Path) -> None:
    with pytest.raises(CommandError, match="every address"):
        call_command("setup_pki", "--name", "0.0.0.0")


# --- certificates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_a_device_certificate_says_who_it_is_and_what_it_is_for(own_pki: Path, algorithm: KeyAlgorithm) -> None:
    device_id, key = uuid4(), pki.new_private_key(algorithm)
    certificate = pki.issue_device_certificate(device_id, key.public_key())
    extensions = certificate.extensions
    assert [attribute.value for attribute in certificate.subject] == [device_id.hex]
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"urn:uuid:{device_id}"]
    assert not names.get_values_for_type(x509.DNSName)
    constraints = extensions.get_extension_for_oid(ExtensionOID.BASIC_CONSTRAINTS)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=False, path_length=None)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not any((usage.value.key_cert_sign, usage.value.crl_sign, usage.value.key_encipherment))
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    issuing = pki.authority().issuing.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == issuing.key_identifier
    assert extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.key_identifier != issuing.key_identifier


def test_keys_are_of_the_kinds_that_small_boards_take(own_pki: Path) -> None:
    ec_key, rsa_key = pki.new_private_key(KeyAlgorithm.EC), pki.new_private_key(KeyAlgorithm.RSA)
    assert isinstance(ec_key, ec.EllipticCurvePrivateKey)
    assert isinstance(ec_key.curve, ec.SECP256R1)
    assert isinstance(rsa_key, rsa.RSAPrivateKey)
    assert rsa_key.key_size == 2048
    assert pki.private_key_pem(ec_key).startswith(b"-----BEGIN PRIVATE KEY-----")
    assert pki.private_key_pem(rsa_key).startswith(b"-----BEGIN PRIVATE KEY-----")


def test_it_is_valid_from_two_days_ago_for_the_days_of_the_setting(own_pki: Path, settings: Settings) -> None:
    settings.CERTIFICATE_DAYS = 7
    before = datetime.now(UTC).replace(microsecond=0)
    certificate = pki.issue_device_certificate(uuid4(), pki.new_private_key(KeyAlgorithm.EC).public_key())
    after = datetime.now(UTC)
    assert before - timedelta(days=2) <= certificate.not_valid_before_utc <= after - timedelta(days=2)
    assert before + timedelta(days=7) <= certificate.not_valid_after_utc <= after + timedelta(days=7)


def test_it_never_outlives_its_issuer(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setting_up, "ISSUING_DAYS", 3)
    settings.PKI_DIR = tmp_path / "pki"
    pki.set_up([])
    certificate = pki.issue_device_certificate(uuid4(), pki.new_private_key(KeyAlgorithm.EC).public_key())
    assert certificate.not_valid_after_utc == pki.authority().issuing.not_valid_after_utc


def test_an_authority_past_its_end_issues_nothing(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.PKI_DIR = tmp_path / "pki"
    pki.set_up([])
    monkeypatch.setattr(setting_up, "ISSUING_DAYS", 0)
    (tmp_path / "pki" / "issuing-ca.pem").unlink()
    pki.set_up([])
    with pytest.raises(PkiError, match="past its end"):
        pki.issue_device_certificate(uuid4(), pki.new_private_key(KeyAlgorithm.EC).public_key())


def test_serial_numbers_are_long_and_never_the_same(own_pki: Path) -> None:
    key = pki.new_private_key(KeyAlgorithm.EC).public_key()
    serials = {pki.issue_device_certificate(uuid4(), key).serial_number for _ in range(50)}
    assert len(serials) == 50
    assert max(serial.bit_length() for serial in serials) > 150
    assert all(0 < serial.bit_length() <= 159 for serial in serials)


def test_the_authorities_may_sign_no_deeper_than_they_must(own_pki: Path) -> None:
    for certificate, depth in ((pki.authority().root, 1), (pki.authority().issuing, 0)):
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        assert constraints.critical
        assert constraints.value == x509.BasicConstraints(ca=True, path_length=depth)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
        assert usage.critical
        assert usage.value.key_cert_sign
        assert not usage.value.digital_signature


# --- what OpenSSL says -------------------------------------------------------------------------------------------------------


@contextmanager
def key_files(folder: Path, certificate: x509.Certificate, key: pki.PrivateKey) -> Iterator[tuple[Path, Path]]:
    paths = folder / "x.pem", folder / "x.key"
    paths[0].write_bytes(pki.to_pem(certificate))
    paths[1].write_bytes(pki.private_key_pem(key))
    yield paths


def server_context(folder: Path, name: str = "server") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    context.load_verify_locations(folder / "clients-ca.pem")
    return context


def client_context(root: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(root)
    context.load_cert_chain(certificate, key)
    return context


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str = "localhost") -> ssl.SSLObject:
    """Shake hands over memory; return the server's side."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_side = server.wrap_bio(up, down, server_side=True)
    client_side = client.wrap_bio(down, up, server_hostname=host)
    waiting = [client_side, server_side]
    for _ in range(20):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
        if not waiting:
            return server_side
    raise AssertionError("the handshake does not end")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_device_and_broker_shake_hands(
    own_pki: Path, tmp_path: Path, version: ssl.TLSVersion, algorithm: KeyAlgorithm, host: str
) -> None:
    device_id, key = uuid4(), pki.new_private_key(algorithm)
    certificate = pki.issue_device_certificate(device_id, key.public_key())
    with key_files(tmp_path, certificate, key) as files:
        client = client_context(own_pki / "root-ca.pem", *files)
        client.minimum_version = client.maximum_version = version
        seen = handshake(server_context(own_pki), client, host).getpeercert(binary_form=True)
    assert seen is not None
    assert pki.fingerprint(x509.load_der_x509_certificate(seen)) == pki.fingerprint(certificate)


def test_the_portals_own_clients_shake_hands(own_pki: Path) -> None:
    for name in pki.SERVICES.values():
        handshake(
            server_context(own_pki), client_context(own_pki / "root-ca.pem", own_pki / f"{name}.pem", own_pki / f"{name}.key")
        )


def test_the_brokers_certificate_is_no_clients(own_pki: Path) -> None:
    client = client_context(own_pki / "root-ca.pem", own_pki / "server.pem", own_pki / "server.key")
    with pytest.raises(ssl.SSLError, match="(?i)certificate"):
        handshake(server_context(own_pki), client)


def test_a_clients_certificate_is_no_servers(own_pki: Path) -> None:
    client = client_context(own_pki / "root-ca.pem", own_pki / "bridge.pem", own_pki / "bridge.key")
    with pytest.raises(ssl.SSLError, match="(?i)certificate"):
        handshake(server_context(own_pki, "gateway"), client)


def test_a_device_of_another_portal_is_refused(own_pki: Path, settings: Settings, tmp_path: Path) -> None:
    settings.PKI_DIR = tmp_path / "other"
    pki.set_up([])
    key = pki.new_private_key(KeyAlgorithm.EC)
    with key_files(tmp_path, pki.issue_device_certificate(uuid4(), key.public_key()), key) as files:
        client = client_context(own_pki / "root-ca.pem", *files)
        with pytest.raises(ssl.SSLError, match="(?i)certificate"):
            handshake(server_context(own_pki), client)


def test_a_device_cannot_sign_for_another(own_pki: Path, tmp_path: Path) -> None:
    """A leaf that plays an authority is refused by its basic constraints."""
    device_key, forged_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    device = pki.issue_device_certificate(uuid4(), device_key.public_key())
    now = datetime.now(UTC)
    forged = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, uuid4().hex)]))
        .issuer_name(device.subject)
        .public_key(forged_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(device_key.public_key()), critical=False)
        .sign(device_key, hashes.SHA256())
    )
    with key_files(tmp_path, forged, forged_key) as (chain, key):
        chain.write_bytes(pki.to_pem(forged) + pki.to_pem(device))
        with pytest.raises(ssl.SSLError, match="(?i)certificate"):
            handshake(server_context(own_pki), client_context(own_pki / "root-ca.pem", chain, key))


def test_the_broker_is_not_taken_for_another_host(own_pki: Path) -> None:
    client = client_context(own_pki / "root-ca.pem", own_pki / "gateway.pem", own_pki / "gateway.key")
    with pytest.raises(ssl.SSLCertVerificationError, match="(?i)hostname"):
        handshake(server_context(own_pki), client, "broker.example.org")
    pki.set_up(["broker.example.org"])
    handshake(server_context(own_pki), client, "broker.example.org")
