"""What happens in the registry and others may react to."""

from dataclasses import dataclass

from devices.models import Certificate, Device, DeviceEvent, OwnProfile
from devices.selectors import DeviceList, DevicePage
from iotportal.hooks import Hook


@dataclass(frozen=True, slots=True)
class ExpiringCertificate:
    """A certificate in use that ends within `days` (30, 14, 7 or 1); told once for each of them."""

    certificate: Certificate
    days: int


@dataclass(frozen=True, slots=True)
class SharedCertificate:
    """A certificate in use in two places at once; told at most once in ten minutes."""

    certificate: Certificate  # with its device
    addresses: tuple[str, ...]
    times: int  # how often one connection pushed out another, in so many
    minutes: int


@dataclass(frozen=True, slots=True)
class RevokedSecret:
    """A device's password that opens nothing any more, by the hash that was kept of it."""

    device: Device
    secret_hash: str


device_registered: Hook[Device] = Hook()
device_changed: Hook[Device] = Hook()  # its name or profile
device_deleted: Hook[Device] = Hook()
device_moving: Hook[Device] = Hook()  # it is about to leave its account for another
device_moved: Hook[Device] = Hook()  # it has come into its account from another
certificate_revoked: Hook[Certificate] = Hook()  # with its device; a deleted device says device_deleted alone
secret_revoked: Hook[RevokedSecret] = Hook()
certificate_expiring: Hook[ExpiringCertificate] = Hook()
certificate_shared: Hook[SharedCertificate] = Hook()
device_list_shown: Hook[DeviceList] = Hook()  # a page of the Devices page, which apps on the right add to
device_shown: Hook[DevicePage] = Hook()  # a device's page, likewise
profile_changed: Hook[OwnProfile] = Hook()  # an own profile has a new version, or is gone
device_event_recorded: Hook[DeviceEvent] = Hook()  # a new line of a device's timeline
