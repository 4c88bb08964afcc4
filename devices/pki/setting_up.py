"""`manage.py setup_pki`: make what is missing, renew what is about to end."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from django.conf import settings

from devices.pki.authority import (
    SERVICES,
    Authority,
    authority,
    earlier_authorities,
    file_at,
    is_issued_by,
    issuers_of,
    leaf,
    load_certificate,
    load_ec_key,
    load_key,
    roots,
    server_certificate,
    settle,
)
from devices.pki.errors import PkiError
from devices.pki.files import locked, private_directory, write_if_changed, write_private
from devices.pki.keys import private_key_pem, to_pem
from devices.pki.signing import Issuer, as_name, sign

ROOT_DAYS = 20 * 365
ISSUING_DAYS = 10 * 365
SERVICE_DAYS = 397  # of the broker's and the portal's own certificates
RENEW_BEFORE = timedelta(days=30)
PUSH_KEY = "push.key"  # by which push services know the portal (VAPID, RFC 8292): browsers know it too, so it is never renewed
ALWAYS_NAMED = ("localhost", "127.0.0.1", "::1")

_HOST_NAME = re.compile(r"(?=.{1,253}\Z)(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*\Z")


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
        settle()
        written = _make_root() + _make_issuing()
        written += write_trust(authority()) + renew_own(authority(), wanted) + make_push_key()
    return written


def write_trust(*authorities: Authority) -> list[str]:
    """Write what the broker checks clients against: these issuing CAs, the earlier ones, and the roots; return what changed."""
    trusted = [one.issuing for one in (*authorities, *earlier_authorities())]
    pems = dict.fromkeys(to_pem(one) for one in (*trusted, *[one.root for one in authorities], *roots()))
    return ["clients-ca.pem"] if write_if_changed(file_at("clients-ca.pem"), b"".join(pems)) else []


def renew_own(authority: Authority, names: set[str] | None) -> list[str]:
    """Renew what broker, gateway and bridge have that is not of this authority or ends soon; return what was written."""
    written = _make_server(authority, names)
    for common_name, name in SERVICES.items():
        written += _make_service(authority, common_name, name)
    return written


def make_push_key() -> list[str]:
    """Make the key by which push services know the portal, if there is none; return what was written."""
    return _key_at(PUSH_KEY)[1]


def _key_at(name: str) -> tuple[ec.EllipticCurvePrivateKey, list[str]]:
    """Return the EC key of that file, made now if it is missing, and what was written.

    A key that is there is kept: then a renewal replaces one file, at once, and no reader meets a pair that does not fit.
    """
    path = file_at(name)
    if path.exists():
        return load_ec_key(path), []
    key = ec.generate_private_key(ec.SECP256R1())
    write_private(path, private_key_pem(key))
    return key, [name]


def _make_root() -> list[str]:
    if file_at("root-ca.pem").exists():
        return []
    key, written = _key_at("root-ca.key")
    # The hash tells the roots of two portals apart in a device that knows both.
    subject = as_name(f"IoT Portal Root CA {_short_hash(key.public_key())}")
    issuer = Issuer.of_itself(subject, key, ROOT_DAYS)
    root = sign(issuer, subject, key.public_key(), ROOT_DAYS, x509.BasicConstraints(ca=True, path_length=1))
    write_private(file_at("root-ca.pem"), to_pem(root))
    return [*written, "root-ca.pem"]


def _make_issuing() -> list[str]:
    if file_at("issuing-ca.pem").exists():
        return []
    key, written = _key_at("issuing-ca.key")
    write_private(file_at("issuing-ca.pem"), to_pem(sign_issuing(key.public_key())))
    return [*written, "issuing-ca.pem"]


def sign_issuing(key: ec.EllipticCurvePublicKey) -> x509.Certificate:
    """Return the certificate of an issuing CA, signed by the root.

    Raises:
        PkiError: the root's key is not here, or not its key.
    """
    if not file_at("root-ca.key").exists():
        raise PkiError(
            "A new issuing CA needs root-ca.key, which is not here. Make one where it is kept, and take it in with"
            " `manage.py import_ca`."
        )
    root, root_key = load_certificate(file_at("root-ca.pem")), load_key(file_at("root-ca.key"))
    if root.public_key() != root_key.public_key():
        raise PkiError("root-ca.key is not the key of root-ca.pem.")
    subject = as_name(f"IoT Portal Issuing CA {_short_hash(key)}")
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    return sign(Issuer.of(root, root_key), subject, key, ISSUING_DAYS, constraints)


def _short_hash(key: ec.EllipticCurvePublicKey) -> str:
    return x509.SubjectKeyIdentifier.from_public_key(key).digest.hex()[:8]


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
    certificate = load_certificate(path)
    return certificate.public_key() == key.public_key() and _is_recent(certificate, issuing)


def is_usable(pem: bytes) -> bool:
    """Say whether a certificate comes from an issuing CA that is let in and has some time left."""
    certificate = x509.load_pem_x509_certificate(pem)
    return any(_is_recent(certificate, issuer) for issuer in issuers_of(certificate)[:1])


def _is_recent(certificate: x509.Certificate, issuing: x509.Certificate) -> bool:
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    return is_issued_by(certificate, issuing) and left >= RENEW_BEFORE


def _make_server(authority: Authority, wanted: set[str] | None) -> list[str]:
    path = file_at("server.pem")
    key, written = _key_at("server.key")
    found = server_certificate()
    present = names_of(found) if found else set()
    names = server_names(present) if wanted is None else wanted
    if names == present and _is_good(path, key, authority.issuing):
        return written
    first = next(iter(sorted(names - set(ALWAYS_NAMED))), "localhost")
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in sorted(names)])
    # A common name is no longer than 64 characters; clients look at the alternative names, this is for people.
    certificate = leaf(authority, first[:64], key.public_key(), SERVICE_DAYS, ExtendedKeyUsageOID.SERVER_AUTH, alternatives)
    write_private(path, to_pem(certificate) + to_pem(authority.issuing))
    return [*written, "server.pem"]


def _make_service(authority: Authority, common_name: str, name: str) -> list[str]:
    path = file_at(f"{name}.pem")
    key, written = _key_at(f"{name}.key")
    if _is_good(path, key, authority.issuing):
        return written
    if path.exists():
        write_private(file_at(f"{name}.previous.pem"), path.read_bytes())
        written.append(f"{name}.previous.pem")
    certificate = leaf(authority, common_name, key.public_key(), SERVICE_DAYS, ExtendedKeyUsageOID.CLIENT_AUTH)
    write_private(path, to_pem(certificate))
    return [*written, f"{name}.pem"]
