"""Personal API tokens in the API: made, listed, revoked; by people, not by such tokens themselves."""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services
from accounts.api.authentication import user_of
from accounts.api.permissions import SignedInPerson, require_recent_sign_in
from accounts.models import ApiToken
from accounts.validators import validate_visible_text
from iotportal.openapi import problems
from iotportal.pagination import PAGE_PARAMETERS, PAGE_QUERY
from iotportal.problems import Problem
from iotportal.queries import StrictQuery
from iotportal.serializers import ChoiceField, PageSerializer, StrictSerializer, TextField

_HEX = re.compile(r"[0-9a-f]{32}\Z")
TOKEN_ID = OpenApiParameter(
    "token_id", {"type": "string", "pattern": "^[0-9a-f]{32}$"}, OpenApiParameter.PATH, description="32 hex digits."
)


class ApiTokenSerializer(serializers.ModelSerializer[ApiToken]):
    """A personal API token."""

    id = serializers.UUIDField(format="hex", read_only=True)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=ApiToken.Scope.choices), read_only=True)
    prefix = serializers.CharField(read_only=True, help_text="What the token begins with, so that you know which one it is.")
    last_used_at = serializers.DateTimeField(read_only=True, allow_null=True, help_text="To the minute; null: never.")
    expires_at = serializers.DateTimeField(read_only=True, allow_null=True, help_text="Null: never.")

    class Meta:
        model = ApiToken
        fields = ("id", "name", "scopes", "prefix", "created_at", "expires_at", "last_used_at")
        read_only_fields = ("name", "created_at")


class NewTokenSerializer(StrictSerializer):
    """What makes a token."""

    name = TextField(max_length=60, validators=[validate_visible_text], help_text="What will use it; unique among your tokens.")
    scopes = serializers.ListField(
        child=ChoiceField(choices=ApiToken.Scope.choices), allow_empty=False, max_length=len(ApiToken.Scope)
    )
    expires_at = serializers.DateTimeField(required=False, allow_null=True, help_text="When it ends; never unless given.")

    def validate_expires_at(self, value: Any) -> Any:
        """Refuse what is over already."""
        if value is not None and value <= timezone.now():
            raise serializers.ValidationError("That is over already.")
        return value


class MadeTokenSerializer(ApiTokenSerializer):
    """A new token, with its secret: now and never again."""

    token = serializers.CharField(read_only=True)

    class Meta(ApiTokenSerializer.Meta):
        fields = (*ApiTokenSerializer.Meta.fields, "token")  # type: ignore[assignment]  # one field more


class TokenPageSerializer(PageSerializer):
    """Tokens, the oldest first."""

    results = ApiTokenSerializer(many=True)


class OwnTokens(StrictQuery, GenericAPIView[ApiToken]):
    """The caller's personal tokens."""

    permission_classes = (IsAuthenticated, SignedInPerson)

    def get_queryset(self) -> QuerySet[ApiToken]:
        """Return what the caller may see."""
        return ApiToken.objects.filter(user=user_of(self.request), kind=ApiToken.Kind.PERSONAL)

    def token(self, token_id: str) -> ApiToken:
        """Return one of them.

        Raises:
            Problem: 404, there is none, or it is another's.
        """
        found = self.get_queryset().filter(pk=token_id).first() if _HEX.match(token_id) else None
        if found is None:
            raise Problem(404, "not_found", "No such token.")
        return found


class TokensView(OwnTokens):
    """Your personal API tokens."""

    name = "Tokens"
    query = PAGE_QUERY
    serializer_class = NewTokenSerializer

    @extend_schema(
        operation_id="tokens_list",
        summary="List your API tokens",
        tags=["tokens"],
        parameters=[*PAGE_PARAMETERS],
        responses={200: TokenPageSerializer},
    )
    def get(self, request: Request) -> Response:
        """Return one page of tokens, the oldest first; what a token itself is, only its maker saw."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(ApiTokenSerializer(page, many=True).data)

    @extend_schema(
        operation_id="tokens_create",
        summary="Make an API token",
        tags=["tokens"],
        request=NewTokenSerializer,
        responses={201: MadeTokenSerializer, **problems(409)},
    )
    def post(self, request: Request) -> Response:
        """Make a token for a program. The answer has it, this once; only its hash is kept. A browser needs a recent sign-in."""
        form = NewTokenSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        require_recent_sign_in(request)
        try:
            token, secret = services.create_token(user=user_of(request), **form.validated_data)
        except services.NameTaken as error:
            sentence = "You have a token of that name."
            raise Problem(409, "name_taken", sentence, errors={"name": [sentence]}) from error
        except services.TooManyTokens as error:
            limit = settings.API_TOKENS_PER_USER
            raise Problem(409, "too_many_tokens", f"You have {limit} tokens, and that is the most. Revoke one.") from error
        made = {**ApiTokenSerializer(token).data, "token": secret}
        return Response(made, status=status.HTTP_201_CREATED, headers={"Cache-Control": "no-store"})


class TokenView(OwnTokens):
    """One token."""

    name = "Token"
    serializer_class = ApiTokenSerializer

    @extend_schema(
        operation_id="tokens_read",
        summary="Read an API token",
        tags=["tokens"],
        parameters=[TOKEN_ID],
        responses={200: ApiTokenSerializer},
    )
    def get(self, request: Request, token_id: str) -> Response:
        """Return its name, scopes, end and last use."""
        return Response(ApiTokenSerializer(self.token(token_id)).data)

    @extend_schema(
        operation_id="tokens_revoke",
        summary="Revoke an API token",
        tags=["tokens"],
        parameters=[TOKEN_ID],
        responses={204: OpenApiResponse(description="Revoked: it is dead at once, everywhere.")},
    )
    def delete(self, request: Request, token_id: str) -> Response:
        """End a token, at once and for good."""
        services.revoke_token(token=self.token(token_id))
        return Response(status=status.HTTP_204_NO_CONTENT)
