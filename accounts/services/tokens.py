"""API tokens: made, found, ended."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.hooks import token_revoked
from accounts.models import ApiToken, User
from accounts.tokens import hash_token, looks_like_token, new_token

LAST_USED_EVERY = timedelta(minutes=1)  # a token in use writes its row this often, not on every request


class NameTaken(Exception):
    """The user has a token of that name."""


class TooManyTokens(Exception):
    """The user has as many tokens as one user may have."""


def create_token(
    *, user: User, name: str, scopes: Iterable[str] = (ApiToken.Scope.CONTROL,), expires_at: datetime | None = None
) -> tuple[ApiToken, str]:
    """Make a personal token; the second value is the secret, to be shown now and never again.

    Locks the user's row, so that two requests at once cannot pass the limit.

    Raises:
        NameTaken: the user has a token of that name.
        TooManyTokens: the user has `API_TOKENS_PER_USER` of them.
    """
    secret = new_token()
    try:
        with transaction.atomic():
            User.objects.select_for_update(no_key=True).get(pk=user.pk)
            if ApiToken.objects.filter(user=user, kind=ApiToken.Kind.PERSONAL).count() >= settings.API_TOKENS_PER_USER:
                raise TooManyTokens
            token = ApiToken.objects.create(
                user=user,
                name=name,
                scopes=sorted(set(scopes)),
                prefix=secret[:10],
                token_hash=hash_token(secret),
                expires_at=expires_at,
            )
    except IntegrityError as error:
        raise NameTaken(name) from error
    return token, secret


@transaction.atomic
def revoke_token(*, token: ApiToken) -> None:
    """End a token at once, everywhere."""
    token_revoked(token.token_hash)
    token.delete()


@transaction.atomic
def revoke_all_tokens(*, user: User) -> None:
    """End all tokens of `user` at once, everywhere."""
    for token in ApiToken.objects.filter(user=user):
        revoke_token(token=token)


def find_token(secret: str) -> ApiToken | None:
    """Return the live token of an active user that `secret` is, noting (to the minute) that it was used."""
    if not looks_like_token(secret):
        return None
    token = ApiToken.objects.select_related("user").filter(token_hash=hash_token(secret), user__is_active=True).first()
    if token is None or token.is_expired():
        return None
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at > LAST_USED_EVERY:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token
