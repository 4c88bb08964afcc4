"""How a certificate of ours is made: what all of them have, and who signs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from devices.pki.errors import PkiError
from devices.pki.keys import PrivateKey, PublicKey, key_id

# A board whose clock is a day behind, or which takes local time for UTC, must not find a new certificate not yet valid.
BACKDATED = timedelta(days=2)


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
    """Who signs, and between which times what it signs may be valid."""

    name: x509.Name
    key: PrivateKey
    key_id: bytes
    not_before: datetime
    not_after: datetime

    @classmethod
    def of(cls, certificate: x509.Certificate, key: PrivateKey) -> Issuer:
        """Return an authority as issuer."""
        span = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        return cls(certificate.subject, key, key_id(certificate), *span)

    @classmethod
    def of_itself(cls, subject: x509.Name, key: PrivateKey, days: int) -> Issuer:
        """Return the issuer of a root for `days`: itself."""
        now = datetime.now(UTC).replace(microsecond=0)
        own_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest
        return cls(subject, key, own_id, now - BACKDATED, now + timedelta(days=days))


def sign(
    issuer: Issuer,
    subject: x509.Name,
    public_key: PublicKey,
    days: int,
    constraints: x509.BasicConstraints,
    *more: x509.ExtensionType,
) -> x509.Certificate:
    """Return a certificate of `issuer` with the extensions that all of ours have, and `more`; it never outlives the issuer.

    Raises:
        PkiError: the issuer is past its end.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    if issuer.not_after <= now:
        raise PkiError("The certificate authority is past its end. Move its files away and run `manage.py setup_pki`.")
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.name)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())  # 159 random bits
        .not_valid_before(max(now - BACKDATED, issuer.not_before))
        .not_valid_after(min(now + timedelta(days=days), issuer.not_after))
        .add_extension(constraints, critical=True)
        .add_extension(_key_usage(signs_certificates=constraints.ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(issuer.key_id, None, None), critical=False)
    )
    for extension in more:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer.key, hashes.SHA256())
