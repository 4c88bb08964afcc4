"""Writes of accounts that have a consequence."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.hooks import token_revoked
from accounts.models import Account, ApiToken, Membership, Role, User
from accounts.tokens import hash_token, looks_like_token, new_token

LAST_USED_EVERY = timedelta(minutes=1)  # a token in use writes its row this often, not on every request


class NameTaken(Exception):
    """The user has a token of that name."""


@transaction.atomic
def create_personal_account(user: User) -> Account:
    """Make the account that owns what `user` registers; called once, at sign-up."""
    account = Account.objects.create(kind=Account.Kind.PERSONAL, name=user.get_username())
    Membership.objects.create(user=user, account=account, role=Role.OWNER)
    return account


def personal_account(user: User) -> Account:
    """Return the user's own account, made now if an operator created the user by hand."""
    found = Account.objects.filter(kind=Account.Kind.PERSONAL, memberships__user=user, memberships__role=Role.OWNER).first()
    return found or create_personal_account(user)


def create_token(*, user: User, name: str, scope: str = ApiToken.Scope.CONTROL, expires_at: datetime | None = None) -> tuple[ApiToken, str]:
    """Make an API token; the second value is the secret, to be shown now and never again.

    Raises:
        NameTaken: the user has a token of that name.
    """
    secret = new_token()
    try:
        with transaction.atomic():
            token = ApiToken.objects.create(
                user=user, name=name, scope=scope, prefix=secret[:10], token_hash=hash_token(secret), expires_at=expires_at
            )
    except IntegrityError as error:
        raise NameTaken(name) from error
    return token, secret


@transaction.atomic
def revoke_token(*, token: ApiToken) -> None:
    """End a token at once, everywhere."""
    token_revoked(token.token_hash)
    token.delete()


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
