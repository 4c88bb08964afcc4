"""How a device id stands in a URL: `<device:device_id>`, once this module is imported."""

from django.urls import register_converter


class DeviceIdConverter:
    """32 lower-case hex digits, as topics and certificates spell it."""

    regex = "[0-9a-f]{32}"

    def to_python(self, value: str) -> str:
        """Leave it as it is: `access_device` is the one that looks it up."""
        return value

    def to_url(self, value: str) -> str:
        """Leave it as it is."""
        return value


register_converter(DeviceIdConverter, "device")
