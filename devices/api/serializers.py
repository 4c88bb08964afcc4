"""The shape of devices, their kinds and their requests in the API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from devices.models import Device
from devices.names import DEVICE_NAME_LENGTH
from devices.pki import MAX_CSR_BYTES, KeyAlgorithm
from devices.profiles import DEFAULT_PROFILE
from iotportal.serializers import ChoiceField, StrictSerializer, TextField

KEY_ALGORITHMS = [(str(algorithm), str(algorithm)) for algorithm in KeyAlgorithm]
NAME_HELP = "Unique among your devices, upper and lower case counting as the same."


class HexUUIDField(serializers.UUIDField):
    """A UUID as 32 hex digits, as topics and certificates spell it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(format="hex", **options)


@extend_schema_field({"type": "string", "pattern": "^[0-9a-f]{32}$", "example": "0123456789abcdef0123456789abcdef"})
class HexField(HexUUIDField):
    """An id as the API spells it."""


class DeviceIdField(HexField):
    """A device's id."""


@extend_schema_field({"type": "string", "pattern": r"\S", "minLength": 1, "maxLength": DEVICE_NAME_LENGTH, "example": "Pump"})
class NameField(TextField):
    """A device's name; `devices.names` has the last word."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": DEVICE_NAME_LENGTH, "help_text": NAME_HELP, **options})


class CsrField(TextField):
    """A certificate request."""

    def __init__(self, **options: Any) -> None:
        text = "A certificate request (PKCS #10) as PEM, for a key that stays on the device; `key_algorithm` is then not read."
        super().__init__(**{"max_length": MAX_CSR_BYTES, "required": False, "help_text": text, **options})


@extend_schema_field({"type": "string", "pattern": "^[a-z][a-z0-9-]{0,39}$", "example": DEFAULT_PROFILE})
class ProfileField(TextField):
    """The slug of a profile; whether the account has such a kind the services say."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": 40, "help_text": "What kind of device it is: a slug of /profiles.", **options})


class DeviceSerializer(serializers.ModelSerializer[Device]):
    """A device as the list shows it."""

    id = DeviceIdField(read_only=True)
    account = HexField(read_only=True, source="account_id", help_text="Whose it is; see /accounts.")
    name = serializers.CharField(read_only=True)
    profile = serializers.CharField(read_only=True, help_text="What kind of device it is; see /profiles.")

    class Meta:
        model = Device
        fields = ("id", "account", "name", "profile", "created_at")
        read_only_fields = ("created_at",)


class RegisterSerializer(StrictSerializer):
    """What registers a device."""

    name = NameField()
    account = HexField(required=False, help_text="One of /accounts that you manage; your personal one if not given.")
    profile = ProfileField(default=DEFAULT_PROFILE, initial=DEFAULT_PROFILE)
    key_algorithm = ChoiceField(
        choices=KEY_ALGORITHMS, default=str(KeyAlgorithm.EC), initial=str(KeyAlgorithm.EC), help_text="`ec` is P-256."
    )
    csr = CsrField()


class ChangeSerializer(StrictSerializer):
    """What can be changed."""

    name = NameField(required=False)
    profile = ProfileField(required=False)


class RegisteredSerializer(DeviceSerializer):
    """A new device with what it needs to connect, as PEM. The private key can be downloaded until you have it forgotten."""

    root_ca = serializers.CharField(help_text="The certificate that the broker's certificate goes back to.")
    certificate = serializers.CharField(help_text="The device's own certificate; its common name is the id.")
    private_key = serializers.CharField(
        allow_null=True, help_text="PKCS #8, not encrypted: keep it as a secret. Null: it never left the device."
    )

    class Meta(DeviceSerializer.Meta):
        fields = (*DeviceSerializer.Meta.fields, "root_ca", "certificate", "private_key")  # type: ignore[assignment]  # more than the parent has
