"""The broker's side of mutual TLS."""

import hashlib
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Forward secrecy only. The small boards bring ECDHE-ECDSA-AES128-GCM-SHA256 or ECDHE-ECDSA-AES128-SHA256.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256"


@dataclass(frozen=True, slots=True)
class Peer:
    """What the peer's certificate proves: its common name, and its SHA-256 fingerprint in lowercase hex."""

    common_name: str
    fingerprint: str


def server_context(certificate: Path, key: Path, authorities: Sequence[Path]) -> ssl.SSLContext:
    """Build the listening context: TLS 1.2 or later, and a client certificate of `authorities` REQUIRED.

    `certificate` holds the server's own certificate followed by the intermediate ones, all of which are sent.
    Raises OSError or ssl.SSLError when a file cannot be read or does not fit.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.load_cert_chain(certificate, key)
    for path in authorities:
        context.load_verify_locations(path)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def peer_of(tls: ssl.SSLObject | None) -> Peer | None:
    """Return the proven peer of a finished handshake; None if its certificate has expired or names nobody, or two."""
    if tls is None:
        return None
    fields, der = tls.getpeercert(), tls.getpeercert(binary_form=True)
    if not fields or not der:
        return None
    # The published types of this dictionary fit none of its values.
    subject: Any = fields.get("subject", ())
    names = [value for part in subject for key, value in part if key == "commonName"]
    # A resumed TLS session is not verified again, so the date is checked here as well.
    if len(names) != 1 or ssl.cert_time_to_seconds(str(fields["notAfter"])) < time.time():
        return None
    return Peer(str(names[0]), hashlib.sha256(der).hexdigest())
