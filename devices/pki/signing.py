"""How a certificate of ours is made: what all of them have, and who signs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from devices.pki.errors import PkiError
from devices.pki.keys import PublicKey

BACKDATED = timedelta(minutes=5)  # a board whose clock is a little slow must not find its certificate not yet valid


def as_name(common_name: str) -> x509.Name:
    """Return a distinguished name of a common name alone."""
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
class Issuer:
    """Who signs."""

    name: x509.Name
    key: ec.EllipticCurvePrivateKey
    not_after: datetime


def sign(
    issuer: Issuer,
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
