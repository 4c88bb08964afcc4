"""Bearer tokens for DRF."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request

from accounts.models import ApiToken, User
from accounts.services import find_token


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer iotp_…`."""

    def authenticate(self, request: Request) -> tuple[User | AnonymousUser, ApiToken] | None:
        """Return the token's user and the token, or None without such a header."""
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != b"bearer":
            return None
        token = find_token(words[1].decode("latin-1")) if len(words) == 2 else None
        if token is None:
            raise exceptions.AuthenticationFailed("That token is not known, has ended or was revoked.", code="invalid_token")
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        """Make an anonymous request 401 rather than 403."""
        return 'Bearer realm="api"'


def user_of(request: Request) -> User:
    """Return the signed-in user of a view that lets nobody else in."""
    assert isinstance(request.user, User)  # noqa: S101  # its permissions saw to that
    return request.user


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describe the token in the OpenAPI schema."""

    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        """Return the HTTP bearer scheme."""
        return {"type": "http", "scheme": "bearer", "description": "A personal API token, made on the Account page."}
