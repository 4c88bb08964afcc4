"""Every write of the registry that has a consequence."""

from devices.downloads import DeviceFiles, KeyUnavailable, device_files, device_zip
from devices.profiles import UnknownProfile
from devices.services.certificates import Registered, forget_key, note_use, renew_certificate, renew_several
from devices.services.errors import (
    CsrRefused,
    DeviceGone,
    InvalidName,
    InvalidPin,
    KeyInUse,
    NameTaken,
    NotExpired,
    UnknownKeyAlgorithm,
    UnknownReason,
)
from devices.services.expiry import warn_of_expiry
from devices.services.registration import (
    HIGHEST_PIN,
    change_profile,
    delete_device,
    name_pin,
    register_device,
    rename_device,
)
from devices.services.revocation import end_overlaps, note_expired, note_shared, rescue_certificate, revoke_certificate

__all__ = [
    "HIGHEST_PIN", "CsrRefused", "DeviceFiles", "DeviceGone", "InvalidName", "InvalidPin", "KeyInUse", "KeyUnavailable",
    "NameTaken", "NotExpired", "Registered", "UnknownKeyAlgorithm", "UnknownProfile", "UnknownReason", "change_profile",
    "delete_device", "device_files", "device_zip", "end_overlaps", "forget_key", "name_pin", "note_expired", "note_shared",
    "note_use", "register_device", "rename_device", "renew_certificate", "renew_several", "rescue_certificate",
    "revoke_certificate", "warn_of_expiry",
]  # fmt: skip
