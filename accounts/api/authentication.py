"""Bearer tokens for DRF."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from allauth.headless.internal.sessionkit import authenticate_by_x_session_token
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request

from accounts.models import ApiToken, User
from accounts.services import find_token
from accounts.tokens import looks_like_token
from iotportal.throttle import client_address, count_failure, refuse_flood

T = TypeVar("T")

_SESSION_TOKEN = re.compile(r"[a-z0-9]{8,40}\Z")


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer iotp_…`."""

    def authenticate(self, request: Request) -> tuple[User | AnonymousUser, ApiToken] | None:
        """Return the token's user and the token, or None without such a header.

        Raises:
            Problem: 429, too many unknown tokens came from that address; nobody looks for more of them.
        """
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != b"bearer":
            return None
        token = token_of(request, words[1].decode("latin-1") if len(words) == 2 else "")
        if token is None:
            raise exceptions.AuthenticationFailed("That token is not known, has ended or was revoked.", code="invalid_token")
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        """Make an anonymous request 401 rather than 403."""
        return 'Bearer realm="api"'


class SignInAuthentication(BaseAuthentication):
    """`X-Session-Token: …`, as signing in over /api/auth/ returns it."""

    def authenticate(self, request: Request) -> tuple[User, SessionBase] | None:
        """Return the session's user and the session, or None without such a header."""
        token = request.headers.get("X-Session-Token")
        if token is None:
            return None
        found: tuple[User, SessionBase] | None = None
        if _SESSION_TOKEN.match(token):
            found = _bounded(request, authenticate_by_x_session_token, token)
        if found is None:
            raise exceptions.AuthenticationFailed("That sign-in has ended.", code="invalid_token")
        return found

    def authenticate_header(self, request: Request) -> str:
        """Make an anonymous request 401 rather than 403."""
        return 'Bearer realm="api"'


def token_of(request: Request, secret: str) -> ApiToken | None:
    """Return the live token that `secret` is.

    Raises:
        Problem: 429, too many unknown tokens came from that address; nobody looks for more of them.
    """
    return _bounded(request, find_token, secret) if looks_like_token(secret) else None


def _bounded(request: Request, find: Callable[[str], T | None], secret: str) -> T | None:
    """Find who has `secret`, unless too many secrets that nobody has came from that address.

    Raises:
        Problem: 429 with the time to wait.
    """
    address = client_address(request.META.get("REMOTE_ADDR"), request.headers.get("X-Forwarded-For"))
    refuse_flood(address)
    found = find(secret)
    if found is None:
        count_failure(address)
    return found


def user_of(request: Request) -> User:
    """Return the signed-in user of a view that lets nobody else in."""
    assert isinstance(request.user, User)  # noqa: S101  # its permissions saw to that
    return request.user


class SignInScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # drf-spectacular has no types
    """Describe the sign-in in the OpenAPI schema."""

    target_class = SignInAuthentication
    name = "sign_in"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        """Return the header."""
        about = "A sign-in made over /api/auth/ (see /api/auth/docs)."
        return {"type": "apiKey", "in": "header", "name": "X-Session-Token", "description": about}


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # drf-spectacular has no types
    """Describe the token in the OpenAPI schema."""

    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        """Return the HTTP bearer scheme."""
        return {"type": "http", "scheme": "bearer", "description": "A personal API token, made on the Account page."}
