"""Sealed device keys: each opens for its own device alone. How they are sealed is in iotportal/sealing.py."""

from __future__ import annotations

from uuid import UUID

from iotportal import sealing
from iotportal.sealing import SealError, parse_seal_key

__all__ = ["SealError", "parse_seal_key", "seal", "unseal"]


def seal(secret: bytes, device_id: UUID) -> bytes:
    """Return `secret` sealed for the device."""
    return sealing.seal(secret, device_id.bytes)


def unseal(sealed: bytes, device_id: UUID) -> bytes:
    """Return what `seal` was given.

    Raises:
        SealError: it was sealed with another key or for another device, or was changed since.
    """
    return sealing.unseal(sealed, device_id.bytes)
