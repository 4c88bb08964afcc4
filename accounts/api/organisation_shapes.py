"""The shape of accounts, members and invitations in the API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.api.serializers import MembershipSerializer, TimeZoneField
from accounts.models import Account, Role
from accounts.services.organisations import NAME_LENGTH
from accounts.validators import validate_plain_address
from iotportal.serializers import ChoiceField, PageSerializer, StrictSerializer, TextField

_NAME = {"type": "string", "pattern": r"\S", "minLength": 1, "maxLength": NAME_LENGTH, "example": "Waterworks"}


@extend_schema_field({"type": "string", "pattern": "^[0-9a-f]{32}$", "example": "0123456789abcdef0123456789abcdef"})
class IdField(serializers.UUIDField):
    """An id as 32 hex digits."""

    def __init__(self, **options: Any) -> None:
        super().__init__(format="hex", **options)


@extend_schema_field(_NAME)
class NameField(TextField):
    """An organisation's name; the service has the last word."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": NAME_LENGTH, **options})


class RoleField(ChoiceField):
    """What a member may do."""

    def __init__(self, **options: Any) -> None:
        super().__init__(choices=Role.choices, **options)


# --- accounts --------------------------------------------------------------------------------------------------------------


class OwningAccountSerializer(MembershipSerializer):
    """An account of which you are a member, and your role in it."""

    id = IdField(source="account_id")
    name = serializers.CharField(source="account.name")
    kind = serializers.ChoiceField(choices=Account.Kind.choices, source="account.kind")
    time_zone = serializers.CharField(source="account.time_zone", help_text="In which its months of free messages begin.")
    created_at = serializers.DateTimeField(source="account.created_at")


class OwningAccountPageSerializer(PageSerializer):
    """Accounts: your personal one first, then organisations by name. There is one page."""

    results = OwningAccountSerializer(many=True)


class OrganisationRequestSerializer(StrictSerializer):
    """What an organisation is called."""

    name = NameField(help_text="What its members and those you invite will read.")


class OrganisationChangesSerializer(StrictSerializer):
    """What to change of an organisation; what is left out stays."""

    name = NameField(required=False, help_text="What its members and those you invite will read.")
    time_zone = TimeZoneField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse to change nothing."""
        if not attrs:
            raise serializers.ValidationError({"name": ["Give a name or a time zone."]})
        return attrs


# --- members ---------------------------------------------------------------------------------------------------------------


class MemberSerializer(serializers.Serializer[Any]):
    """A member of an account."""

    id = IdField(source="user.uuid")
    username = serializers.CharField(source="user.username")
    first_name = serializers.CharField(source="user.first_name")
    last_name = serializers.CharField(source="user.last_name")
    email = serializers.SerializerMethodField(help_text="Null unless you manage the account.")
    role = serializers.ChoiceField(choices=Role.choices)
    created_at = serializers.DateTimeField(help_text="Since when.")

    @extend_schema_field({"type": "string", "nullable": True})
    def get_email(self, membership: Any) -> str | None:
        """Return the address to those who may invite it."""
        return membership.user.email if self.context.get("emails") else None


class MemberPageSerializer(PageSerializer):
    """Members, owners first. There is one page."""

    results = MemberSerializer(many=True)


class RoleRequestSerializer(StrictSerializer):
    """A member's new role."""

    role = RoleField()


# --- invitations -----------------------------------------------------------------------------------------------------------


class InvitationSerializer(serializers.Serializer[Any]):
    """An invitation as those who manage the organisation see it. It has no secret: that is in the mail alone."""

    id = IdField()
    email = serializers.EmailField()
    role = serializers.ChoiceField(choices=Role.choices)
    invited_by = serializers.SerializerMethodField(help_text="A user name; null: that user is no more.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()

    @extend_schema_field({"type": "string", "nullable": True})
    def get_invited_by(self, invitation: Any) -> str | None:
        """Return who gave it."""
        return invitation.invited_by.username if invitation.invited_by else None


class InvitationPageSerializer(PageSerializer):
    """Invitations, the oldest first. There is one page."""

    results = InvitationSerializer(many=True)


class InvitationRequestSerializer(StrictSerializer):
    """Whom to invite, as what."""

    email = serializers.EmailField(max_length=254, validators=[validate_plain_address])
    role = RoleField()


class OrganisationSerializer(serializers.Serializer[Any]):
    """An organisation by its name."""

    id = IdField()
    name = serializers.CharField()


class ReceivedInvitationSerializer(InvitationSerializer):
    """An invitation as the one who is invited sees it."""

    account = OrganisationSerializer()


class ReceivedInvitationPageSerializer(PageSerializer):
    """Invitations to your confirmed addresses. There is one page."""

    results = ReceivedInvitationSerializer(many=True)
