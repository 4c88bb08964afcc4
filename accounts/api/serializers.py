"""The shape of people and accounts in the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.models import Account, ApiToken, Role, User


class UserSerializer(serializers.ModelSerializer[User]):
    """Who you are."""

    class Meta:
        model = User
        fields = ("username", "email", "first_name", "last_name", "time_zone")
        read_only_fields = fields


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
