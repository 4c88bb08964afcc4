"""The shape of people and accounts in the API."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import serializers

from accounts.models import Account, ApiToken, Role, User
from accounts.validators import validate_visible_text
from iotportal.languages import languages
from iotportal.serializers import ChoiceField, StrictSerializer, TextField
from iotportal.time_zones import time_zones


class UserSerializer(serializers.ModelSerializer[User]):
    """Who you are."""

    class Meta:
        model = User
        fields = ("username", "email", "first_name", "last_name", "time_zone", "language", "theme", "delete_at")
        read_only_fields = fields
        extra_kwargs: ClassVar = {"delete_at": {"help_text": "When the account is to be deleted; null: never."}}


class TimeZoneField(TextField):
    """One of the time zones that people choose from."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": 64, "help_text": 'As the tz database names it: "Europe/Stockholm".', **options})

    def to_internal_value(self, data: Any) -> str:
        """Refuse what is no name of one."""
        value = super().to_internal_value(data)
        if value not in dict(time_zones()):
            raise serializers.ValidationError("There is no such time zone.")
        return value


class ProfileSerializer(StrictSerializer):
    """What you can change about yourself; what is left out stays."""

    first_name = TextField(max_length=150, validators=[validate_visible_text], required=False)
    last_name = TextField(max_length=150, validators=[validate_visible_text], required=False)
    time_zone = TimeZoneField(required=False)
    language = TextField(max_length=12, required=False, help_text="Of mails and SMS; of pages, too, where the portal has them.")
    theme = ChoiceField(choices=["", "light", "dark"], required=False, help_text="Empty: as the system.")

    def validate_first_name(self, value: str) -> str:
        """Refuse blanks."""
        return _named(value)

    def validate_last_name(self, value: str) -> str:
        """Refuse blanks."""
        return _named(value)

    def validate_language(self, value: str) -> str:
        """Take those that the portal has."""
        if value not in languages():
            raise serializers.ValidationError("The portal does not have that language.")
        return value


def _named(value: str) -> str:
    name = value.strip()
    if not name:
        raise serializers.ValidationError("Give it a name that can be read.")
    return name


class TokenSerializer(serializers.Serializer[Any]):
    """The token of this request."""

    name = serializers.CharField()
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=ApiToken.Scope.choices))
    expires_at = serializers.DateTimeField(allow_null=True)


class MembershipSerializer(serializers.Serializer[Any]):
    """An account that owns devices, and your role in it."""

    id = serializers.UUIDField(format="hex")
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=Account.Kind.choices)
    role = serializers.ChoiceField(choices=Role.choices)
