"""What is left, for the head of every page: kept for some seconds, so that a page need not ask the database for it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.core.cache import cache

from accounts.models import Membership, User
from accounts.services import personal_account
from billing.models import Price
from billing.services.prices import price_of
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


@dataclass(frozen=True, slots=True)
class CommandCost:
    """What a command of an account costs: nothing for `free` more of the `left`, then `credits` for `per`; `per` 0: no price."""

    left: int
    free: int
    credits: int
    per: int


def command_cost(account_id: UUID) -> CommandCost:
    """Return what a command of an account costs now."""
    found = cache.get(_cost_key(account_id))
    if found is None:
        price, has = price_of(Price.Item.MESSAGE), subscription(account_id)
        free = max(0, has.free - has.used)
        found = [has.left, free, price.credits if price else 0, price.per if price else 0]
        cache.set(_cost_key(account_id), found, KEPT_S)
    return CommandCost(*found)


def forget_counters(account_id: UUID) -> None:
    """Have the heads of the members' pages show what is new."""
    members = Membership.objects.filter(account_id=account_id).values_list("user_id", flat=True)
    cache.delete_many([_cost_key(account_id), *(_key(pk) for pk in members)])


def _cost_key(account_id: UUID) -> str:
    return f"command_cost:{account_id.hex}"


def _key(user_id: int) -> str:
    return f"counter:{user_id}"
