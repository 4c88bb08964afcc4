"""Login tokens: what signing in over the API returns.

A login is one row of `ApiToken`: an access token for an hour, and a refresh token that gets a new pair, once. So that a copied
refresh token is noticed, a used one that comes back ends the whole login, thief and owner alike (RFC 9700, 4.14.2); the owner
signs in again, the thief cannot.

Two requests that renew at the same moment are not a theft but a program with two threads, or a request that was sent again
because its answer got lost. One of them wins. The other gets no tokens, and for `GRACE` nothing else happens to it; without
that, such a program would throw itself out. A thief gains nothing from those seconds but that the alarm rings when the token
comes the next time.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts.hooks import token_revoked
from accounts.models import ApiToken, User
from accounts.services.tokens import revoke_token
from accounts.tokens import hash_token, login_of, new_refresh_token, new_token

logger = logging.getLogger(__name__)

GRACE = timedelta(seconds=10)
NAME = "Sign-in"
USER_AGENT_LENGTH = 200


class SignInChanged(Exception):
    """The user's password was changed, or the user was shut out, while the sign-in was under way."""


class UnknownRefreshToken(Exception):
    """It is none, or its login has ended: signed out, too old, or ended because a used token came back."""


class RefreshTokenJustUsed(Exception):
    """Another request renewed with the same token a moment ago and has the new ones."""


@dataclass(frozen=True, slots=True)
class LoginTokens:
    """What a program gets for a sign-in; the secrets are shown now and never again."""

    access: str
    refresh: str
    id: str  # the user's, 32 hex digits: a name, not a key
    user_name: str
    expires_in: int  # seconds until the access token ends


def _lifetime() -> timedelta:
    return timedelta(minutes=settings.LOGIN_ACCESS_MINUTES)


@transaction.atomic
def log_in(*, user: User, ip: str | None, user_agent: str) -> LoginTokens:
    """Open a login for `user`, whose password and second factor were checked just now.

    Locks the user's row: of more than `LOGINS_PER_USER` logins, those end that were renewed the longest ago, and a password that
    is changed at the same moment either ends this login too or keeps it from being made.

    Raises:
        SignInChanged: what was checked is not true any more.
    """
    locked = User.objects.select_for_update(no_key=True).filter(pk=user.pk, is_active=True, password=user.password).first()
    if locked is None:
        raise SignInChanged
    logins = ApiToken.objects.filter(user=locked, kind=ApiToken.Kind.LOGIN).order_by("-refresh_expires_at")
    for oldest in logins[settings.LOGINS_PER_USER - 1 :]:
        revoke_token(token=oldest)
    now = timezone.now()
    User.objects.filter(pk=user.pk).update(last_login=now)
    login = ApiToken(
        user=locked,
        kind=ApiToken.Kind.LOGIN,
        name=NAME,
        scopes=list(ApiToken.Scope),
        ip=ip,
        user_agent=_printable(user_agent)[:USER_AGENT_LENGTH],
    )
    logger.info("User %s opened login %s from %s", user.pk, login.pk, ip)
    return _issue(login, now)


def renew_login(*, refresh: str, ip: str | None, user_agent: str) -> LoginTokens:
    """Return new tokens for a refresh token; the old access and refresh tokens are dead from then on.

    Raises:
        UnknownRefreshToken: the token is none, or its login has ended, possibly by this very call.
        RefreshTokenJustUsed: another request was faster.
    """
    login_id = login_of(refresh)
    if login_id is None:
        raise UnknownRefreshToken
    now = timezone.now()
    with transaction.atomic():
        live = ApiToken.objects.select_for_update(of=("self",)).select_related("user")
        login = live.filter(pk=login_id, user__is_active=True, refresh_expires_at__gt=now).first()
        if login is None:
            raise UnknownRefreshToken
        given = hash_token(refresh)
        if constant_time_compare(given, login.refresh_hash or ""):
            token_revoked(login.token_hash)
            login.used_refresh_hash = given
            login.ip, login.user_agent = ip, _printable(user_agent)[:USER_AGENT_LENGTH]
            return _issue(login, now)
        if given == login.used_refresh_hash and now - _renewed_at(login) < GRACE:
            raise RefreshTokenJustUsed
        revoke_token(token=login)
    logger.warning("a used refresh token of user %s came back: login %s ended", login.user_id, login_id)
    raise UnknownRefreshToken


def log_out(*, token: ApiToken) -> None:
    """End a login at once, access and refresh token alike."""
    revoke_token(token=token)


def delete_ended_logins() -> int:
    """Delete the logins that can no longer be renewed; returns how many there were."""
    ended = ApiToken.objects.filter(kind=ApiToken.Kind.LOGIN, refresh_expires_at__lte=timezone.now())
    return ended.delete()[0]  # their access tokens have long been over, so nobody needs to be told


def _issue(login: ApiToken, now: datetime) -> LoginTokens:
    """Give the login a new pair of tokens and save it."""
    access, refresh = new_token(), new_refresh_token(login.pk)
    login.prefix, login.token_hash, login.refresh_hash = access[:10], hash_token(access), hash_token(refresh)
    login.expires_at = now + _lifetime()
    login.refresh_expires_at = max(login.expires_at, now + timedelta(days=settings.LOGIN_DAYS))
    login.save()
    return LoginTokens(access, refresh, login.user.uuid.hex, login.user.username, int(_lifetime().total_seconds()))


def _renewed_at(login: ApiToken) -> datetime:
    """Return when the login got its current tokens."""
    assert login.expires_at is not None  # noqa: S101  # the database sees to that
    return login.expires_at - _lifetime()


def _printable(text: str) -> str:
    """Return what a client calls itself, without what a list could not show or PostgreSQL not store."""
    return "".join(letter for letter in text if letter.isprintable())
