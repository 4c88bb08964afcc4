"""What happens in the registry and others may react to."""

from devices.models import Device, DeviceEvent
from devices.selectors import DeviceList
from iotportal.hooks import Hook

device_registered: Hook[Device] = Hook()
device_changed: Hook[Device] = Hook()  # its name or profile
device_deleted: Hook[Device] = Hook()
certificate_revoked: Hook[Device] = Hook()  # it was replaced; a deleted device says device_deleted
device_list_shown: Hook[DeviceList] = Hook()  # a page of the Devices page, which apps on the right add to
device_event_recorded: Hook[DeviceEvent] = Hook()  # a new line of a device's timeline
