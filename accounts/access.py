"""The one place that says who may do what with an account and what is in it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import Http404

from accounts.models import Account, ApiToken, Membership, Role, User


class Action(StrEnum):
    """What somebody wants to do with an account or an object of it."""

    READ = "read"
    CONTROL = "control"
    MANAGE = "manage"
    BILLING = "billing"
    OWN = "own"  # hand out the highest roles, delete the account


_ROLES: dict[Action, frozenset[str]] = {
    Action.READ: frozenset({Role.VIEWER, Role.OPERATOR, Role.ADMIN, Role.OWNER}),
    Action.CONTROL: frozenset({Role.OPERATOR, Role.ADMIN, Role.OWNER}),
    Action.MANAGE: frozenset({Role.ADMIN, Role.OWNER}),
    Action.BILLING: frozenset({Role.ADMIN, Role.OWNER}),
    Action.OWN: frozenset({Role.OWNER}),
}
# A scope includes the ones before it, but for billing, which stands alone. No scope reaches OWN: a token that lies about for a
# year must not be able to take an organisation away from those who own it.
_SCOPES: dict[Action, frozenset[str]] = {
    Action.READ: frozenset({"read", "control", "manage"}),
    Action.CONTROL: frozenset({"control", "manage"}),
    Action.MANAGE: frozenset({"manage"}),
    Action.BILLING: frozenset({"billing"}),
    Action.OWN: frozenset(),
}


def role_may(role: str, action: Action) -> bool:
    """Say whether a member with `role` may do `action`."""
    return role in _ROLES[action]


def scopes_may(scopes: Iterable[str], action: Action) -> bool:
    """Say whether a token with `scopes` may do `action` (within what its user may)."""
    return not _SCOPES[action].isdisjoint(scopes)


def token_may(kind: str, scopes: Iterable[str], action: Action) -> bool:
    """Say whether a token of `kind` with `scopes` may do `action` (within what its user may); a login token may do all."""
    return kind == ApiToken.Kind.LOGIN or scopes_may(scopes, action)


def roles_for(action: Action) -> frozenset[str]:
    """Return the roles that may do `action`."""
    return _ROLES[action]


def roles_up_to(role: str) -> list[Role]:
    """Return what a member with `role` may hand out and take away, the lowest first: nobody reaches above themselves."""
    known = list(Role)  # in order: each role includes the ones before it
    return known[: known.index(Role(role)) + 1] if role_may(role, Action.MANAGE) else []


def access_membership(user: User, account_id: UUID, action: Action = Action.READ) -> Membership:
    """Return the membership of `user` in an account, with the account, if it allows `action`.

    Raises:
        Http404: there is no such account, or the user is no member; both look the same.
        PermissionDenied: a member whose role does not reach that far.
    """
    membership = Membership.objects.select_related("account").filter(user=user, account_id=account_id).first()
    if membership is None:
        raise Http404("No such account.")
    if not role_may(membership.role, action):
        raise PermissionDenied("Your role in this account does not allow that.")
    return membership


def access_account(user: User, account_id: UUID, action: Action = Action.READ) -> Account:
    """Return the account if `user` may do `action` in it.

    Raises:
        Http404: there is no such account, or the user is no member; both look the same.
        PermissionDenied: a member whose role does not reach that far.
    """
    return access_membership(user, account_id, action).account


def hold_account(account: Account) -> None:
    """Keep an account from being closed until the end of the transaction, which is about to give it something to own.

    Raises:
        Http404: it was closed: nobody is a member any more.
    """
    with connection.cursor() as db:  # the lock that a foreign key takes anyway, but at the commit, which is too late
        db.execute("SELECT 1 FROM accounts_account WHERE id = %s FOR KEY SHARE", [account.pk])
    if not Membership.objects.filter(account=account).exists():
        raise Http404("No such account.")
