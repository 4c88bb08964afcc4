"""What an API token looks like, and its hash."""

import hashlib
import re
import secrets

PREFIX = "iotp_"  # a fixed beginning, so that secret scanners recognise a leaked token
_SHAPE = re.compile(r"iotp_[A-Za-z0-9_-]{43}\Z")


def new_token() -> str:
    """Return a new token: the prefix and 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def looks_like_token(value: str) -> bool:
    """Say whether `value` can be a token at all, so that nonsense costs no look-up."""
    return _SHAPE.match(value) is not None


def hash_token(token: str) -> str:
    """Return the SHA-256 of the token, in hex, as it is stored."""
    return hashlib.sha256(token.encode()).hexdigest()
