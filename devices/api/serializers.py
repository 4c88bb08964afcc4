"""The shape of devices in the API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from devices.models import Device
from devices.names import DEVICE_NAME_LENGTH
from devices.profiles import DEFAULT_PROFILE, all_profiles

KEY_ALGORITHMS = ("ec", "rsa")


class HexUUIDField(serializers.UUIDField):
    """A UUID as 32 hex digits, as topics and certificates spell it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(format="hex", **options)


@extend_schema_field({"type": "string", "pattern": "^[0-9a-f]{32}$"})
class DeviceIdField(HexUUIDField):
    """A device's id."""


class DeviceSerializer(serializers.ModelSerializer[Device]):
    """A device as the list shows it."""

    id = DeviceIdField(read_only=True)
    name = serializers.CharField(max_length=DEVICE_NAME_LENGTH)
    profile = serializers.ChoiceField(choices=[profile.slug for profile in all_profiles()])

    class Meta:
        model = Device
        fields = ("id", "name", "profile", "created_at")
        read_only_fields = ("created_at",)


class RegisterSerializer(serializers.Serializer[Any]):
    """What registers a device."""

    name = serializers.CharField(max_length=DEVICE_NAME_LENGTH)
    profile = serializers.ChoiceField(choices=[profile.slug for profile in all_profiles()], default=DEFAULT_PROFILE)
    key_algorithm = serializers.ChoiceField(choices=KEY_ALGORITHMS, default="ec")


class ChangeSerializer(serializers.Serializer[Any]):
    """What can be changed."""

    name = serializers.CharField(max_length=DEVICE_NAME_LENGTH, required=False)
    profile = serializers.ChoiceField(choices=[profile.slug for profile in all_profiles()], required=False)


class CertificateSerializer(serializers.Serializer[Any]):
    """A device's certificate; `fingerprint` is the SHA-256 of its DER form."""

    serial = serializers.CharField()
    fingerprint = serializers.CharField()
    key_algorithm = serializers.CharField()
    not_before = serializers.DateTimeField()
    not_after = serializers.DateTimeField()


class RegisteredSerializer(DeviceSerializer):
    """A new device with what it needs to connect, as PEM. The private key can be downloaded until you have it forgotten."""

    root_ca = serializers.CharField()
    certificate = serializers.CharField()
    private_key = serializers.CharField()

    class Meta(DeviceSerializer.Meta):
        fields = (*DeviceSerializer.Meta.fields, "root_ca", "certificate", "private_key")  # type: ignore[assignment]
