"""What the database refused, in the domain's words."""

from django.db import IntegrityError

from devices.services.errors import KeyInUse, NameTaken


def as_refusal(error: IntegrityError) -> Exception:
    """Return the domain's error if a constraint refused that stands for one, otherwise `error` itself.

    The constraint decides, not a look before: of two at once one wins.
    """
    match getattr(getattr(error.__cause__, "diag", None), "constraint_name", None):
        case "device_name_unique":
            return NameTaken()
        case "certificate_key_of_one_device":
            return KeyInUse("Another device has this key. Each device needs one of its own.")
    return error
