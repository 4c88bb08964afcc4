"""Invitations into an organisation: sent to an address, taken by whoever has confirmed that address as theirs.

The link in the mail carries 256 random bits, of which only the SHA-256 is stored. It shows what the invitation is; taking it
needs more: a signed-in user with that confirmed address. So a forwarded mail lets nobody else in.

An invitation is as good as the one who gave it: it counts only while they are a member who may still hand out that role.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from datetime import timedelta
from functools import reduce
from operator import or_

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Lower
from django.utils import timezone

from accounts import mail
from accounts.access import roles_up_to
from accounts.limits import Limit
from accounts.models import Account, Invitation, Membership, Role, User
from accounts.services.errors import (
    AlreadyInvited,
    AlreadyMember,
    NoSuchInvitation,
    NotInvited,
    RoleTooLow,
    TooManyInvitations,
    TooManyMembers,
)
from accounts.services.members import acting_role, lock_organisation, tell

logger = logging.getLogger(__name__)

LIFETIME = timedelta(days=7)
# These are mails to strangers in the portal's name: bounded per user, organisation and address, so that nobody can send spam with
# them, and lower per address within one organisation, so that one alone cannot use up what an address may get.
_LIMITS = {
    "user": Limit("invite_user", "30/h/key,100/d/key"),
    "account": Limit("invite_account", "30/h/key,100/d/key"),
    "pair": Limit("invite_pair", "5/d/key"),
    "address": Limit("invite_address", "20/d/key"),
}


def invite(*, account: Account, by: User, email: str, role: str, as_owner: bool = True) -> Invitation:
    """Offer an address a role in an organisation and send it the link; an invitation that is too old gives way.

    Raises:
        NotAnOrganisation: it is a personal account.
        NoSuchMember, RoleTooLow: `by` does not manage it, or the role is above theirs.
        AlreadyMember, AlreadyInvited: the address has no need of it.
        TooManyMembers: there is no room for one more.
        TooManyInvitations: too many were sent of late.
    """
    email = email.lower()
    with transaction.atomic():
        locked = lock_organisation(account)
        if role not in roles_up_to(acting_role(locked, by, as_owner=as_owner)):
            raise RoleTooLow
        if EmailAddress.objects.filter(email__iexact=email, verified=True, user__memberships__account=locked).exists():
            raise AlreadyMember
        same = locked.invitations.annotate(address=Lower("email")).filter(address=email)
        if same.filter(expires_at__gt=timezone.now()).exists():
            raise AlreadyInvited
        same.delete()
        open_ones = locked.invitations.filter(expires_at__gt=timezone.now()).count()
        if locked.memberships.count() + open_ones >= settings.MEMBERS_PER_ORGANISATION:
            raise TooManyMembers
        _count_mail(locked, by, email)
        secret = _new_secret()
        invitation = Invitation.objects.create(
            account=locked,
            email=email,
            role=role,
            secret_hash=_hash(secret),
            invited_by=by,
            expires_at=timezone.now() + LIFETIME,
        )
        _send(invitation, secret)
    logger.info("User %s invited somebody into organisation %s", by.pk, account.pk)
    return invitation


@transaction.atomic
def resend_invitation(*, invitation: Invitation, by: User, as_owner: bool = True) -> Invitation:
    """Send an invitation again, in the name of `by`: with a new link, which ends the old one, and seven new days.

    Raises:
        NoSuchInvitation: it was taken or withdrawn.
        NoSuchMember, RoleTooLow: `by` does not manage the organisation, or the role is above theirs.
        TooManyInvitations: too many were sent of late.
    """
    locked, fresh = _lock(invitation)
    if fresh.role not in roles_up_to(acting_role(locked, by, as_owner=as_owner)):
        raise RoleTooLow
    _count_mail(locked, by, fresh.email)
    secret = _new_secret()
    fresh.secret_hash, fresh.invited_by, fresh.expires_at = _hash(secret), by, timezone.now() + LIFETIME
    fresh.save(update_fields=["secret_hash", "invited_by", "expires_at"])
    _send(fresh, secret)
    return fresh


@transaction.atomic
def withdraw_invitation(*, invitation: Invitation, by: User, as_owner: bool = True) -> None:
    """End an invitation before it was taken.

    Raises:
        NoSuchInvitation: it was taken or withdrawn.
        NoSuchMember, RoleTooLow: `by` does not manage the organisation, or the role is above theirs.
    """
    locked, fresh = _lock(invitation)
    if fresh.role not in roles_up_to(acting_role(locked, by, as_owner=as_owner)):
        raise RoleTooLow
    fresh.delete()


def find_invitation(secret: str) -> Invitation | None:
    """Return the open invitation of a link."""
    if not 0 < len(secret) <= 100:
        return None
    return open_invitations().filter(secret_hash=_hash(secret)).first()


def open_invitations() -> QuerySet[Invitation]:
    """Return the invitations that can be taken: not too old, and their giver may still give them."""
    giver = Membership.objects.filter(account_id=OuterRef("account_id"), user_id=OuterRef("invited_by_id"), user__is_active=True)
    may_give = [Q(Exists(giver.filter(role=role)), role__in=reach) for role in Role if (reach := roles_up_to(role))]
    return Invitation.objects.filter(reduce(or_, may_give), expires_at__gt=timezone.now()).select_related("account", "invited_by")


def is_invited(invitation: Invitation, user: User) -> bool:
    """Say whether `user` has confirmed the invitation's address as theirs."""
    confirmed: bool = EmailAddress.objects.filter(user=user, email__iexact=invitation.email, verified=True).exists()
    return confirmed


def invitations_to(user: User) -> list[Invitation]:
    """Return the open invitations to the confirmed addresses of `user`, the oldest first."""
    addresses = EmailAddress.objects.filter(user=user, verified=True).values(address=Lower("email"))
    return list(open_invitations().annotate(address=Lower("email")).filter(address__in=addresses))


@transaction.atomic
def accept_invitation(*, invitation: Invitation, user: User) -> Membership:
    """Make `user` a member as the invitation says; calls `hooks.membership_changed`. Who is a member keeps their role.

    Raises:
        NoSuchInvitation: it was taken, withdrawn, is too old, or is not its giver's to give any more.
        NotInvited: it is for another address.
        TooManyMembers: there is no room for one more.
    """
    locked, fresh = _lock(invitation)
    if not open_invitations().filter(pk=fresh.pk).exists():
        raise NoSuchInvitation
    if not is_invited(fresh, user):
        raise NotInvited
    fresh.delete()
    membership = Membership.objects.filter(account=locked, user=user).first()
    if membership is not None:
        return membership
    if locked.memberships.count() >= settings.MEMBERS_PER_ORGANISATION:
        raise TooManyMembers
    membership = Membership.objects.create(account=locked, user=user, role=fresh.role)
    tell(membership)
    logger.info("User %s came into organisation %s as %s", user.pk, locked.pk, membership.role)
    return membership


@transaction.atomic
def decline_invitation(*, invitation: Invitation, user: User) -> None:
    """End an invitation that was sent to `user`.

    Raises:
        NoSuchInvitation: it was taken or withdrawn.
        NotInvited: it is for another address.
    """
    _, fresh = _lock(invitation)
    if not is_invited(fresh, user):
        raise NotInvited
    fresh.delete()


def delete_ended_invitations() -> int:
    """Delete invitations that are too old, and return how many; a page that still shows one says that it ended."""
    return Invitation.objects.filter(expires_at__lte=timezone.now() - LIFETIME).delete()[0]


def _lock(invitation: Invitation) -> tuple[Account, Invitation]:
    """Return the organisation, locked, and the invitation as it is now."""
    locked = lock_organisation(Account(pk=invitation.account_id))
    fresh = Invitation.objects.filter(pk=invitation.pk).first()
    if fresh is None:
        raise NoSuchInvitation
    return locked, fresh


def _count_mail(account: Account, by: User, email: str) -> None:
    """Count one more mail. Raises TooManyInvitations."""
    keys = {"user": str(by.pk), "account": account.pk.hex, "pair": f"{account.pk.hex} {email}", "address": email}
    for name, key in keys.items():
        if not _LIMITS[name].allow(key):
            raise TooManyInvitations


def _send(invitation: Invitation, secret: str) -> None:
    """Send the link; the mail leaves once the transaction is committed."""
    inviter = invitation.invited_by.get_username() if invitation.invited_by else ""
    words = {
        "organisation": invitation.account.name,
        "inviter": inviter,
        "role": invitation.role,
        "may": Role(invitation.role).may,
        "link": f"{settings.PORTAL_URL}/invitations/{secret}/",
        "days": LIFETIME.days,
    }
    mail.send("invitation", invitation.email, words)


def _new_secret() -> str:
    return secrets.token_urlsafe(32)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
