"""What the registry refuses; every message is for the person who asked."""

from django.http import Http404

from devices.names import InvalidName
from devices.pki import CsrRefused
from devices.profile_check import InvalidProfile

__all__ = [
    "ClaimRefused", "CsrRefused", "DeviceGone", "InvalidName", "InvalidPin", "InvalidProfile", "JobUnderWay", "KeyInUse",
    "NameTaken", "NotExpired", "ProfileChanged", "ProfileGone", "ProfileInUse", "SecretsForbidden", "SlugTaken",
    "TooManyProfiles", "UnknownKeyAlgorithm", "UnknownReason",
]  # fmt: skip


class NameTaken(Exception):
    """The account has a live device of that name (upper and lower case count as the same)."""

    def __str__(self) -> str:
        return "You have a device of that name already."


class DeviceGone(Http404):
    """The device was deleted in the meantime, or went to another account: to whoever asks, there is no such device."""

    def __str__(self) -> str:
        return "This device was deleted, or another account has it now."


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


class SlugTaken(Exception):
    """The account has a profile of that slug, or it is a shipped one's."""

    def __str__(self) -> str:
        return f"There is a profile called {self.args[0]!r} already."


class TooManyProfiles(Exception):
    """The account has as many profiles of its own as one may have."""

    def __str__(self) -> str:
        return "You have as many profiles as one account may have. Delete one that no device has."


class ProfileChanged(Exception):
    """Somebody saved another version in the meantime; the argument is its number."""

    def __str__(self) -> str:
        return f"Version {self.args[0]} was saved in the meantime. Look at it, then save yours again."


class ProfileGone(Exception):
    """The profile, or that version of it, is not there any more."""

    def __str__(self) -> str:
        return "This profile was deleted."


class ProfileInUse(Exception):
    """Devices have the profile; the argument is how many."""

    def __str__(self) -> str:
        number = self.args[0]
        return f"{number:,} {'device has' if number == 1 else 'devices have'} this profile. Give them another one first."


class JobUnderWay(Exception):
    """The account has a job that is not done yet."""

    def __str__(self) -> str:
        return "Devices of this account are being registered right now. Wait until that is done, or cancel it."


class ClaimRefused(Exception):
    """A code that opens nothing: wrong, used, withdrawn or over, which are not told apart."""

    def __str__(self) -> str:
        return "This code does not work. Look whether it is typed as printed; each works once, and not for ever."
