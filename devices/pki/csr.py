"""Certificate requests (PKCS #10, RFC 2986): how a device proves that it has a key which never leaves it.

Of a request we take the public key alone. Who the certificate is for, what it is good for and how long, is ours to say: subject,
extensions and attributes are not looked at, but for a common name, which must not promise what we will not keep.
"""

from __future__ import annotations

from uuid import UUID

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from devices.pki.keys import PublicKey
from devices.pki.weak_keys import weakness_of

MAX_CSR_BYTES = 8 * 1024  # one for RSA 4096 with a page of extensions has less than 4
RSA_BITS = range(2048, 4097)

_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_UNREADABLE = "This is not a certificate request in PEM form. It begins with -----BEGIN CERTIFICATE REQUEST-----."


class CsrRefused(ValueError):
    """A certificate request that is not taken; the message is for the person who sent it."""


def read_csr(text: str, *, device_id: UUID | None = None) -> PublicKey:
    """Return the public key of a request in PEM form, once its signature has proven that the sender holds the private one.

    `device_id` is the device that it is for; None while that has no id yet, so that the request can name none.

    Raises:
        CsrRefused: it cannot be read, proves nothing, names somebody else, or its key is not strong enough.
    """
    request = _parse(text)
    try:
        key = request.public_key()
        signed_with, proven = request.signature_hash_algorithm, request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CsrRefused("The request's key or signature is of a kind that is not taken. Use EC P-256 or RSA.") from None
    strong = check_public_key(key)
    if not isinstance(signed_with, _HASHES):
        raise CsrRefused("The request is signed with an outdated hash. Use SHA-256.")
    if not proven:
        raise CsrRefused("The request's signature does not fit its key: it was changed, or made without the private key.")
    _check_name(request, device_id)
    return strong


def check_public_key(key: object) -> PublicKey:
    """Return `key` if it is one that a device may have: EC P-256, or RSA with 2,048 to 4,096 bits and no known weakness.

    Raises:
        CsrRefused: it is not; the message says why.
    """
    if isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, ec.SECP256R1):
            raise CsrRefused(f"The key is on the curve {key.curve.name}; only P-256 (prime256v1) is taken.")
        return key
    if not isinstance(key, rsa.RSAPublicKey):
        raise CsrRefused("The key is neither EC P-256 nor RSA.")
    if key.key_size not in RSA_BITS:
        bounds = f"{RSA_BITS[0]:,} to {RSA_BITS[-1]:,}"
        raise CsrRefused(f"The key is RSA with {key.key_size:,} bits; {bounds} are taken.")
    weakness = weakness_of(key.public_numbers())
    if weakness:
        raise CsrRefused(f"The key is weak: {weakness}. Make another.")
    return key


def _parse(text: str) -> x509.CertificateSigningRequest:
    if len(text) > MAX_CSR_BYTES:
        raise CsrRefused(f"This is longer than the {MAX_CSR_BYTES // 1024} KiB that a certificate request may have.")
    if "PRIVATE KEY-----" in text:
        raise CsrRefused(
            "There is a private key in it, which must not leave the device. Make a new one, and send the request alone."
        )
    try:
        return x509.load_pem_x509_csr(text.strip().encode("ascii"))
    except (ValueError, TypeError):
        raise CsrRefused(_UNREADABLE) from None


def _check_name(request: x509.CertificateSigningRequest, device_id: UUID | None) -> None:
    """Refuse a request for somebody else: its sender would believe that the certificate names him."""
    try:
        names = [str(attribute.value) for attribute in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except ValueError:
        raise CsrRefused(_UNREADABLE) from None
    allowed = [] if device_id is None else [device_id.hex]
    for name in names:
        if name and name not in allowed:
            rest = "leave the subject empty (-subj /), the portal gives the name."
            raise CsrRefused(f"The request is for the common name {name[:64]!r}: {rest}")
