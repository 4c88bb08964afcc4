"""Who is in an organisation, and with which role.

Whoever changes that locks the organisation's row first and reads the roles again behind the lock: two owners who step down at
once cannot leave it without one, and somebody who lost a role a moment ago cannot use it once more.

Nobody hands out, changes or takes away a role above their own. `as_owner=False` makes an owner an admin for one call: personal
tokens never reach what only owners may do.
"""

from __future__ import annotations

import logging

from django.db import transaction
from django.db.models import QuerySet

from accounts.access import roles_up_to
from accounts.hooks import MembershipChange, membership_changed
from accounts.models import Account, Invitation, Membership, Role, User
from accounts.services.errors import LastOwner, NoSuchMember, NotAnOrganisation, RoleTooLow

logger = logging.getLogger(__name__)


@transaction.atomic
def change_role(*, account: Account, by: User, user: User, role: str, as_owner: bool = True) -> Membership:
    """Give a member another role; calls `hooks.membership_changed`.

    Invitations that the member gave out and may not give out any more are withdrawn.

    Raises:
        NotAnOrganisation: it is a personal account.
        NoSuchMember: `by` or `user` is none.
        RoleTooLow: the member's old or new role is above that of `by`, or `by` does not manage it.
        LastOwner: it would have no owner.
    """
    locked = lock_organisation(account)
    reach = roles_up_to(acting_role(locked, by, as_owner=as_owner))
    membership = _membership(locked, user)
    if membership.role not in reach or role not in reach:
        raise RoleTooLow
    if membership.role == role:
        return membership
    if role != Role.OWNER:
        _keep_an_owner(membership)
    membership.role = role
    membership.save(update_fields=["role"])
    _withdraw_invitations(membership, roles_up_to(role))
    tell(membership)
    logger.info("User %s made user %s %s in organisation %s", by.pk, user.pk, role, locked.pk)
    return membership


@transaction.atomic
def remove_member(*, account: Account, by: User, user: User, as_owner: bool = True) -> None:
    """Take a member out of an organisation, or let them leave (`by` is `user`); calls `hooks.membership_changed`.

    Invitations that the member gave out are withdrawn.

    Raises:
        NotAnOrganisation: it is a personal account.
        NoSuchMember: `by` or `user` is none.
        RoleTooLow: the member's role is above that of `by`, or `by` does not manage it.
        LastOwner: it would have no owner.
    """
    locked = lock_organisation(account)
    role = acting_role(locked, by, as_owner=as_owner)
    membership = _membership(locked, user)
    leaves = by == user and membership.role == role
    if not leaves and membership.role not in roles_up_to(role):
        raise RoleTooLow
    _keep_an_owner(membership)
    _withdraw_invitations(membership, [])
    end_membership(membership)
    logger.info("User %s took user %s out of organisation %s", by.pk, user.pk, locked.pk)


def lock_organisation(account: Account, *, changing_key: bool = False) -> Account:
    """Return the organisation with its row locked until the end of the transaction, against new devices too if asked.

    Raises:
        NotAnOrganisation: it is a personal account.
        NoSuchMember: it is gone.
    """
    # Whatever is to belong to an account locks its row for its key, so a lock that spares the key lets devices be registered.
    locked = Account.objects.select_for_update(no_key=not changing_key).filter(pk=account.pk).first()
    if locked is None:
        raise NoSuchMember
    if locked.kind != Account.Kind.ORGANISATION:
        raise NotAnOrganisation
    return locked


def acting_role(account: Account, user: User, *, as_owner: bool = True) -> str:
    """Return the role with which `user` acts in a locked organisation. Raises NoSuchMember."""
    role = _membership(account, user).role
    return Role.ADMIN if role == Role.OWNER and not as_owner else role


def end_membership(membership: Membership) -> None:
    """Delete a membership and tell who wants to know."""
    change = MembershipChange(membership.account_id, membership.user_id, None)
    membership.delete()
    membership_changed(change)


def tell(membership: Membership) -> None:
    """Tell who wants to know that a membership is new, or has another role."""
    membership_changed(MembershipChange(membership.account_id, membership.user_id, membership.role))


def other_owners(membership: Membership) -> QuerySet[Membership]:
    """Return the owners beside this one who can sign in and are not about to have their account deleted."""
    owners = Membership.objects.filter(account_id=membership.account_id, role=Role.OWNER)
    return owners.filter(user__is_active=True, user__delete_at=None).exclude(pk=membership.pk)


def _membership(account: Account, user: User) -> Membership:
    membership = Membership.objects.filter(account=account, user=user).first()
    if membership is None:
        raise NoSuchMember
    return membership


def _keep_an_owner(membership: Membership) -> None:
    """Refuse to let the last owner go."""
    if membership.role == Role.OWNER and not other_owners(membership).exists():
        raise LastOwner


def _withdraw_invitations(membership: Membership, roles: list[Role]) -> None:
    """Withdraw the invitations that a member gave out to other than `roles`."""
    given = Invitation.objects.filter(account_id=membership.account_id, invited_by_id=membership.user_id)
    given.exclude(role__in=roles).delete()
