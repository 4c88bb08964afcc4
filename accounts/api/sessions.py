"""Where one is signed in, in the API: browsers and programs, listed and ended; by people, not by personal tokens."""

from __future__ import annotations

from typing import Any

from allauth.usersessions.models import UserSession
from django.contrib.sessions.backends.base import SessionBase
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services
from accounts.api.authentication import user_of
from accounts.api.permissions import SignedInPerson, require_recent_sign_in
from accounts.models import ApiToken
from accounts.services import sessions
from accounts.user_agents import describe
from iotportal.problems import Problem
from iotportal.queries import StrictQuery

SESSION_ID = OpenApiParameter(
    "session_id", {"type": "string", "pattern": "^[0-9a-f]{32}$"}, OpenApiParameter.PATH, description="32 hex digits."
)


class SessionSerializer(serializers.Serializer[Any]):
    """A browser or a program in which you are signed in."""

    id = serializers.UUIDField(format="hex")
    kind = serializers.ChoiceField(choices=["browser", "program"])
    agent = serializers.CharField(help_text='What it says that it is, in words: "Firefox on Linux".')
    address = serializers.CharField(allow_null=True, help_text="The address it was used from last; null: unknown.")
    signed_in_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="To the minute; null: never since it signed in.")
    current = serializers.BooleanField(help_text="Whether this request comes from it.")


class SessionListSerializer(serializers.Serializer[Any]):
    """All of them; there is one page."""

    results = SessionSerializer(many=True)


class EndedSerializer(serializers.Serializer[Any]):
    """What ended."""

    ended = serializers.IntegerField(min_value=0, help_text="How many browsers and programs were signed out.")


class SessionsView(StrictQuery):
    """Where you are signed in."""

    name = "Sessions"
    permission_classes = (IsAuthenticated, SignedInPerson)

    @extend_schema(
        operation_id="sessions_list",
        summary="List where you are signed in",
        tags=["sessions"],
        responses={200: SessionListSerializer},
    )
    def get(self, request: Request) -> Response:
        """Return the browsers, the one used last first, then the programs."""
        user, key, login = user_of(request), _session_key(request), _login(request)
        browsers = [
            {
                "id": sessions.session_id(one),
                "kind": "browser",
                "agent": describe(one.user_agent).words,
                "address": one.ip,
                "signed_in_at": one.created_at,
                "last_used_at": one.last_seen_at,
                "current": one.session_key == key,
            }
            for one in sessions.live_sessions(user)
        ]
        programs = [
            {
                "id": one.pk,
                "kind": "program",
                "agent": describe(one.user_agent).words,
                "address": one.ip,
                "signed_in_at": one.created_at,
                "last_used_at": one.last_used_at,
                "current": login is not None and one.pk == login.pk,
            }
            for one in sessions.live_logins(user)
        ]
        return Response({"results": SessionSerializer([*browsers, *programs], many=True).data})

    @extend_schema(
        operation_id="sessions_end_others",
        summary="Sign out everywhere else",
        tags=["sessions"],
        responses={200: EndedSerializer},
    )
    def delete(self, request: Request) -> Response:
        """End all sessions but the one that asks. Personal tokens stay. A browser needs a recent sign-in."""
        require_recent_sign_in(request)
        login = _login(request)
        ended = services.end_others(
            user=user_of(request), keep=_session_key(request), keep_login=login.pk if login is not None else None
        )
        return Response({"ended": ended})


class SessionView(StrictQuery):
    """One browser or program."""

    name = "Session"
    permission_classes = (IsAuthenticated, SignedInPerson)

    @extend_schema(
        operation_id="sessions_end",
        summary="Sign a browser or program out",
        tags=["sessions"],
        parameters=[SESSION_ID],
        responses={204: OpenApiResponse(description="Signed out: its session is worth nothing any more.")},
    )
    def delete(self, request: Request, session_id: str) -> Response:
        """End one of your sessions, also the one that asks."""
        user = user_of(request)
        browser = next((one for one in UserSession.objects.filter(user=user) if sessions.session_id(one).hex == session_id), None)
        if browser is not None:
            services.end_session(session=browser)
            return Response(status=status.HTTP_204_NO_CONTENT)
        login = next((one for one in sessions.live_logins(user) if one.pk.hex == session_id), None)
        if login is None:
            raise Problem(404, "not_found", "No such session.")
        services.revoke_token(token=login)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _login(request: Request) -> ApiToken | None:
    return request.auth if isinstance(request.auth, ApiToken) else None


def _session_key(request: Request) -> str | None:
    """Return the key of the session that asks: of the browser's cookie, or of a sign-in below /api/auth/."""
    if isinstance(request.auth, ApiToken):
        return None
    if isinstance(request.auth, SessionBase):
        return request.auth.session_key
    return request.session.session_key
