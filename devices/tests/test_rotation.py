"""Another issuing CA: made, brought, half done, and the end of the old one."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django import Settings

from devices import pki
from devices.pki import KeyAlgorithm, PkiError
from devices.pki.authority import NEXT, file_at, is_issued_by, load_certificate, load_key
from devices.pki.files import locked
from devices.tests.authorities import Made, bring, make_authority, new_rsa_key
from devices.tests.test_pki import client_context, contents, handshake, server_context


def new_device(folder: Path) -> tuple[Path, Path]:
    """Return certificate and key of a new device, as files."""
    key, name = pki.new_private_key(KeyAlgorithm.EC), uuid4().hex
    certificate = pki.issue_device_certificate(uuid4(), key.public_key())
    (folder / f"{name}.pem").write_bytes(pki.to_pem(certificate))
    (folder / f"{name}.key").write_bytes(pki.private_key_pem(key))
    return folder / f"{name}.pem", folder / f"{name}.key"


def gets_in(folder: Path, device: tuple[Path, Path], root: Path | None = None) -> None:
    handshake(server_context(folder), client_context(root or folder / "root-ca.pem", *device))


# --- rotating --------------------------------------------------------------------------------------------------------------


def test_devices_of_both_issuing_cas_get_in_and_trust_the_broker(own_pki: Path, tmp_path: Path) -> None:
    old, root = new_device(tmp_path), shutil.copy(own_pki / "root-ca.pem", tmp_path / "root.pem")
    before = pki.authority()
    written = pki.rotate()
    after = pki.authority()
    assert (after.root == before.root, after.id == before.id) == (True, False)
    assert {"clients-ca.pem", "server.pem", "gateway.pem", "bridge.pem"} < set(written)
    assert [one.id for one in pki.earlier_authorities()] == [before.id]
    new = new_device(tmp_path)
    assert is_issued_by(load_certificate(new[0]), after.issuing)
    for device in (old, new):
        gets_in(own_pki, device, Path(root))


def test_the_portals_own_clients_get_in_with_their_old_certificates_too(own_pki: Path) -> None:
    pki.rotate()
    for name in ("gateway", "bridge"):
        gets_in(own_pki, (own_pki / f"{name}.pem", own_pki / f"{name}.key"))
        gets_in(own_pki, (own_pki / f"{name}.previous.pem", own_pki / f"{name}.key"))


def test_a_set_up_after_a_rotation_changes_nothing(own_pki: Path) -> None:
    pki.rotate()
    pki.set_up()
    before = contents(own_pki)
    assert pki.set_up() == []
    assert contents(own_pki) == before


def test_several_rotations_follow_each_other(own_pki: Path, tmp_path: Path) -> None:
    devices = [new_device(tmp_path)]
    for _ in range(3):
        pki.rotate()
        devices.append(new_device(tmp_path))
    assert len(pki.earlier_authorities()) == 3
    for device in devices:
        gets_in(own_pki, device)


def test_without_the_roots_key_nothing_is_rotated(own_pki: Path) -> None:
    (own_pki / "root-ca.key").unlink()
    before = contents(own_pki)
    with pytest.raises(PkiError, match="import_ca"):
        pki.rotate()
    assert contents(own_pki) == before


def test_the_chain_of_a_certificate_is_found_whichever_ca_issued_it(own_pki: Path, tmp_path: Path) -> None:
    old = load_certificate(new_device(tmp_path)[0])
    issuing = pki.authority().issuing
    pki.rotate()
    assert pki.issuers_of(old) == [issuing, pki.authority().root]
    assert pki.is_usable(pki.to_pem(old))


# --- half done -------------------------------------------------------------------------------------------------------------


def test_a_rotation_that_was_killed_before_it_was_complete_is_forgotten(own_pki: Path) -> None:
    before = pki.authority().id
    (own_pki / f"{NEXT}.key").write_bytes(pki.private_key_pem(pki.new_private_key(KeyAlgorithm.EC)))
    pki.set_up()
    assert pki.authority().id == before
    assert not (own_pki / f"{NEXT}.key").exists()


@pytest.mark.parametrize("renamed", [0, 1])
def test_a_rotation_that_was_killed_while_it_renamed_is_finished_by_the_next_reader(
    own_pki: Path, tmp_path: Path, renamed: int
) -> None:
    shutil.copytree(own_pki, tmp_path / "before")
    pki.rotate()
    after = pki.authority().id
    for name in ("issuing-ca.key", "issuing-ca.pem")[renamed:]:
        (own_pki / name).replace(own_pki / name.replace("issuing-ca", NEXT))
        shutil.copy(tmp_path / "before" / name, own_pki / f"{name}.old")
        (own_pki / f"{name}.old").replace(own_pki / name)
    if renamed == 0:  # both pairs fit: whoever changes something next finishes it
        pki.set_up()
    assert pki.authority().id == after
    assert not file_at(f"{NEXT}.pem").exists()


def test_a_reader_waits_for_the_end_of_a_rotation(own_pki: Path, tmp_path: Path) -> None:
    """Between two renames the pair does not fit; who reads then must not fail."""
    seen: list[Any] = []
    reader = threading.Thread(target=lambda: seen.append(pki.authority().id))
    shutil.copytree(own_pki, tmp_path / "before")
    pki.rotate()
    after = pki.authority().id
    with locked(own_pki):
        new = (own_pki / "issuing-ca.pem").read_bytes()
        shutil.copy(tmp_path / "before" / "issuing-ca.pem", own_pki / "x")
        (own_pki / "x").replace(own_pki / "issuing-ca.pem")
        reader.start()
        (own_pki / "x").write_bytes(new)
        (own_pki / "x").replace(own_pki / "issuing-ca.pem")
    reader.join(30)
    assert seen == [after]


# --- bringing one's own --------------------------------------------------------------------------------------------------------


def test_an_authority_is_brought_into_an_empty_folder(settings: Settings, tmp_path: Path) -> None:
    settings.PKI_DIR = tmp_path / "pki"
    root = make_authority()
    issuing = make_authority(root)
    pki.bring(bring(tmp_path / "brought", root, issuing))
    assert (pki.authority().root, pki.authority().issuing) == (root.certificate, issuing.certificate)
    assert not (tmp_path / "pki" / "root-ca.key").exists()
    gets_in(tmp_path / "pki", new_device(tmp_path))
    assert pki.set_up() == []


def test_an_rsa_authority_with_a_key_identifier_of_its_own_signs_for_devices(settings: Settings, tmp_path: Path) -> None:
    settings.PKI_DIR = tmp_path / "pki"
    root = make_authority(key=new_rsa_key(), identifier=b"\x11" * 20)
    issuing = make_authority(root, key=new_rsa_key(), identifier=b"\x22" * 32)
    pki.bring(bring(tmp_path / "brought", root, issuing))
    device = new_device(tmp_path)
    named = load_certificate(device[0]).extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert named.key_identifier == b"\x22" * 32
    gets_in(tmp_path / "pki", device)


def test_an_issuing_ca_of_the_same_root_takes_over_and_the_old_ones_devices_stay(own_pki: Path, tmp_path: Path) -> None:
    old = new_device(tmp_path)
    root = Made(load_certificate(own_pki / "root-ca.pem"), load_key(own_pki / "root-ca.key"))
    issuing = make_authority(root, identifier=b"\x33" * 20)
    (own_pki / "root-ca.key").unlink()
    pki.bring(bring(tmp_path / "brought", None, issuing))
    assert pki.authority().issuing == issuing.certificate
    assert pki.authority().id == "33" * 20
    for device in (old, new_device(tmp_path)):
        gets_in(own_pki, device)


def test_another_root_is_taken_only_for_the_asking_and_old_devices_no_longer_trust_the_broker(
    own_pki: Path, tmp_path: Path
) -> None:
    old, old_root = new_device(tmp_path), Path(shutil.copy(own_pki / "root-ca.pem", tmp_path / "root.pem"))
    root = make_authority()
    brought = bring(tmp_path / "brought", root, make_authority(root))
    before = contents(own_pki)
    with pytest.raises(PkiError, match="--replace-root"):
        pki.bring(brought)
    assert contents(own_pki) == before
    pki.bring(brought, replace_root=True)
    assert pki.authority().root == root.certificate
    with pytest.raises(Exception, match="(?i)certificate"):
        gets_in(own_pki, old, old_root)
    gets_in(own_pki, old)  # with the new root it is let in, as long as its certificate lasts
    gets_in(own_pki, new_device(tmp_path))
    assert not (own_pki / "root-ca.key").exists()


@pytest.mark.parametrize(
    ("root", "issuing", "said"),
    [
        ({"ca": False}, {}, "is no authority"),
        ({"critical": False}, {}, "not critical"),
        ({"path_length": 0}, {}, "no authority below"),
        ({}, {"ca": False}, "is no authority"),
        ({}, {"crl_sign": False}, "cRLSign"),
        ({"named": False}, {"named": False}, "subjectKeyIdentifier"),
        ({}, {"days": 30}, "valid now"),
        ({}, {"starts": 1}, "valid now"),
        ({"days": 30}, {}, "valid now"),
        ({}, {"key": ec.generate_private_key(ec.SECP521R1())}, "P-384"),
        ({}, {"key": new_rsa_key(1024)}, "2,048"),
    ],
)
def test_what_is_no_good_authority_is_refused_by_its_file(
    settings: Settings, tmp_path: Path, root: dict[str, Any], issuing: dict[str, Any], said: str
) -> None:
    settings.PKI_DIR = tmp_path / "pki"
    made = make_authority(**root)
    with pytest.raises(PkiError, match=said) as caught:
        pki.bring(bring(tmp_path / "brought", made, make_authority(made, **issuing)))
    assert ("root.pem" if root else "issuing.pem") in str(caught.value)
    assert not (tmp_path / "pki" / "issuing-ca.pem").exists()


def test_what_does_not_belong_together_is_refused(settings: Settings, tmp_path: Path) -> None:
    settings.PKI_DIR = tmp_path / "pki"
    root, other = make_authority(), make_authority()
    issuing = make_authority(root)
    for brought, said in [
        (bring(tmp_path / "a", other, issuing), "was not issued by"),
        (bring(tmp_path / "b", root, issuing, other.key), "not the key of"),
        (bring(tmp_path / "c", issuing, issuing), "no root"),
        (bring(tmp_path / "d", root, root), "must be two"),
        (bring(tmp_path / "e", None, issuing), "no root here yet"),
    ]:
        with pytest.raises(PkiError, match=said):
            pki.bring(brought)


def test_the_same_authority_again_is_refused(own_pki: Path, tmp_path: Path) -> None:
    for name in ("root-ca.pem", "issuing-ca.pem", "issuing-ca.key"):
        shutil.copy(own_pki / name, tmp_path / name)
    brought = pki.Brought(tmp_path / "issuing-ca.pem", tmp_path / "issuing-ca.key", tmp_path / "root-ca.pem")
    with pytest.raises(PkiError, match="in use already"):
        pki.bring(brought)


# --- the end of the old one ----------------------------------------------------------------------------------------------------


def test_an_issuing_ca_with_nothing_good_left_is_shut_out_and_its_key_is_destroyed(own_pki: Path, tmp_path: Path) -> None:
    device, old = new_device(tmp_path), pki.authority()
    pki.rotate()
    assert pki.retire({old.id}) == []
    assert [one.id for one in pki.retire(set())] == [old.id]
    assert pki.earlier_authorities() == []
    assert pki.to_pem(old.issuing) not in (own_pki / "clients-ca.pem").read_bytes()
    assert not list(own_pki.glob(f"*{old.id[:8]}*.key"))
    assert load_certificate(own_pki / f"retired-ca.{old.id[:8]}.pem") == old.issuing
    with pytest.raises(Exception, match="(?i)certificate"):
        gets_in(own_pki, device)
    assert pki.set_up() == []


# --- the commands --------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_commands_say_what_they_did_and_what_they_cannot(
    own_pki: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("rotate_ca")
    assert pki.authority().id in capsys.readouterr().out
    root = make_authority()
    brought = bring(tmp_path / "brought", root, make_authority(root))
    arguments = ["--issuing", str(brought.issuing), "--issuing-key", str(brought.key), "--root", str(brought.root)]
    with pytest.raises(CommandError, match="--replace-root"):
        call_command("import_ca", *arguments)
    call_command("import_ca", *arguments, "--replace-root")
    assert pki.authority().root == root.certificate
    with pytest.raises(CommandError, match="import_ca"):
        call_command("rotate_ca")
