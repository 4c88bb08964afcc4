"""Keys and certificates as bytes: what kinds there are, and how they are written."""

from __future__ import annotations

import hashlib
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class KeyAlgorithm(StrEnum):
    """What kind of key a device gets."""

    EC = "ec"  # P-256
    RSA = "rsa"  # 2048 bits


def new_private_key(algorithm: KeyAlgorithm) -> PrivateKey:
    """Return a new key: EC P-256, or RSA 2048 (some hundred times slower to make)."""
    if algorithm is KeyAlgorithm.RSA:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def algorithm_of(key: PublicKey) -> KeyAlgorithm:
    """Return what kind of key it is."""
    return KeyAlgorithm.RSA if isinstance(key, rsa.RSAPublicKey) else KeyAlgorithm.EC


def private_key_pem(key: PrivateKey) -> bytes:
    """Return the key as unencrypted PKCS #8 PEM."""
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def to_pem(certificate: x509.Certificate) -> bytes:
    """Return the certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of the DER form, 64 lower-case hex digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def key_hash(key: PublicKey) -> str:
    """Return the SHA-256 of the key (its SubjectPublicKeyInfo in DER), 64 lower-case hex digits: the same key, the same hash."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def key_id(certificate: x509.Certificate) -> bytes:
    """Return the subject key identifier of an authority, by which its certificates and revocation list name it."""
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
