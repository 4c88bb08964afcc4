"""The shape of profiles and their requests in the API: a description to read, and the document that one writes."""

from __future__ import annotations

from typing import Any, get_args

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from devices.access import Described
from devices.api.serializers import HexField
from devices.profiles import FieldFormat, FieldType, Kind, LaneScope, Tile
from iotportal.serializers import PageSerializer, StrictSerializer, TextField


class FieldSerializer(serializers.Serializer[Any]):
    """One field of a command or of an answer. Lengths are bytes as they stand between the quotes on the wire."""

    name = serializers.CharField()
    type = serializers.ChoiceField(choices=get_args(FieldType))
    title = serializers.CharField()
    help = serializers.CharField()
    required = serializers.BooleanField()  # type: ignore[assignment]  # DRF takes declared fields out of the class
    minimum = serializers.FloatField(allow_null=True)
    maximum = serializers.FloatField(allow_null=True)
    min_bytes = serializers.IntegerField()
    max_bytes = serializers.IntegerField(allow_null=True)
    format = serializers.ChoiceField(choices=get_args(FieldFormat), help_text="`epoch` is seconds since 1970, UTC.")
    unit = serializers.CharField()
    default = serializers.JSONField(allow_null=True, help_text="What a form shows first.")
    choices = serializers.ListField(child=serializers.JSONField(), help_text="All the values there are; empty: any.")


class ApiSerializer(serializers.Serializer[Any]):
    """One thing a device can be asked (get), told (set), or says by itself (event)."""

    name = serializers.CharField()
    title = serializers.CharField()
    kind = serializers.ChoiceField(choices=get_args(Kind))
    tile = serializers.ChoiceField(choices=get_args(Tile), help_text="Where the Control page shows it.")
    help = serializers.CharField()
    fields = FieldSerializer(many=True)  # type: ignore[assignment]  # DRF takes declared fields out of the class
    answer = FieldSerializer(many=True)
    echo = serializers.ListField(child=serializers.CharField(), help_text="Fields of the answer that repeat the command's.")
    timeout_s = serializers.FloatField(allow_null=True, help_text="For callers that give none; null: 5.")
    safe_late = serializers.BooleanField(help_text="Harmless when it runs long after it was asked.")
    retry_read = serializers.BooleanField(help_text="May be asked once more when the first asking met silence.")
    recover_text = serializers.BooleanField(help_text="Broken JSON in its answers is searched for texts.")


class ProfileSerializer(serializers.Serializer[Any]):
    """A kind of device and what it can do."""

    id = serializers.SerializerMethodField(help_text="Of a profile of your own; null: the portal ships it.")
    version = serializers.SerializerMethodField(help_text="Of a profile of your own; each save makes the next.")
    slug = serializers.CharField(source="profile.slug", help_text="What a device's `profile` says.")
    name = serializers.CharField(source="profile.name")
    description = serializers.CharField(source="profile.description")
    lane = serializers.ChoiceField(
        choices=get_args(LaneScope), source="profile.lane", help_text="How much of the device one command occupies."
    )
    deaf = serializers.BooleanField(source="profile.deaf", help_text="It does not listen while it works.")
    settle_s = serializers.FloatField(source="profile.settle_s", help_text="Seconds that the portal waits after each answer.")
    retry_silent_read = serializers.BooleanField(
        source="profile.retry_silent_read", help_text="A read that met silence is asked once more."
    )
    retry_after_s = serializers.FloatField(source="profile.retry_after_s")
    payload_limit_bytes = serializers.IntegerField(
        source="profile.payload_limit_bytes", allow_null=True, help_text="The longest command it takes; null: 16,384."
    )
    answer_limit_bytes = serializers.IntegerField(
        source="profile.answer_limit_bytes", allow_null=True, help_text="Where it cuts its answers; null: nowhere."
    )
    string_search = serializers.BooleanField(
        source="profile.string_search", help_text="It finds values by searching the text, and does not escape what it says."
    )
    echo_id = serializers.BooleanField(source="profile.echo_id", help_text="It repeats the id of a command.")
    presence = serializers.BooleanField(source="profile.presence", help_text="It says when it comes and goes.")
    errors = serializers.BooleanField(source="profile.errors", help_text="It reports errors in words.")  # type: ignore[assignment]  # as above
    open = serializers.BooleanField(source="profile.open", help_text="Apis that are not listed here are passed through.")
    lacks = serializers.ListField(
        child=serializers.CharField(),
        source="profile.lacks",
        help_text="Apis that it does not have, though its family has them.",
    )
    apis = serializers.SerializerMethodField()

    @extend_schema_field({"type": "string", "pattern": "^[0-9a-f]{32}$", "nullable": True})
    def get_id(self, described: Described) -> str | None:
        """Return the id of an own profile."""
        return None if described.own is None else described.own.hex

    @extend_schema_field({"type": "integer", "minimum": 1, "nullable": True})
    def get_version(self, described: Described) -> int | None:
        """Return the number of the version."""
        return None if described.own is None else described.own.version

    @extend_schema_field(ApiSerializer(many=True))
    def get_apis(self, described: Described) -> Any:
        """Return the declared apis in the profile's order."""
        return ApiSerializer(described.profile.apis.values(), many=True).data


class WholeProfileSerializer(ProfileSerializer):
    """A kind of device, and the document that it is made of."""

    document = serializers.SerializerMethodField(help_text="To change and save, or to simulate; docs/profiles.md explains it.")

    @extend_schema_field({"type": "object", "additionalProperties": True})
    def get_document(self, described: Described) -> Any:
        """Return the document."""
        return described.document


class ProfilePageSerializer(PageSerializer):
    """The kinds of devices."""

    results = ProfileSerializer(many=True)


@extend_schema_field({"type": "object", "additionalProperties": True, "example": {"apis": {}}})
class DocumentField(serializers.JSONField):
    """A profile's document; `devices.profile_check` has the word on it."""

    def to_internal_value(self, data: Any) -> Any:
        """Refuse what is no object."""
        if not isinstance(data, dict):
            raise serializers.ValidationError("This must be an object.")
        return data


@extend_schema_field({"type": "string", "minLength": 1, "maxLength": 60, "pattern": r"\S", "example": "Garden"})
class ProfileNameField(TextField):
    """A profile's name."""


@extend_schema_field({"type": "string", "pattern": "^[a-z][a-z0-9-]{0,39}$", "example": "garden"})
class SlugField(TextField):
    """A profile's slug."""


class MakeProfileSerializer(StrictSerializer):
    """What makes a profile of your own: a name, and what it begins with."""

    name = ProfileNameField(max_length=60)
    slug = SlugField(required=False, max_length=40, help_text="Made of the name if not given. It can never be changed.")
    account = HexField(required=False, help_text="One that you manage; your own if not given.")
    copy_of = TextField(required=False, max_length=40, help_text="Slug or id of a profile to begin with.")
    document = DocumentField(required=False, help_text="A document to begin with, in place of a copy.")


class SaveProfileSerializer(StrictSerializer):
    """A new version."""

    document = DocumentField()
    version = serializers.IntegerField(
        required=False,
        min_value=1,
        help_text="What it was made from: if another was saved since, yours is refused (409).",
    )
