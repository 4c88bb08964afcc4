"""Every write of the registry that has a consequence."""

from devices.downloads import DeviceFiles, KeyUnavailable, device_files, device_zip
from devices.profiles import UnknownProfile
from devices.services.certificates import Registered, forget_key, replace_certificate
from devices.services.errors import DeviceGone, InvalidName, InvalidPin, NameTaken, UnknownKeyAlgorithm
from devices.services.registration import (
    HIGHEST_PIN,
    change_profile,
    delete_device,
    name_pin,
    register_device,
    rename_device,
)

__all__ = [
    "HIGHEST_PIN", "DeviceFiles", "DeviceGone", "InvalidName", "InvalidPin", "KeyUnavailable", "NameTaken", "Registered",
    "UnknownKeyAlgorithm", "UnknownProfile", "change_profile", "delete_device", "device_files", "device_zip", "forget_key",
    "name_pin", "register_device", "rename_device", "replace_certificate",
]  # fmt: skip
