"""The shape of devices, their kinds and their requests in the API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from devices.models import Device
from devices.names import DEVICE_NAME_LENGTH
from devices.pki import MAX_CSR_BYTES, KeyAlgorithm
from devices.profiles import DEFAULT_PROFILE, all_profiles
from iotportal.serializers import ChoiceField, PageSerializer, StrictSerializer, TextField

PROFILES = [(profile.slug, profile.name) for profile in all_profiles()]
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


class DeviceSerializer(serializers.ModelSerializer[Device]):
    """A device as the list shows it."""

    id = DeviceIdField(read_only=True)
    name = serializers.CharField(read_only=True)
    profile = serializers.CharField(read_only=True, help_text="What kind of device it is; see /profiles.")

    class Meta:
        model = Device
        fields = ("id", "name", "profile", "created_at")
        read_only_fields = ("created_at",)


class RegisterSerializer(StrictSerializer):
    """What registers a device."""

    name = NameField()
    profile = ChoiceField(
        choices=PROFILES, default=DEFAULT_PROFILE, initial=DEFAULT_PROFILE, help_text="What kind of device it is; see /profiles."
    )
    key_algorithm = ChoiceField(
        choices=KEY_ALGORITHMS, default=str(KeyAlgorithm.EC), initial=str(KeyAlgorithm.EC), help_text="`ec` is P-256."
    )
    csr = CsrField()


class ChangeSerializer(StrictSerializer):
    """What can be changed."""

    name = NameField(required=False)
    profile = ChoiceField(choices=PROFILES, required=False, help_text="What kind of device it is; see /profiles.")


class RegisteredSerializer(DeviceSerializer):
    """A new device with what it needs to connect, as PEM. The private key can be downloaded until you have it forgotten."""

    root_ca = serializers.CharField(help_text="The certificate that the broker's certificate goes back to.")
    certificate = serializers.CharField(help_text="The device's own certificate; its common name is the id.")
    private_key = serializers.CharField(
        allow_null=True, help_text="PKCS #8, not encrypted: keep it as a secret. Null: it never left the device."
    )

    class Meta(DeviceSerializer.Meta):
        fields = (*DeviceSerializer.Meta.fields, "root_ca", "certificate", "private_key")  # type: ignore[assignment]


# --- kinds of devices ------------------------------------------------------------------------------------------------------


class FieldSerializer(serializers.Serializer[Any]):
    """One field of a command or of an answer. Lengths are bytes as they stand between the quotes on the wire."""

    name = serializers.CharField()
    type = serializers.ChoiceField(choices=["integer", "number", "string", "boolean", "object", "array"])
    title = serializers.CharField()
    help = serializers.CharField()
    required = serializers.BooleanField()  # type: ignore[assignment]  # DRF takes declared fields out of the class
    minimum = serializers.IntegerField(allow_null=True)
    maximum = serializers.IntegerField(allow_null=True)
    min_bytes = serializers.IntegerField()
    max_bytes = serializers.IntegerField(allow_null=True)
    format = serializers.CharField(help_text="mac, ipv4, epoch (seconds since 1970, UTC), recipient, or empty.")
    choices = serializers.ListField(child=serializers.JSONField(), help_text="All the values there are; empty: any.")


class ApiSerializer(serializers.Serializer[Any]):
    """One thing a device can be asked (get), told (set), or says by itself (event)."""

    name = serializers.CharField()
    title = serializers.CharField()
    kind = serializers.ChoiceField(choices=["get", "set", "event"])
    help = serializers.CharField()
    fields = FieldSerializer(many=True)  # type: ignore[assignment]  # DRF takes declared fields out of the class
    answer = FieldSerializer(many=True)


class ProfileSerializer(serializers.Serializer[Any]):
    """A kind of device and what it can do."""

    slug = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    lane = serializers.ChoiceField(choices=["api", "device"], help_text="How much of the device one command occupies.")
    payload_limit_bytes = serializers.IntegerField(allow_null=True, help_text="The longest command it takes; null: 16,384.")
    echo_id = serializers.BooleanField(help_text="It repeats the id of a command.")
    presence = serializers.BooleanField(help_text="It says when it comes and goes.")
    errors = serializers.BooleanField(help_text="It reports errors in words.")  # type: ignore[assignment]  # as above
    open = serializers.BooleanField(help_text="Apis that are not listed here are passed through.")
    apis = serializers.SerializerMethodField()

    @extend_schema_field(ApiSerializer(many=True))
    def get_apis(self, profile: Any) -> Any:
        """Return the declared apis in the profile's order."""
        return ApiSerializer(profile.apis.values(), many=True).data


class ProfilePageSerializer(PageSerializer):
    """The kinds of devices."""

    results = ProfileSerializer(many=True)
