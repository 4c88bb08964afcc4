"""Certificate requests for tests, good and bad."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import NameOID


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a key as a device makes it."""
    return ec.generate_private_key(ec.SECP256R1())


def make_csr(
    key: CertificateIssuerPrivateKeyTypes | None = None,
    *extensions: x509.ExtensionType,
    subject: dict[x509.ObjectIdentifier, str] | None = None,
    hash_: hashes.HashAlgorithm | None = hashes.SHA256(),  # noqa: B008  # it has no state
) -> str:
    """Return a request in PEM form, for a new EC key unless another is given."""
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in (subject or {}).items()])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    signed = builder.sign(key or new_key(), hash_)  # type: ignore[arg-type]  # None is for Ed25519
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def for_name(common_name: str, key: ec.EllipticCurvePrivateKey | None = None) -> str:
    """Return a request that names somebody."""
    return make_csr(key, subject={NameOID.COMMON_NAME: common_name})


def rsa_key_of(p: int, q: int, e: int = 65537) -> rsa.RSAPrivateKey:
    """Return the RSA key of two primes."""
    d = pow(e, -1, (p - 1) * (q - 1))
    private = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(e, p * q))
    return private.private_key(unsafe_skip_rsa_key_validation=True)
