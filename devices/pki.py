"""The portal's certificate authority: who is who on the broker's port.

    root CA ──▶ issuing CA ──▶ device certificates     CN = device id, clientAuth
                          ├──▶ portal.gateway, .bridge  the portal's own clients, clientAuth
                          └──▶ the broker              its names and addresses, serverAuth

Devices trust the root alone, so the issuing CA can be replaced without touching one of them; once it exists, the root's key
may be kept elsewhere. Everything lies in `settings.PKI_DIR`:

    root-ca.pem/.key  issuing-ca.pem/.key  clients-ca.pem (issuing + root: what the broker checks clients against)
    server.pem (with the issuing CA)/.key  gateway.pem/.key  bridge.pem/.key  and *.previous.pem after a renewal

Certificates follow RFC 5280: a device's subject alternative name is the URI ``urn:uuid:…``, which spells the id in a form made
for it (RFC 9562) and, unlike a DNS name, can never be taken for the name of a host. Keys are PKCS #8 PEM without a
passphrase: the one form that mbedTLS, OpenSSL (paho), Go and Java all read, and it is the same for EC and RSA.
"""

from __future__ import annotations

import ipaddress
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from django.conf import settings

from devices.pki_files import Stamp, locked, private_directory, stamp, write_if_changed, write_private

ROOT_DAYS = 20 * 365
ISSUING_DAYS = 10 * 365
SERVICE_DAYS = 397  # of the broker's and the portal's own certificates
RENEW_BEFORE = timedelta(days=30)
BACKDATED = timedelta(minutes=5)  # a board whose clock is a little slow must not find its certificate not yet valid
ALWAYS_NAMED = ("localhost", "127.0.0.1", "::1")

SERVICES = {"portal.gateway": "gateway", "portal.bridge": "bridge"}  # common name: file name

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_NOT_ISSUED = (
    ValueError,
    TypeError,
    InvalidSignature,
)  # what verify_directly_issued_by raises: other name, kind of key, signature
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*\Z")


class PkiError(Exception):
    """The authority is missing, damaged or at its end; the message says what to do."""


class KeyAlgorithm(StrEnum):
    """What kind of key a device gets."""

    EC = "ec"  # P-256
    RSA = "rsa"  # 2048 bits


@dataclass(frozen=True, slots=True)
class Authority:
    """The loaded issuing CA."""

    root: x509.Certificate
    issuing: x509.Certificate
    key: ec.EllipticCurvePrivateKey

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


# --- keys and forms ------------------------------------------------------------------------------------------------------


def new_private_key(algorithm: KeyAlgorithm) -> PrivateKey:
    """Return a new key: EC P-256, or RSA 2048 (some hundred times slower to make)."""
    if algorithm is KeyAlgorithm.RSA:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def algorithm_of(key: PrivateKey) -> KeyAlgorithm:
    """Return what kind of key it is."""
    return KeyAlgorithm.RSA if isinstance(key, rsa.RSAPrivateKey) else KeyAlgorithm.EC


def private_key_pem(key: PrivateKey) -> bytes:
    """Return the key as unencrypted PKCS #8 PEM."""
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def to_pem(certificate: x509.Certificate) -> bytes:
    """Return the certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of the DER form, 64 lower-case hex digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


# --- certificates --------------------------------------------------------------------------------------------------------


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


@dataclass(frozen=True, slots=True)
class _Issuer:
    name: x509.Name
    key: ec.EllipticCurvePrivateKey
    not_after: datetime


def _sign(
    issuer: _Issuer,
    subject: x509.Name,
    public_key: PublicKey,
    days: int,
    constraints: x509.BasicConstraints,
    *more: x509.ExtensionType,
) -> x509.Certificate:
    """Return a certificate of `issuer` with the extensions that all of ours have, and `more`; it never outlives the issuer."""
    now = datetime.now(UTC).replace(microsecond=0)
    if issuer.not_after <= now:
        raise PkiError("The certificate authority is past its end. Move its files away and run `manage.py setup_pki`.")
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.name)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())  # 159 random bits
        .not_valid_before(now - BACKDATED)
        .not_valid_after(min(now + timedelta(days=days), issuer.not_after))
        .add_extension(constraints, critical=True)
        .add_extension(_key_usage(signs_certificates=constraints.ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    )
    for extension in more:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer.key, hashes.SHA256())


def _leaf(
    authority: Authority,
    subject: str,
    public_key: PublicKey,
    days: int,
    purpose: x509.ObjectIdentifier,
    *more: x509.ExtensionType,
) -> x509.Certificate:
    issuer = _Issuer(authority.issuing.subject, authority.key, authority.issuing.not_valid_after_utc)
    constraints = x509.BasicConstraints(ca=False, path_length=None)
    return _sign(issuer, _name(subject), public_key, days, constraints, x509.ExtendedKeyUsage([purpose]), *more)


def issue_device_certificate(device_id: UUID, public_key: PublicKey, days: int | None = None) -> x509.Certificate:
    """Return a new client certificate that names the device; valid `settings.CERTIFICATE_DAYS` unless `days` says otherwise.

    Raises:
        PkiError: there is no authority, or it is past its end.
    """
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(device_id.urn)])
    days = settings.CERTIFICATE_DAYS if days is None else days
    return _leaf(authority(), device_id.hex, public_key, days, ExtendedKeyUsageOID.CLIENT_AUTH, names)


# --- the loaded authority --------------------------------------------------------------------------------------------------

_loading = threading.Lock()
_loaded: dict[Path, tuple[Stamp, Authority]] = {}
_service_certificates: dict[Path, tuple[Stamp, ServiceCertificate]] = {}


def _path(name: str) -> Path:
    return Path(settings.PKI_DIR) / name


def _load_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise PkiError(f"{path} is not a certificate.") from error


def _load_ec_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise PkiError(f"{path} is not an unencrypted private key.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise PkiError(f"{path} is not an EC key.")
    return key


def _load_authority() -> Authority:
    root, issuing = _load_certificate(_path("root-ca.pem")), _load_certificate(_path("issuing-ca.pem"))
    key = _load_ec_key(_path("issuing-ca.key"))
    if issuing.public_key() != key.public_key():
        raise PkiError("issuing-ca.key is not the key of issuing-ca.pem.")
    try:
        issuing.verify_directly_issued_by(root)
    except _NOT_ISSUED as error:
        raise PkiError("issuing-ca.pem was not issued by root-ca.pem.") from error
    return Authority(root, issuing, key)


def authority() -> Authority:
    """Return the issuing CA; read once per process, and again when its files change.

    Raises:
        PkiError: it was not set up, or its files do not fit together.
    """
    files = [_path(name) for name in ("root-ca.pem", "issuing-ca.pem", "issuing-ca.key")]
    try:
        now = stamp(*files)
    except FileNotFoundError as error:
        raise PkiError(f"There is no certificate authority in {settings.PKI_DIR}. Run `manage.py setup_pki`.") from error
    directory = Path(settings.PKI_DIR)
    found = _loaded.get(directory)
    if found is None or found[0] != now:
        with _loading:
            found = _loaded[directory] = (now, _load_authority())
    return found[1]


def _service_certificate(path: Path) -> ServiceCertificate | None:
    try:
        now = stamp(path)
    except FileNotFoundError:
        return None
    found = _service_certificates.get(path)
    if found is None or found[0] != now:
        certificate = _load_certificate(path)
        loaded = ServiceCertificate(fingerprint(certificate), certificate.not_valid_before_utc, certificate.not_valid_after_utc)
        found = _service_certificates[path] = (now, loaded)
    return found[1]


def service_certificates(common_name: str) -> list[ServiceCertificate]:
    """Return the certificates that prove a portal service: the one in the directory and the one before it.

    The one before stays good until its own end (or until its file is removed): a process that loaded it at its start must
    be able to reconnect after a renewal.
    """
    name = SERVICES[common_name]
    found = [_service_certificate(_path(file)) for file in (f"{name}.pem", f"{name}.previous.pem")]
    return [certificate for certificate in found if certificate is not None]


def is_usable(pem: bytes) -> bool:
    """Say whether a certificate comes from the present issuing CA and has some time left."""
    return _is_recent(x509.load_pem_x509_certificate(pem), authority().issuing)


def server_certificate() -> x509.Certificate | None:
    """Return the broker's certificate, None before the first `set_up`."""
    path = _path("server.pem")
    return _load_certificate(path) if path.exists() else None


# --- setting up ------------------------------------------------------------------------------------------------------------


def set_up(names: Iterable[str] | None = None) -> list[str]:
    """Make what is missing in the PKI directory, renew what is about to end, and return the names of the files written.

    `names` are host names and addresses at which devices reach the broker, beside the local ones and the one devices are
    told (`settings.DEVICE_HOST`). None keeps those of the present server certificate.

    Raises:
        PkiError: a name is none, or what is there does not fit together; nothing of it is overwritten.
    """
    wanted = None if names is None else server_names(names)
    directory = private_directory(Path(settings.PKI_DIR))
    with locked(directory):
        written = _make_root() + _make_issuing()
        loaded = authority()
        if write_if_changed(_path("clients-ca.pem"), to_pem(loaded.issuing) + to_pem(loaded.root)):
            written.append("clients-ca.pem")
        written += _make_server(loaded, wanted)
        for common_name, name in SERVICES.items():
            written += _make_service(loaded, common_name, name)
    return written


def _key_at(name: str) -> tuple[ec.EllipticCurvePrivateKey, list[str]]:
    """Return the EC key of that file, made now if it is missing, and what was written.

    A key that is there is kept: then a renewal replaces one file, at once, and no reader meets a pair that does not fit.
    """
    path = _path(name)
    if path.exists():
        return _load_ec_key(path), []
    key = ec.generate_private_key(ec.SECP256R1())
    write_private(path, private_key_pem(key))
    return key, [name]


def _make_root() -> list[str]:
    if _path("root-ca.pem").exists():
        return []
    key, written = _key_at("root-ca.key")
    # The hash tells the roots of two portals apart in a device that knows both.
    subject = _name(f"IoT Portal Root CA {_short_hash(key)}")
    issuer = _Issuer(subject, key, datetime.now(UTC) + timedelta(days=ROOT_DAYS + 1))
    root = _sign(issuer, subject, key.public_key(), ROOT_DAYS, x509.BasicConstraints(ca=True, path_length=1))
    write_private(_path("root-ca.pem"), to_pem(root))
    return [*written, "root-ca.pem"]


def _make_issuing() -> list[str]:
    if _path("issuing-ca.pem").exists():
        return []
    if not _path("root-ca.key").exists():
        raise PkiError("A new issuing CA needs root-ca.key, which is not here.")
    root, root_key = _load_certificate(_path("root-ca.pem")), _load_ec_key(_path("root-ca.key"))
    if root.public_key() != root_key.public_key():
        raise PkiError("root-ca.key is not the key of root-ca.pem.")
    key, written = _key_at("issuing-ca.key")
    issuer = _Issuer(root.subject, root_key, root.not_valid_after_utc)
    subject = _name(f"IoT Portal Issuing CA {_short_hash(key)}")
    issuing = _sign(issuer, subject, key.public_key(), ISSUING_DAYS, x509.BasicConstraints(ca=True, path_length=0))
    write_private(_path("issuing-ca.pem"), to_pem(issuing))
    return [*written, "issuing-ca.pem"]


def _short_hash(key: ec.EllipticCurvePrivateKey) -> str:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()[:8]


def server_names(names: Iterable[str]) -> set[str]:
    """Return the names a server certificate must carry: the local ones, the one devices are told, and `names`, each checked.

    Raises:
        PkiError: one is neither a host name nor an address at which anything can be reached.
    """
    return {_checked_name(name) for name in (*ALWAYS_NAMED, settings.DEVICE_HOST, *names)}


def _checked_name(name: str) -> str:
    name = name.strip().strip("[]").lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        if not _HOST_NAME.match(name):
            raise PkiError(f"{name!r} is neither a host name nor an IP address.") from None
        return name
    if address.is_unspecified:
        raise PkiError(f"{name} means every address; give those at which devices reach the broker.")
    return str(address)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def names_of(certificate: x509.Certificate) -> set[str]:
    """Return the host names and addresses of a certificate, addresses in their shortest form."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


def _is_good(path: Path, key: ec.EllipticCurvePrivateKey, issuing: x509.Certificate) -> bool:
    """Say whether the certificate is there, belongs to `key`, comes from this issuing CA and has time left."""
    if not path.exists():
        return False
    certificate = _load_certificate(path)
    return certificate.public_key() == key.public_key() and _is_recent(certificate, issuing)


def _is_recent(certificate: x509.Certificate, issuing: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuing)
    except _NOT_ISSUED:
        return False
    return certificate.not_valid_after_utc - datetime.now(UTC) >= RENEW_BEFORE


def _make_server(authority: Authority, wanted: set[str] | None) -> list[str]:
    path = _path("server.pem")
    key, written = _key_at("server.key")
    found = server_certificate()
    present = names_of(found) if found else set()
    names = server_names(present) if wanted is None else wanted
    if names == present and _is_good(path, key, authority.issuing):
        return written
    first = next(iter(sorted(names - set(ALWAYS_NAMED))), "localhost")
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in sorted(names)])
    # A common name is no longer than 64 characters; clients look at the alternative names, this is for people.
    certificate = _leaf(authority, first[:64], key.public_key(), SERVICE_DAYS, ExtendedKeyUsageOID.SERVER_AUTH, alternatives)
    write_private(path, to_pem(certificate) + to_pem(authority.issuing))
    return [*written, "server.pem"]


def _make_service(authority: Authority, common_name: str, name: str) -> list[str]:
    path = _path(f"{name}.pem")
    key, written = _key_at(f"{name}.key")
    if _is_good(path, key, authority.issuing):
        return written
    if path.exists():
        write_private(_path(f"{name}.previous.pem"), path.read_bytes())
        written.append(f"{name}.previous.pem")
    certificate = _leaf(authority, common_name, key.public_key(), SERVICE_DAYS, ExtendedKeyUsageOID.CLIENT_AUTH)
    write_private(path, to_pem(certificate))
    return [*written, f"{name}.pem"]
