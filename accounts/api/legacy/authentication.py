"""Who asks, in the documented API: a token in the body or in the header, and the user name that it must belong to."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts.api.authentication import token_of
from accounts.models import ApiToken, User
from iotportal.bodies import as_object
from iotportal.problems import invalid

UNKNOWN = "That token is not known, has ended or was revoked, or it is not this user's."


class LegacyAuthentication(BaseAuthentication):
    """`access_token` or `token` in the body, as text or as the object that the login answered, or `Authorization: Bearer …`."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        """Return the token's user and the token, or None without any."""
        body = as_object(request.data)
        given = {token for token in (_in_header(request), *_in_body(body)) if token}
        if not given:
            return None
        if len(given) > 1:
            raise AuthenticationFailed("The request brings two tokens that differ.", code="invalid_token")
        token = token_of(request, given.pop())
        name = user_name(body)
        if token is None or not _is_called(token.user, name):
            raise AuthenticationFailed(UNKNOWN, code="invalid_token")
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        """Make an anonymous request 401 rather than 403."""
        return 'Bearer realm="api"'


def user_name(body: Mapping[str, Any]) -> str:
    """Return the user name that the body gives.

    Raises:
        Problem: 400, it gives none, or something else than text.
    """
    name = body.get("username")
    if not isinstance(name, str) or not name:
        raise invalid({"username": ["This field is required, as text."]})
    return name


def _in_header(request: Request) -> str | None:
    """Return the header's token, something that is none where there is no token in it, None without such a header."""
    scheme, _, token = get_authorization_header(request).partition(b" ")
    return token.strip().decode("latin-1") or "-" if scheme.lower() == b"bearer" else None


def _in_body(body: Mapping[str, Any]) -> list[str]:
    return [_as_text(name, body[name], "access") for name in ("access_token", "token") if body.get(name) is not None]


def _as_text(name: str, value: object, part: str) -> str:
    text = value.get(part) if isinstance(value, Mapping) else value
    if not isinstance(text, str):
        raise invalid({name: [f"A token as text, or an object with {part}."]})
    return text


def _is_called(user: User, name: str) -> bool:
    """Say whether `user` signs in under this name; letters that only look like plain ones are others."""
    return unicodedata.normalize("NFKC", name) == name and name.lower() in {user.username.lower(), user.email.lower()}
