"""What the registry refuses."""

from devices.names import InvalidName

__all__ = ["DeviceGone", "InvalidName", "InvalidPin", "NameTaken", "UnknownKeyAlgorithm"]


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
