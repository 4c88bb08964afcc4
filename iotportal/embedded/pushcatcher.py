"""Plays a push service and the browser behind it (RFC 8030, 8291, 8292): what is pushed is checked, decrypted and kept as a mail.

The portal's signature is checked as a push service checks it, and what it says is decrypted with the browser's keys, which lie in
a file, so that a browser that was switched on yesterday is one today.
"""

from __future__ import annotations

import base64
import json
import os
import re
import time
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

import http_ece
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

PATH = re.compile(r"/push/[0-9a-f]{32}")
KEYS_PATH = "/push/keys.json"
MAX_BYTES = 4096  # RFC 8030, 7.2
_LONGEST_S = 24 * 3600  # that a signature may hold (RFC 8292, 2)


class Refused(Exception):
    """What a push service answers to something that it does not take: `status` of HTTP."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class PushBrowser:
    """A browser's keys: what it tells the portal of them, and reading what is meant for it."""

    def __init__(self, file: Path | None = None) -> None:
        if file is not None and file.exists():
            raw = base64.b64decode(file.read_text())
        else:
            key = ec.generate_private_key(ec.SECP256R1())
            raw = key.private_numbers().private_value.to_bytes(32, "big") + os.urandom(16)
            if file is not None:
                with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as written:
                    written.write(base64.b64encode(raw).decode())
        self._key = ec.derive_private_key(int.from_bytes(raw[:32], "big"), ec.SECP256R1())
        self._auth = raw[32:]

    def keys(self) -> dict[str, str]:
        """Return its public key, and the secret that it shares with the portal, as `PushSubscription.toJSON` has them."""
        point = self._key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        return {"p256dh": _spell(point), "auth": _spell(self._auth)}

    def read(self, headers: dict[str, str], body: bytes, origin: str) -> dict[str, str]:
        """Return what a push says. `origin`: of this push service, which the signature must name. Raises Refused."""
        if len(body) > MAX_BYTES:
            raise Refused(413, "too long")
        if headers.get("content-encoding") != "aes128gcm" or not headers.get("ttl", "").isdigit():
            raise Refused(400, "no TTL, or another encoding than aes128gcm")
        check_signature(headers.get("authorization", ""), origin)
        try:
            text = http_ece.decrypt(body, private_key=self._key, auth_secret=self._auth, version="aes128gcm")
            return {name: str(value) for name, value in json.loads(text).items()}
        except (http_ece.ECEException, ValueError, AttributeError) as error:
            raise Refused(400, "it does not decrypt") from error


def check_signature(header: str, origin: str) -> None:
    """Check `vapid t=…,k=…` (RFC 8292, 3). Raises Refused."""
    found = re.fullmatch(r"vapid t=([\w-]+)\.([\w-]+)\.([\w-]+), ?k=([\w-]+)", header)
    if found is None:
        raise Refused(401, "no signature")
    head, claims, signature, key = found.groups()
    try:
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _read(key))
        raw = _read(signature)
        der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        public.verify(der, f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
        said = json.loads(_read(claims))
        ends = float(said["exp"]) - time.time()
    except (InvalidSignature, ValueError, KeyError, TypeError) as error:
        raise Refused(403, "not signed by its key") from error
    if not 0 < ends <= _LONGEST_S or said.get("aud") != origin or not urlsplit(str(said.get("sub"))).scheme:
        raise Refused(403, "signed for another service or time")


def as_mail(said: dict[str, str]) -> bytes:
    """Return a push as a mail that the page can show."""
    mail = EmailMessage()
    mail["Subject"] = "Push: " + " ".join(said.get("title", "").split())
    mail.set_content(f"{said.get('text', '')}\n\nOpens {os.environ.get('PORTAL_URL', '')}{said.get('url', '')}")
    return mail.as_bytes()


def _spell(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _read(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
