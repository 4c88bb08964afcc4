"""What is left, for the head of every page: kept for some seconds, so that a page need not ask the database for it."""

from __future__ import annotations

from uuid import UUID

from django.core.cache import cache

from accounts.models import Membership, User
from accounts.services import personal_account
from billing.services.quota import subscription

KEPT_S = 15


def messages_left(user: User) -> tuple[str, int]:
    """Return the id of the user's own account, and how many messages it may still send this month."""
    found = cache.get(_key(user.pk))
    if found is None:
        account = personal_account(user)
        found = [str(account.pk), subscription(account.pk).left]
        cache.set(_key(user.pk), found, KEPT_S)
    return found[0], found[1]


def forget_counters(account_id: UUID) -> None:
    """Have the heads of the members' pages show what is new."""
    cache.delete_many([_key(pk) for pk in Membership.objects.filter(account_id=account_id).values_list("user_id", flat=True)])


def _key(user_id: int) -> str:
    return f"counter:{user_id}"
