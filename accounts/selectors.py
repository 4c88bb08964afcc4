"""Reads of accounts for pages and the API."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from django.db.models import Case, IntegerField, Q, QuerySet, Value, When
from django.db.models.functions import Lower

from accounts.access import Action, roles_for
from accounts.models import Account, Membership, Role, User
from iotportal.rows import rows

_RANK = Case(*(When(role=role, then=Value(rank)) for rank, role in enumerate(Role)), output_field=IntegerField())


def find_user(name: str) -> User | None:
    """Return the active user who signs in under this user name or e-mail address, upper and lower case counting as the same."""
    same = Lower(Value(name))
    users = User.objects.alias(lower_name=Lower("username"), lower_email=Lower("email")).filter(is_active=True)
    # A name with @ is its owner's own address, so that no two users can be meant; the user name goes first all the same.
    found = list(users.filter(Q(lower_name=same) | Q(lower_email=same))[:2])
    return next((user for user in found if user.username.lower() == name.lower()), found[0] if found else None)


def memberships_of(user: User, action: Action = Action.READ) -> QuerySet[Membership]:
    """Return the memberships in which `user` may do `action`, with their accounts: the personal one first, then by name."""
    found = user.memberships.filter(role__in=roles_for(action)).select_related("account")
    return found.annotate(personal=Case(When(account__kind=Account.Kind.PERSONAL, then=0), default=1)).order_by(
        "personal", Lower("account__name"), "account_id"
    )


class Standing(NamedTuple):
    """What a user is in an account; the rest is the account's."""

    account_id: UUID
    role: str
    kind: str
    name: str


_STANDINGS = """
    SELECT account.id, member.role, account.kind, account.name
    FROM accounts_membership member JOIN accounts_account account ON account.id = member.account_id
    WHERE member.user_id = %s AND member.role = ANY(%s)
    ORDER BY account.kind <> 'personal', lower(account.name), account.id
"""


def standings(user: User) -> list[Standing]:
    """Return what `memberships_of` does, for pages: asked once per user object, which lives as long as its request."""
    known: list[Standing] | None = user.__dict__.get("_standings")
    if known is None:
        known = rows(Standing, _STANDINGS, [user.pk, list(roles_for(Action.READ))])
        user.__dict__["_standings"] = known
    return known


def forget_standings(user: User) -> None:
    """Have `standings` ask again: for work on behalf of a user that outlives a page, in which they may leave an account."""
    user.__dict__.pop("_standings", None)


def members_of(account: Account) -> QuerySet[Membership]:
    """Return the members of an account with their users: owners first, then by user name."""
    return account.memberships.select_related("user").annotate(rank=_RANK).order_by("-rank", Lower("user__username"))
