"""Revocation lists (RFC 5280, 5): what an issuing CA publishes of its certificates that are not to be trusted any more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from devices.pki.authority import Authority
from devices.pki.keys import key_id

VALID = timedelta(days=7)  # a list is made anew long before, every hour; this is for those who keep a copy

_REASONS = {
    "key_compromise": x509.ReasonFlags.key_compromise,
    "superseded": x509.ReasonFlags.superseded,
    "cessation_of_operation": x509.ReasonFlags.cessation_of_operation,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A revoked certificate: its serial number, when and why."""

    serial: int
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Crl:
    """A signed list, and between which times it is good."""

    der: bytes
    this_update: datetime
    next_update: datetime


def make_crl(authority: Authority, entries: Iterable[Entry], number: int, this_update: datetime, *, last: bool = False) -> Crl:
    """Return the list of a CA. `last`: there will be no other, so it is good until the CA's own end."""
    issuing = authority.issuing
    next_update = issuing.not_valid_after_utc if last else min(this_update + VALID, issuing.not_valid_after_utc)
    builder = x509.CertificateRevocationListBuilder(
        issuer_name=issuing.subject,
        last_update=this_update,
        next_update=next_update,
        # All at once: the builder's own method copies the list for each entry.
        revoked_certificates=[_entry(entry) for entry in entries],
    )
    builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier(key_id(issuing), None, None), critical=False)
    der = builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    return Crl(der, this_update, next_update)


def _entry(entry: Entry) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(entry.serial).revocation_date(entry.at)
    reason = _REASONS.get(entry.reason)
    if reason is not None:  # "unspecified" is said by saying nothing (5.3.1)
        builder = builder.add_extension(x509.CRLReason(reason), critical=False)
    return builder.build()
