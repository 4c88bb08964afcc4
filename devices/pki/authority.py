"""The authority as it lies in `settings.PKI_DIR`, loaded once per process, and what it issues."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from django.conf import settings

from devices.pki.errors import PkiError
from devices.pki.files import Stamp, locked, stamp
from devices.pki.keys import PrivateKey, PublicKey, fingerprint, key_id, to_pem
from devices.pki.signing import Issuer, as_name, sign

SERVICES = {"portal.gateway": "gateway", "portal.bridge": "bridge"}  # common name: file name


NEXT, NEXT_ROOT = "issuing-ca.next", "root-ca.next.pem"  # see `settle`
EARLIER = "issuing-ca.{}.pem"  # with the beginning of its key identifier
_EARLIER = re.compile(r"issuing-ca\.[0-9a-f]{8}\.pem")


@dataclass(frozen=True, slots=True)
class Authority:
    """A loaded issuing CA with its root."""

    root: x509.Certificate
    issuing: x509.Certificate
    key: PrivateKey

    @property
    def id(self) -> str:
        """The issuing CA's key identifier in hex: what its certificates call their issuer."""
        return key_id(self.issuing).hex()

    @property
    def root_pem(self) -> bytes:
        """What devices trust."""
        return to_pem(self.root)


@dataclass(frozen=True, slots=True)
class ServiceCertificate:
    """What the broker must see from a portal service: `fingerprint` is SHA-256 in hex, the times are UTC."""

    fingerprint: str
    not_before: datetime
    not_after: datetime


# --- issuing ---------------------------------------------------------------------------------------------------------------


def leaf(
    authority: Authority,
    subject: str,
    public_key: PublicKey,
    days: int,
    purpose: x509.ObjectIdentifier,
    *more: x509.ExtensionType,
) -> x509.Certificate:
    """Return a certificate that signs handshakes and nothing else, for `purpose` alone."""
    issuer = Issuer.of(authority.issuing, authority.key)
    constraints = x509.BasicConstraints(ca=False, path_length=None)
    return sign(issuer, as_name(subject), public_key, days, constraints, x509.ExtendedKeyUsage([purpose]), *more)


def issue_device_certificate(device_id: UUID, public_key: PublicKey, days: int | None = None) -> x509.Certificate:
    """Return a new client certificate that names the device; valid `settings.CERTIFICATE_DAYS` unless `days` says otherwise.

    Raises:
        PkiError: there is no authority, or it is past its end.
    """
    issuer = authority()
    more: list[x509.ExtensionType] = [x509.SubjectAlternativeName([x509.UniformResourceIdentifier(device_id.urn)])]
    if settings.CRL_IN_CERTIFICATES:
        more.append(_distribution_point(issuer))
    days = settings.CERTIFICATE_DAYS if days is None else days
    return leaf(issuer, device_id.hex, public_key, days, ExtendedKeyUsageOID.CLIENT_AUTH, *more)


def _distribution_point(issuer: Authority) -> x509.CRLDistributionPoints:
    """Say where the issuer publishes what it has revoked (RFC 5280, 4.2.1.13)."""
    address = x509.UniformResourceIdentifier(f"{settings.PORTAL_URL}/pki/crl/{issuer.id}.crl")
    return x509.CRLDistributionPoints([x509.DistributionPoint([address], None, None, None)])


def issuers_of(certificate: x509.Certificate) -> list[x509.Certificate]:
    """Return the issuing CA and the root of a certificate of ours; empty if they are not here any more."""
    for ours in (authority(), *earlier_authorities()):
        if is_issued_by(certificate, ours.issuing):
            return [ours.issuing, ours.root]
    return []


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Say whether the issuer's key has signed the certificate."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):  # another name, another kind of key, another signature
        return False
    return True


# --- the files -------------------------------------------------------------------------------------------------------------

_loading = threading.Lock()
_loaded: dict[Path, tuple[Stamp, Authority]] = {}
_service_certificates: dict[Path, tuple[Stamp, ServiceCertificate]] = {}


def file_at(name: str) -> Path:
    """Return where the file of that name is, or would be."""
    return Path(settings.PKI_DIR) / name


def load_certificate(path: Path) -> x509.Certificate:
    """Read a certificate. Raises PkiError if it is none, OSError if it cannot be read."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise PkiError(f"{path} is not a certificate.") from error


def load_key(path: Path) -> PrivateKey:
    """Read an EC or RSA key. Raises PkiError if it is none, OSError if it cannot be read."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise PkiError(f"{path} is not an unencrypted private key.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise PkiError(f"{path} is neither an EC nor an RSA key.")
    return key


def load_ec_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read a key of the portal's own, which is EC. Raises as `load_key`."""
    key = load_key(path)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise PkiError(f"{path} is not an EC key.")
    return key


def _load_authority() -> Authority:
    root, issuing = load_certificate(file_at("root-ca.pem")), load_certificate(file_at("issuing-ca.pem"))
    key = load_key(file_at("issuing-ca.key"))
    if issuing.public_key() != key.public_key():
        raise PkiError("issuing-ca.key is not the key of issuing-ca.pem.")
    if not is_issued_by(issuing, root):
        raise PkiError("issuing-ca.pem was not issued by root-ca.pem.")
    return Authority(root, issuing, key)


def _load_settled() -> Authority:
    """Load the authority; what does not fit together may be half of a change, whose end is waited for."""
    try:
        return _load_authority()
    except PkiError as error:
        try:
            with locked(Path(settings.PKI_DIR)):
                settle()
                return _load_authority()
        except OSError:  # a folder that nobody may write to is not being changed
            raise error from None


def settle() -> None:
    """Put the next authority in its place if one is complete, else take away what there is of it. For who holds the lock.

    The certificate is written last and renamed last: while it waits, all the others are there or were renamed already.
    """
    waiting = {
        file_at(NEXT_ROOT): "root-ca.pem",
        file_at(f"{NEXT}.key"): "issuing-ca.key",
        file_at(f"{NEXT}.pem"): "issuing-ca.pem",
    }
    complete = file_at(f"{NEXT}.pem").exists()
    for path, name in waiting.items():
        if complete and path.exists():
            path.replace(file_at(name))
        path.unlink(missing_ok=True)


def authority() -> Authority:
    """Return the issuing CA; read once per process, and again when its files change.

    Raises:
        PkiError: it was not set up, or its files do not fit together.
    """
    files = [file_at(name) for name in ("root-ca.pem", "issuing-ca.pem", "issuing-ca.key")]
    try:
        now = stamp(*files)
    except FileNotFoundError as error:
        raise PkiError(f"There is no certificate authority in {settings.PKI_DIR}. Run `manage.py setup_pki`.") from error
    directory = Path(settings.PKI_DIR)
    found = _loaded.get(directory)
    if found is None or found[0] != now:
        with _loading:
            found = _loaded[directory] = (now, _load_settled())
    return found[1]


def roots() -> list[x509.Certificate]:
    """Return the root, and those that it has replaced."""
    found = sorted(Path(settings.PKI_DIR).glob("root-ca*.pem"))
    return [load_certificate(path) for path in found if path.name != NEXT_ROOT]


def earlier_authorities() -> list[Authority]:
    """Return the issuing CAs before the present one whose certificates are still let in.

    Raises:
        PkiError: their files do not fit together.
    """
    found = []
    for path in sorted(Path(settings.PKI_DIR).glob("issuing-ca.*.pem")):
        if not _EARLIER.fullmatch(path.name):
            continue
        issuing, key = load_certificate(path), load_key(path.with_suffix(".key"))
        root = next((root for root in roots() if is_issued_by(issuing, root)), None)
        if root is None or issuing.public_key() != key.public_key():
            raise PkiError(f"{path} does not fit its key, or none of the roots.")
        found.append(Authority(root, issuing, key))
    return found


def _service_certificate(path: Path) -> ServiceCertificate | None:
    try:
        now = stamp(path)
    except FileNotFoundError:
        return None
    found = _service_certificates.get(path)
    if found is None or found[0] != now:
        certificate = load_certificate(path)
        loaded = ServiceCertificate(fingerprint(certificate), certificate.not_valid_before_utc, certificate.not_valid_after_utc)
        found = _service_certificates[path] = (now, loaded)
    return found[1]


def service_certificates(common_name: str) -> list[ServiceCertificate]:
    """Return the certificates that prove a portal service: the one in the directory and the one before it.

    The one before stays good until its own end (or until its file is removed): a process that loaded it at its start must
    be able to reconnect after a renewal.
    """
    name = SERVICES[common_name]
    found = [_service_certificate(file_at(file)) for file in (f"{name}.pem", f"{name}.previous.pem")]
    return [certificate for certificate in found if certificate is not None]


def server_certificate() -> x509.Certificate | None:
    """Return the broker's certificate, None before the first `set_up`."""
    path = file_at("server.pem")
    return load_certificate(path) if path.exists() else None
