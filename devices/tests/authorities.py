"""Authorities that somebody brings along, good and bad."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from devices import pki
from devices.pki import Brought, PrivateKey
from devices.pki.signing import as_name


@dataclass(frozen=True)
class Made:
    """An authority of the test's own."""

    certificate: x509.Certificate
    key: PrivateKey


def make_authority(
    issuer: Made | None = None,
    *,
    key: PrivateKey | None = None,
    ca: bool = True,
    path_length: int | None = None,
    critical: bool = True,
    crl_sign: bool = True,
    days: int = 4000,
    starts: int = -1,
    identifier: bytes | None = None,
    named: bool = True,
) -> Made:
    """Return a CA below `issuer` (None: a root), with whatever is wrong with it."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = as_name(f"Example {'Issuing' if issuer else 'Root'} CA {pki.key_hash(key.public_key())[:6]}")
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=crl_sign, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=starts))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length if ca else None), critical=critical)
        .add_extension(usage, critical=True)
    )
    if named:
        own = x509.SubjectKeyIdentifier(identifier) if identifier else x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        above = pki.key_id(issuer.certificate) if issuer else own.digest
        builder = builder.add_extension(own, critical=False)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier(above, None, None), critical=False)
    return Made(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def new_rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return an RSA key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def bring(folder: Path, root: Made | None, issuing: Made, key: PrivateKey | None = None) -> Brought:
    """Write the files as somebody brings them."""
    folder.mkdir(exist_ok=True)
    (folder / "issuing.pem").write_bytes(pki.to_pem(issuing.certificate))
    (folder / "issuing.key").write_bytes(pki.private_key_pem(key or issuing.key))
    if root is None:
        return Brought(folder / "issuing.pem", folder / "issuing.key")
    (folder / "root.pem").write_bytes(pki.to_pem(root.certificate))
    return Brought(folder / "issuing.pem", folder / "issuing.key", folder / "root.pem")
