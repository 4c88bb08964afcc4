"""What the registry refuses; every message is for the person who asked."""

from devices.names import InvalidName
from devices.pki import CsrRefused

__all__ = [
    "CsrRefused", "DeviceGone", "InvalidName", "InvalidPin", "KeyInUse", "NameTaken", "NotExpired", "SecretsForbidden",
    "UnknownKeyAlgorithm", "UnknownReason",
]  # fmt: skip


class NameTaken(Exception):
    """The account has a live device of that name (upper and lower case count as the same)."""

    def __str__(self) -> str:
        return "You have a device of that name already."


class DeviceGone(Exception):
    """The device was deleted in the meantime."""

    def __str__(self) -> str:
        return "This device was deleted."


class InvalidPin(ValueError):
    """A pin number that no device has."""


class UnknownKeyAlgorithm(ValueError):
    """A key algorithm that is not one of `KeyAlgorithm`."""


class KeyInUse(CsrRefused):
    """A request whose key cannot be taken (again): it is another device's, or one that nobody should trust any more."""


class UnknownReason(ValueError):
    """A reason for a revocation that is not one of `Certificate.Reason`."""


class NotExpired(Exception):
    """A certificate that needs no rescue, or is past all rescue."""


class SecretsForbidden(Exception):
    """The operator has not allowed that devices sign in with a secret."""

    def __str__(self) -> str:
        return "The operator of this portal lets devices in by certificate alone."
