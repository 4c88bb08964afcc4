"""Another issuing CA in place of the present one: made under the root, or brought from elsewhere.

The present one is kept as ``issuing-ca.{id}.pem`` and ``.key``: its certificates are let in, and its revocation list is signed,
until none of them is good any more. Then it is retired: its key is destroyed, ``retired-ca.{id}.pem`` is all that is left.

The order is such that a process that is killed in between leaves nothing that does not work: the broker trusts the new CA before
anything is issued by it, and what belongs together waits as ``*.next.*`` until all of it can be renamed (`authority.settle`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.conf import settings

from devices.pki.authority import (
    EARLIER,
    NEXT,
    NEXT_ROOT,
    Authority,
    authority,
    earlier_authorities,
    file_at,
    is_issued_by,
    load_certificate,
    load_key,
    settle,
)
from devices.pki.errors import PkiError
from devices.pki.files import locked, private_directory, write_private
from devices.pki.keys import key_id, private_key_pem, to_pem
from devices.pki.setting_up import make_push_key, renew_own, server_names, sign_issuing, write_trust

_CURVES = (ec.SECP256R1, ec.SECP384R1)
RETIRED = "retired-ca.{}.pem"


@dataclass(frozen=True, slots=True)
class Brought:
    """An issuing CA from elsewhere, as PEM files. `root` None: it is of the root that is here."""

    issuing: Path
    key: Path
    root: Path | None = None


def rotate() -> list[str]:
    """Make a new issuing CA under the root and issue with it from now on; return the names of the files written.

    Raises:
        PkiError: there is no authority, or the root's key is not here.
    """
    with locked(private_directory(Path(settings.PKI_DIR))):
        settle()
        present = authority()
        key = ec.generate_private_key(ec.SECP256R1())
        made = Authority(present.root, sign_issuing(key.public_key()), key)
        return _replace(present, made)


def bring(brought: Brought, *, replace_root: bool = False) -> list[str]:
    """Take an issuing CA from elsewhere, with its root, and issue with it from now on; return the names of the files written.

    Raises:
        PkiError: a file is not what it should be, or the root is another and `replace_root` is not set: devices that trust the
            old one alone will not trust the broker any more.
    """
    made = _checked(brought)
    with locked(private_directory(Path(settings.PKI_DIR))):
        settle()
        if not file_at("issuing-ca.pem").exists():
            _refuse_leftovers()
            return write_trust(made) + _put(made) + renew_own(made, server_names([])) + make_push_key()
        present = authority()
        if made.root != present.root and not replace_root:
            raise PkiError("Devices trust the present root alone. To give all of them new files, say --replace-root.")
        return _replace(present, made)


def retire(live: Collection[str]) -> list[Authority]:
    """Retire the earlier issuing CAs that are not among `live` (key identifiers in hex); return them."""
    with locked(private_directory(Path(settings.PKI_DIR))):
        over = [one for one in earlier_authorities() if one.id not in live]
        for one in over:
            path = file_at(EARLIER.format(one.id[:8]))
            path.with_suffix(".key").unlink()
            path.replace(file_at(RETIRED.format(one.id[:8])))
        if over:
            write_trust(authority())
    return over


def _replace(present: Authority, made: Authority) -> list[str]:
    if made.id == present.id:
        raise PkiError("This is the issuing CA that is in use already.")
    written = write_trust(made, present)
    kept = EARLIER.format(present.id[:8])
    write_private(file_at(kept).with_suffix(".key"), private_key_pem(present.key))
    write_private(file_at(kept), to_pem(present.issuing))
    if made.root != present.root:
        write_private(file_at(_earlier_root(present)), to_pem(present.root))
        written.append(_earlier_root(present))
    written += [kept, *_put(made)]
    if made.root != present.root and file_at("root-ca.key").exists():
        file_at("root-ca.key").replace(file_at(_earlier_root(present)).with_suffix(".key"))
    return written + renew_own(made, None)


def _earlier_root(authority: Authority) -> str:
    return f"root-ca.{key_id(authority.root).hex()[:8]}.pem"


def _put(made: Authority) -> list[str]:
    """Put an authority in the place of the present one."""
    write_private(file_at(NEXT_ROOT), to_pem(made.root))
    write_private(file_at(f"{NEXT}.key"), private_key_pem(made.key))
    write_private(file_at(f"{NEXT}.pem"), to_pem(made.issuing))
    settle()
    return ["root-ca.pem", "issuing-ca.key", "issuing-ca.pem"]


def _refuse_leftovers() -> None:
    found = [name for name in ("root-ca.pem", "root-ca.key", "issuing-ca.key") if file_at(name).exists()]
    if found:
        raise PkiError(f"There is half an authority in {settings.PKI_DIR} ({', '.join(found)}). Move it away first.")


# --- what is brought -------------------------------------------------------------------------------------------------------


def _checked(brought: Brought) -> Authority:
    """Return what was brought, once it has been found to be a root and an issuing CA below it that can sign.

    Raises:
        PkiError: it is not; the message says which file and why.
    """
    root_path = brought.root or file_at("root-ca.pem")
    if not root_path.exists():
        raise PkiError("There is no root here yet. Bring it along with --root.")
    root, issuing, key = load_certificate(root_path), load_certificate(brought.issuing), load_key(brought.key)
    _check_authority(root, str(root_path), below=1)
    _check_authority(issuing, str(brought.issuing), below=0)
    if not is_issued_by(root, root):
        raise PkiError(f"{root_path} is no root: it is not signed by itself.")
    if not is_issued_by(issuing, root):
        raise PkiError(f"{brought.issuing} was not issued by {root_path}.")
    if issuing.public_key() != key.public_key():
        raise PkiError(f"{brought.key} is not the key of {brought.issuing}.")
    if key_id(issuing) == key_id(root):
        raise PkiError("Root and issuing CA must be two, so that the root's key can be kept elsewhere.")
    return Authority(root, issuing, key)


def _check_authority(certificate: x509.Certificate, path: str, *, below: int) -> None:
    """Check what RFC 5280 asks of an authority (4.2.1.1 to 3, 4.2.1.9) that has `below` more of them under it."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        if not below:  # strict readers want it of all but roots
            certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound as error:
        raise PkiError(f"{path} is no authority, for it has no {error.oid._name}.") from None
    except ValueError:
        raise PkiError(f"{path} has extensions that cannot be read.") from None
    if not constraints.critical or not constraints.value.ca:
        raise PkiError(f"{path} is no authority: its basic constraints do not say so, or are not critical.")
    if constraints.value.path_length is not None and constraints.value.path_length < below:
        raise PkiError(f"{path} may have no authority below it.")
    if not usage.key_cert_sign or not usage.crl_sign:
        raise PkiError(f"The key usage of {path} must have keyCertSign and cRLSign.")
    now = datetime.now(UTC)
    lasts = now + timedelta(days=settings.CERTIFICATE_DAYS)
    if certificate.not_valid_before_utc > now or certificate.not_valid_after_utc < lasts:
        raise PkiError(f"{path} must be valid now and for the {settings.CERTIFICATE_DAYS} days of a device's certificate.")
    _check_strength(certificate.public_key(), path)


def _check_strength(key: object, path: str) -> None:
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return
    if isinstance(key, rsa.RSAPublicKey) and 2048 <= key.key_size <= 4096:
        return
    raise PkiError(f"The key of {path} must be EC P-256 or P-384, or RSA with 2,048 to 4,096 bits, for devices to check it.")
