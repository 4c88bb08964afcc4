"""Sealed secrets: what lies in the database is worth nothing without PORTAL_SEAL_KEY.

    version (1 byte, 1) | key id (4) | nonce (12) | AES-256-GCM ciphertext and tag

The key id is the beginning of the seal key's SHA-256: it tells a wrong key from a damaged seal. Header and owner are
authenticated with the text, so a seal moved to where it does not belong does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

VERSION = b"\x01"
_KEY_ID = slice(1, 5)
_HEADER = slice(0, 5)
_NONCE = slice(5, 17)
_TEXT = slice(17, None)


class SealError(Exception):
    """The seal does not open: another seal key, another owner's, or damaged."""


def parse_seal_key(text: str) -> bytes:
    """Return the 32 bytes that `text` spells in base64.

    Raises:
        ImproperlyConfigured: it does not.
    """
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise ImproperlyConfigured("PORTAL_SEAL_KEY must be 32 random bytes in base64, as `openssl rand -base64 32` prints them.")
    return key


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"iotportal seal key id" + key).digest()[:4]


def seal(secret: bytes, owner: bytes) -> bytes:
    """Return `secret` sealed for `owner`: whose it is or what for, as the one who opens it will say too."""
    key = parse_seal_key(settings.SEAL_KEY)
    header, nonce = VERSION + _key_id(key), os.urandom(12)
    return header + nonce + AESGCM(key).encrypt(nonce, secret, header + owner)


def unseal(sealed: bytes, owner: bytes) -> bytes:
    """Return what `seal` was given.

    Raises:
        SealError: it was sealed with another key or for another owner, or was changed since.
    """
    key = parse_seal_key(settings.SEAL_KEY)
    if sealed[:1] != VERSION:
        raise SealError("The seal is of an unknown version.")
    if sealed[_KEY_ID] != _key_id(key):
        raise SealError("It was sealed with another PORTAL_SEAL_KEY.")
    try:
        return AESGCM(key).decrypt(sealed[_NONCE], sealed[_TEXT], sealed[_HEADER] + owner)
    except (InvalidTag, ValueError) as error:
        raise SealError("It was changed, or is another device's or person's.") from error
