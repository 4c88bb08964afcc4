"""What the database refused, in the domain's words."""

from django.db import IntegrityError

from devices.profiles import UnknownProfile
from devices.services.errors import KeyInUse, NameTaken


def as_refusal(error: IntegrityError) -> Exception:
    """Return the domain's error if a constraint refused that stands for one, otherwise `error` itself.

    The constraint decides, not a look before: of two at once one wins.
    """
    constraint = getattr(getattr(error.__cause__, "diag", None), "constraint_name", None) or ""
    match constraint:
        case "device_name_unique":
            return NameTaken()
        case "certificate_key_of_one_device":
            return KeyInUse("Another device has this key. Each device needs one of its own.")
        case _ if constraint.startswith("devices_device_own_profile_id"):
            return UnknownProfile("of yours, which was deleted just now")
    return error
