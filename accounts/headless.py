"""allauth's flows as JSON, below /api/auth/app/v1/: which of them there are, what of a user they show, what a sign-in returns.

A sign-in returns a session token, which these flows and API v1 take in `X-Session-Token`, and the same tokens as any other
sign-in of a program (`accounts.services.login_tokens`): the access token is what the command path takes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Any

from allauth.core import context
from allauth.headless.adapter import DefaultHeadlessAdapter
from allauth.headless.spec.internal.schema import get_schema
from allauth.headless.tokens.strategies.sessions import SessionTokenStrategy
from django.http import HttpRequest, JsonResponse
from django.urls import URLPattern, URLResolver, resolve

from accounts.http import whence
from accounts.models import ApiToken, User
from accounts.services import login_tokens, revoke_token
from accounts.tokens import login_of

_ABOUT = """Sign up, sign in, second factors, passwords, addresses and sessions, for programs.

An answer with status 401 lists in `data.flows` what is to be done next: type the code of a mail, bring a second factor. Send the
`meta.session_token` of one answer as `X-Session-Token` with the next request; each answer may bring a new one. Once signed in,
`meta.access_token` is what the rest of the API takes as a Bearer token, and `meta.refresh_token` renews it, once.
"""
_LOGIN = "login_token"  # in the session: the login that the sign-in opened, and that ends with it


@dataclass
class UserData:
    """A user as these answers show one."""

    id: str = field(metadata={"description": "The user's id.", "example": "8c4d9e0b5f4a4f0c9f6f0f6a1c2b3d4e"})
    username: str = field(metadata={"description": "The user name.", "example": "alice"})
    email: str = field(metadata={"description": "The e-mail address.", "example": "alice@example.com"})
    display: str = field(metadata={"description": "How pages call the user.", "example": "Alice Example"})
    has_usable_password: bool = field(metadata={"description": "Whether the user has a password.", "example": True})


class HeadlessAdapter(DefaultHeadlessAdapter):  # type: ignore[misc]  # allauth has no types
    """Shows the id that people may see, not the row's number."""

    def get_user_dataclass(self) -> type[UserData]:
        """Return the shape, which the description of the API shows as well."""
        return UserData

    def user_as_dataclass(self, user: User) -> UserData:
        """Return `user` in that shape."""
        return UserData(
            id=user.uuid.hex,
            username=user.get_username(),
            email=user.email,
            display=user.get_full_name() or user.get_username(),
            has_usable_password=user.has_usable_password(),
        )


class TokenStrategy(SessionTokenStrategy):  # type: ignore[misc]  # allauth has no types
    """Opens a login with every sign-in."""

    def create_access_token_payload(self, request: HttpRequest) -> dict[str, object] | None:
        """Return the tokens of a new login, which ends when the session signs out; None if the password changed meanwhile."""
        assert isinstance(request.user, User)  # noqa: S101  # allauth asks this once somebody has signed in
        try:
            tokens = login_tokens.log_in(user=request.user, **whence(request))
        except login_tokens.SignInChanged:
            return None
        request.session[_LOGIN] = str(login_of(tokens.refresh))
        return {"access_token": tokens.access, "refresh_token": tokens.refresh, "expires_in": tokens.expires_in}

    def refresh_token(self, refresh_token: str) -> tuple[str, str] | None:
        """Return a new pair for a refresh token, or None where there is none for it."""
        try:
            tokens = login_tokens.renew_login(refresh=refresh_token, **whence(context.request))
        except (login_tokens.UnknownRefreshToken, login_tokens.RefreshTokenJustUsed):
            return None
        return tokens.access, tokens.refresh


def end_login(sender: object, request: HttpRequest, **kwargs: object) -> None:
    """End the login that the session opened; called when it signs out."""
    opened = request.session.get(_LOGIN)
    for token in ApiToken.objects.filter(pk=opened) if opened else ():
        revoke_token(token=token)


def too_many_tries(response: JsonResponse, wait_s: int) -> JsonResponse:
    """Return an answer that allauth meant as 400 as what it is: there were too many tries, and the next is looked at later."""
    said = {**json.loads(response.content), "status": HTTPStatus.TOO_MANY_REQUESTS}
    response.content, response.status_code = json.dumps(said).encode(), HTTPStatus.TOO_MANY_REQUESTS
    response["Retry-After"] = str(wait_s)
    return response


@cache
def sign_in_schema() -> dict[str, Any]:
    """Return allauth's OpenAPI document, with what there is of it here and a description of ours.

    Its own check for that is of no use below /api/, where every path leads somewhere, if only to "not found".
    """
    schema: dict[str, Any] = get_schema()
    schema["info"] = {"title": "IoT Portal: signing in", "version": "1", "description": _ABOUT}
    schema["paths"] = {path: methods for path, methods in schema["paths"].items() if resolve(path).app_names[:1] == ["headless"]}
    used = {tag for methods in schema["paths"].values() for method in methods.values() for tag in method.get("tags", [])}
    schema["tags"] = [tag for tag in schema["tags"] if tag["name"] in used]
    schema.pop("x-tagGroups", None)
    return schema


def without_phones(patterns: Sequence[URLPattern | URLResolver]) -> Iterator[URLPattern | URLResolver]:
    """Yield allauth's URL patterns but those for phone numbers, which the portal does elsewhere, and a browser's redirect."""
    for one in patterns:
        if isinstance(one, URLResolver):
            kept = list(without_phones(one.url_patterns))
            yield URLResolver(one.pattern, kept, one.default_kwargs, one.app_name, one.namespace)
        elif "phone" not in (one.name or "") and one.name != "redirect_to_provider":
            yield one
