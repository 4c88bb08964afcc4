"""Signing in and out, and renewing a login."""

from __future__ import annotations

from typing import Any, ClassVar

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services
from accounts.api.legacy.base import TOKEN, WRONG_CODE, CodeField, NameField, OpenView, PasswordField, SignedIn, SignedInView
from accounts.api.legacy.limits import REFRESH, check, too_many
from accounts.code_channels import CodeNotSent
from accounts.http import whence
from accounts.models import ApiToken, User
from accounts.services import factors, sent_codes, tries
from iotportal.legacy import Body, answer
from iotportal.legacy_schema import Answer, describe
from iotportal.problems import Problem, invalid
from iotportal.serializers import TextField


class LoginBody(Body):
    """Who signs in."""

    username = NameField()
    password = PasswordField()
    code = CodeField(required=False, help_text="With a second factor: the code of the app, or a recovery code.")
    aliases: ClassVar = {"username": ("email",)}


class TokenAnswer(serializers.Serializer[Any]):
    """The tokens of a login."""

    access = serializers.CharField()
    refresh = serializers.CharField(help_text="Gets new tokens, once.")
    id = serializers.CharField(help_text="The user's id, 32 hex digits: a name, not a key.")


class LoginAnswer(Answer):
    """What a login gets."""

    username = serializers.CharField(help_text="The user name, to be sent with every other request.")
    access_token = serializers.CharField(help_text="The same as `token.access`.")
    token = TokenAnswer()
    expires_in = serializers.IntegerField(help_text="Seconds until the access token ends.")


_TOKENS = {
    "username": "alice",
    "access_token": TOKEN,
    "token": {"access": TOKEN, "refresh": "iotr_9fj2…", "id": "0123456789abcdef0123456789abcdef"},
    "expires_in": 3600,
}


def _tokens_answer(message: str, tokens: services.LoginTokens) -> Response:
    pair = {"access": tokens.access, "refresh": tokens.refresh, "id": tokens.id}
    return answer(message, username=tokens.user_name, access_token=tokens.access, token=pair, expires_in=tokens.expires_in)


def _no_match() -> Problem:
    return Problem(401, "invalid_credentials", "User name and password do not match.")


class LoginView(OpenView):
    """Sign in."""

    @describe(
        "user_login",
        "Sign in",
        takes=LoginBody,
        answers=LoginAnswer,
        sent={"username": "alice", "password": "green pump 42 runs"},
        got={"message": "Signed in.", **_TOKENS},
        errors={
            401: ("invalid_credentials", "User name and password do not match."),
            403: ("email_not_confirmed", "Confirm the e-mail address first."),
        },
    )
    def post(self, request: Request) -> Response:
        """Return tokens for user name (or e-mail) and password, and the second factor's code where the user has one."""
        http, taken = request._request, self.taken(request, LoginBody)
        user = _checked(http, taken["username"].strip(), taken["password"])
        if not EmailAddress.objects.filter(user=user, verified=True).exists():
            raise Problem(403, "email_not_confirmed", "Confirm the e-mail address first.")
        _check_second_factor(user, taken.get("code"))
        try:
            tokens = services.log_in(user=user, **whence(http))
        except services.SignInChanged as error:
            raise _no_match() from error
        tries.know_address(names=(user.username, user.email), address=tries.network(get_adapter().get_client_ip(http)))
        return _tokens_answer("Signed in.", tokens)


def _checked(request: HttpRequest, name: str, password: str) -> User:
    """Return the user whose name and password these are, unless too many were wrong (accounts/services/tries.py)."""
    adapter = get_adapter(request)
    credentials = {"username": name, "password": password, **({"email": name} if "@" in name else {})}
    try:
        user: User | None = adapter.authenticate(request, **credentials)
    except ValidationError as error:
        raise too_many(getattr(request, "wait_s", 60)) from error
    if user is None:
        raise _no_match()
    if not user.is_active:
        raise Problem(403, "user_inactive", "This user was shut out. Ask the portal's operator.")
    return user


def _check_second_factor(user: User, code: str | None) -> None:
    """Take the code of the second factor, or send one to a user who has nothing else.

    Raises:
        Problem: 401 or 429, unless the code is good or none is needed.
    """
    if not factors.needs_second_factor(user):
        return
    if code is None:
        raise Problem(401, "second_factor_needed", _ask_for_code(user))
    try:
        if factors.check_code(user, code, challenge=cache.get(_challenge(user), "")):
            return
    except factors.TooManyTries as error:
        raise too_many(error.wait_s) from error
    raise Problem(401, "invalid_code", WRONG_CODE)


def _ask_for_code(user: User) -> str:
    """Return what a client is to do next. What was sent is kept with the user, as an old client could not bring its challenge."""
    if not factors.ways(user).only_code:
        return "Send the code of your app, or a recovery code, too, as code."
    try:
        cache.set(_challenge(user), sent_codes.send_code(user=user), settings.CODE_MINUTES * 60)
    except CodeNotSent as error:
        return str(error)
    except sent_codes.TooSoon:
        pass  # the one before is on its way
    return f"A code is on its way to {sent_codes.hint(user=user)}. Send it too, as code."


def _challenge(user: User) -> str:
    return f"legacy-challenge:{user.pk}"


class RefreshBody(Body):
    """The refresh token."""

    refresh = TextField(required=False, max_length=200, help_text="The refresh token; it may also come as `token.refresh`.")
    aliases: ClassVar = {"refresh": ("refresh_token",)}


class RefreshView(OpenView):
    """Renew a login."""

    @describe(
        "user_refresh",
        "Renew a login",
        takes=RefreshBody,
        answers=LoginAnswer,
        sent={"refresh": "iotr_9fj2…"},
        got={"message": "Renewed.", **_TOKENS},
        errors={
            401: ("invalid_token", "This login has ended. Sign in again."),
            409: ("refresh_token_used", "Another request renewed this login just now: use its tokens."),
        },
    )
    def post(self, request: Request) -> Response:
        """Return new tokens. A refresh token works once; one that comes back later ends the login, as it may have been stolen."""
        http = request._request
        check(REFRESH, http)
        data = request.data
        inside = data.get("token") if isinstance(data, dict) else None
        refresh = self.taken(request, RefreshBody).get("refresh") or (inside.get("refresh") if isinstance(inside, dict) else None)
        if not isinstance(refresh, str):
            raise invalid({"refresh": ["This field is required, as text."]})
        try:
            tokens = services.renew_login(refresh=refresh, **whence(http))
        except services.UnknownRefreshToken as error:
            raise Problem(401, "invalid_token", "This login has ended. Sign in again.") from error
        except services.RefreshTokenJustUsed as error:
            raise Problem(409, "refresh_token_used", "Another request renewed this login just now: use its tokens.") from error
        return _tokens_answer("Renewed.", tokens)


class LogoutView(SignedInView):
    """Sign out."""

    http_method_names = ("post",)

    @describe(
        "user_logout",
        "Sign out",
        takes=SignedIn,
        answers=Answer,
        sent={"username": "alice", "access_token": TOKEN},
        got={"message": "Signed out."},
        errors={403: ("permission_denied", "A personal API token is revoked on the Account page.")},
    )
    def post(self, request: Request) -> Response:
        """End this login's access and refresh token, at once. A personal API token is ended on the Account page instead."""
        token = request.auth
        if not isinstance(token, ApiToken) or token.kind != ApiToken.Kind.LOGIN:
            raise Problem(403, "permission_denied", "A personal API token is revoked on the Account page.")
        services.log_out(token=token)
        return answer("Signed out.")
