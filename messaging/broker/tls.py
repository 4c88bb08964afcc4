"""The broker's side of mutual TLS.

The TLS of event loops closes a failed handshake without a word: no alert for the device's maker, no line in our log.
So the handshake runs here, over OpenSSL's memory buffers, with the same system calls and the same speed.
"""

import hashlib
import math
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from messaging.authorization import SOCKET

# Forward secrecy only. The small boards bring ECDHE-ECDSA-AES128-GCM-SHA256 or ECDHE-ECDSA-AES128-SHA256.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256"

_RECORD_BYTES = 16 * 1024

# OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python has no name for. Signatures, purpose and chain are verified as ever.
_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)


@dataclass(frozen=True, slots=True)
class Peer:
    """What the peer's certificate proves: its common name, its SHA-256 fingerprint in lowercase hex, and its end (Unix time).

    The end may be over: whether it is let in nevertheless is for admission to say. For a device with a password: the name that it
    gives, in place of the fingerprint what stands for its password (`messaging.authorization.PASSWORD`), and no end. For a
    service that came by its own socket: its name and `messaging.authorization.SOCKET`.
    """

    common_name: str
    fingerprint: str
    ends: float


def password_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Build the context for clients without a certificate, in which the server alone proves itself. Raises likewise."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.load_cert_chain(certificate, key)
    return context


def server_context(certificate: Path, key: Path, authorities: Sequence[Path]) -> ssl.SSLContext:
    """Build the listening context: TLS 1.2 or later, and a client certificate of `authorities` REQUIRED.

    The handshake leaves the end of the client's certificate to admission, which knows whether its owner lets it in all the same.

    `certificate` holds the server's own certificate followed by the intermediate ones, all of which are sent.
    Raises OSError or ssl.SSLError when a file cannot be read or does not fit.
    """
    context = password_context(certificate, key)
    for path in authorities:
        context.load_verify_locations(path)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= _NO_CHECK_TIME
    return context


class Channel:
    """TLS of one accepted connection, without the socket: ciphertext in and out, plaintext in and out."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.established = False
        # The peer has ended TLS in good order (or its stream has ended).
        self.ended = False

    def receive(self, ciphertext: bytes) -> bytes:
        """Take what the peer sent and return the plaintext in it; the handshake makes progress here too.

        Raises ssl.SSLError when it fails; `pending` then holds the alert that tells the peer why.
        """
        self._incoming.write(ciphertext)
        plain = []
        try:
            if not self.established:
                self._object.do_handshake()
                self.established = True
            while self._incoming.pending or self._object.pending():
                part = self._object.read(_RECORD_BYTES)
                if not part:
                    self.ended = True
                    break
                plain.append(part)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        return plain[0] if len(plain) == 1 else b"".join(plain)

    def send(self, plaintext: bytes) -> None:
        """Encrypt; the result is in `pending`. Raises ssl.SSLError."""
        written = self._object.write(plaintext)
        while written < len(plaintext):
            written += self._object.write(plaintext[written:])

    def pending(self) -> bytes:
        """Return the ciphertext that must be sent now (empty if there is none)."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def close(self) -> None:
        """Say goodbye in TLS; the peer's own goodbye is not waited for."""
        with suppress(ssl.SSLError):
            self._object.unwrap()

    @property
    def version(self) -> str:
        """Name of the TLS version, e.g. TLSv1.3."""
        return self._object.version() or ""

    def peer(self) -> Peer | None:
        """Return the proven peer; None if its certificate is not valid yet, or names nobody, or two."""
        fields, der = self._object.getpeercert(), self._object.getpeercert(binary_form=True)
        if not fields or not der:
            return None
        # The published types of this dictionary fit none of its values.
        subject: Any = fields.get("subject", ())
        names = [value for part in subject for key, value in part if key == "commonName"]
        begins, ends = (ssl.cert_time_to_seconds(str(fields[date])) for date in ("notBefore", "notAfter"))
        if len(names) != 1 or begins > time.time():
            return None
        return Peer(str(names[0]), hashlib.sha256(der).hexdigest(), ends)


class PlainChannel:
    """A connection by the socket of one of the portal's own services, in the place of `Channel`: nothing is encrypted.

    The system lets nobody open the socket but the portal's user, so whoever did is the service that it is named after.
    """

    established = True
    ended = False
    version = ""

    def __init__(self, service: str) -> None:
        self._service = service
        self._outgoing = b""

    def receive(self, data: bytes) -> bytes:
        """Return what came."""
        return data

    def send(self, data: bytes) -> None:
        """Have `data` sent: it is in `pending`."""
        self._outgoing = self._outgoing + data if self._outgoing else data

    def pending(self) -> bytes:
        """Return what must be sent now."""
        data, self._outgoing = self._outgoing, b""
        return data

    def close(self) -> None:
        """Do nothing: there is no goodbye."""

    def peer(self) -> Peer:
        """Return the service."""
        return Peer(self._service, SOCKET, math.inf)
