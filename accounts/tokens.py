"""What tokens look like, and their hash.

    iotp_  an API token: personal, or the access token of a login
    iotr_  the refresh token of a login: its id, 256 random bits, and a mark by which the portal knows that it made it

The mark lets the portal recognise every refresh token it ever gave out for a login without keeping them all: one that is genuine
and not the current one was used before.
"""

import base64
import binascii
import hashlib
import re
import secrets
from uuid import UUID

from django.utils.crypto import constant_time_compare, salted_hmac

PREFIX = "iotp_"  # a fixed beginning, so that secret scanners recognise a leaked token
REFRESH_PREFIX = "iotr_"
_SHAPE = re.compile(r"iotp_[A-Za-z0-9_-]{43}\Z")
_REFRESH_SHAPE = re.compile(r"iotr_([A-Za-z0-9_-]{86})\Z")
_ID, _SIGNED, _MARK = slice(0, 16), slice(0, 48), slice(48, 64)


def new_token() -> str:
    """Return a new token: the prefix and 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def looks_like_token(value: str) -> bool:
    """Say whether `value` can be a token at all, so that nonsense costs no look-up."""
    return _SHAPE.match(value) is not None


def hash_token(token: str) -> str:
    """Return the SHA-256 of the token, in hex, as it is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_refresh_token(login_id: UUID) -> str:
    """Return a new refresh token of the login."""
    signed = login_id.bytes + secrets.token_bytes(32)
    return REFRESH_PREFIX + base64.urlsafe_b64encode(signed + _mark(signed)).decode().rstrip("=")


def login_of(refresh: str) -> UUID | None:
    """Return the id of the login that the portal made this refresh token for, or None if it never made it."""
    found = _REFRESH_SHAPE.match(refresh)
    if found is None:
        return None
    try:
        packed = base64.b64decode(found[1] + "==", altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    return UUID(bytes=packed[_ID]) if constant_time_compare(packed[_MARK], _mark(packed[_SIGNED])) else None


def _mark(signed: bytes) -> bytes:
    return salted_hmac("accounts.tokens.refresh", signed, algorithm="sha256").digest()[:16]
