"""Deleting an account: asked for, thought over for some days, then done.

Until the last day nothing ends: devices go on, tokens work, and whoever signs in is asked whether to keep the account. Then

    shut out   everything ends in one transaction: sign-in, sessions, tokens, memberships; the devices are revoked and cut
    erased     one run of the task later, when nothing of it is under way any more: history and names go, at last the user's row

Each step can be done twice, and a run that was killed is taken up by the next one. What stays of devices are their certificates
without names: a revoked one has to stay known as such.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import uuid4

from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import ProtectedError
from django.utils import timezone

from accounts import mail
from accounts.hooks import Departure, account_closed, person_erased
from accounts.models import Account, Invitation, Membership, Role, User
from accounts.services import tries
from accounts.services.errors import OnlyOwner, StaffStays, WrongName
from accounts.services.members import end_membership, other_owners
from accounts.services.users import NOBODYS, deactivate_user, personal_account
from iotportal.after_commit import after_commit

logger = logging.getLogger(__name__)

PUT_OFF = timedelta(days=1)
_GOING = "being deleted"  # the name of the account of who is shut out; no user name has a space, so no other has it


@transaction.atomic
def request_deletion(*, user: User, name: str) -> datetime:
    """Have the account of `user` deleted in `DELETE_DAYS` days; returns when. `name` is what was typed to confirm it.

    Asking twice changes nothing. A mail tells the owner.

    Raises:
        WrongName: that is not the user name.
        StaffStays: the user works for the portal.
        OnlyOwner: an organisation would be left without an owner.
    """
    if name.strip().lower() != user.username.lower():
        raise WrongName("That is not your user name. Type it as it stands here.")
    _lock_organisations(user)
    locked = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    if locked.is_staff or locked.is_superuser:
        raise StaffStays
    if owned_alone(locked):
        raise OnlyOwner
    if locked.delete_at is None:
        locked.delete_at = timezone.now() + timedelta(days=settings.DELETE_DAYS)
        locked.save(update_fields=["delete_at"])
        mail.send("deletion_requested", locked.email, {"user_name": locked.username, "delete_at": locked.delete_at})
        logger.info("User %s asked for the deletion of the account", locked.pk)
    user.delete_at = locked.delete_at
    return locked.delete_at


@transaction.atomic
def keep_account(*, user: User) -> bool:
    """Take a wish for deletion back; returns whether there was one. A mail tells the owner."""
    locked = User.objects.select_for_update(no_key=True).filter(pk=user.pk, is_active=True).first()
    if locked is None or locked.delete_at is None:
        return False
    locked.delete_at = user.delete_at = None
    locked.save(update_fields=["delete_at"])
    mail.send("deletion_cancelled", locked.email, {"user_name": locked.username})
    logger.info("User %s keeps the account", locked.pk)
    return True


def owned_alone(user: User) -> list[Account]:
    """Return the organisations that would have no owner without `user`, by name."""
    owned = Membership.objects.filter(user=user, role=Role.OWNER, account__kind=Account.Kind.ORGANISATION)
    alone = [one.account for one in owned.select_related("account") if not other_owners(one).exists()]
    return sorted(alone, key=lambda account: account.name.lower())


def delete_due(*, now: datetime | None = None) -> int:
    """Take every account whose time has come one step further; returns how many that were.

    One that cannot be deleted keeps no other from it.
    """
    due = User.objects.filter(delete_at__lte=now or timezone.now()).order_by("delete_at").values_list("pk", "is_active")
    done = 0
    for pk, active in list(due):
        try:
            done += _shut_out(pk) if active else _erase(pk)
        except Exception:
            logger.exception("User %s could not be deleted; the next run tries again", pk)
    return done


@transaction.atomic
def _shut_out(pk: int) -> bool:
    user = User.objects.filter(pk=pk).first()
    if user is None:
        return False
    _lock_organisations(user)
    user = User.objects.select_for_update().filter(pk=pk, is_active=True, delete_at__lte=timezone.now()).first()
    if user is None:  # kept a moment ago, or another run was faster
        return False
    held_by = owned_alone(user)
    if held_by or user.is_staff or user.is_superuser:
        user.delete_at = timezone.now() + PUT_OFF
        user.save(update_fields=["delete_at"])
        words = {"user_name": user.username, "organisations": [one.name for one in held_by], "delete_at": user.delete_at}
        mail.send("deletion_put_off", user.email, words)
        return False
    _end_everything(user)
    deactivate_user(user=user)
    logger.info("User %s is shut out, to be erased", pk)
    return True


def _end_everything(user: User) -> Account:
    """Close the personal account, whose devices are revoked and cut, and leave the organisations. Doing it twice is no matter."""
    account = personal_account(user)
    account_closed(account)
    account.name = _GOING
    account.save(update_fields=["name"])
    Invitation.objects.filter(invited_by=user).delete()
    for membership in Membership.objects.filter(user=user, account__kind=Account.Kind.ORGANISATION):
        end_membership(membership)
    return account


def _erase(pk: int) -> bool:
    user = User.objects.filter(pk=pk, is_active=False, is_staff=False, is_superuser=False, delete_at__isnull=False).first()
    if user is None:
        return False
    with transaction.atomic():
        shut_out = personal_account(user).name == _GOING
        account = _end_everything(user)
        deactivate_user(user=user)
    if not shut_out:  # deactivated in some other way: the devices are cut only now, and what they sent may still be under way
        return True
    person_erased(Departure(user, account))
    with transaction.atomic():
        if not User.objects.select_for_update().filter(pk=pk, is_active=False, delete_at__isnull=False).exists():
            return False
        _forget_in_log(user, account)
        account.name = "deleted"
        account.save(update_fields=["name"])
        for membership in user.memberships.all():
            end_membership(membership)
        with suppress(ProtectedError):  # deleted devices hang on it, for their certificates' sake
            account.delete()
        mail.send("deletion_done", user.email, {"user_name": user.username})
        _leave_log(user)
        user.delete()
        after_commit(tries.forget_addresses, names=(user.username, user.email))
    logger.info("User %s is erased", pk)
    return True


def _forget_in_log(user: User, account: Account) -> None:
    """Take the name out of the admin's log of what operators did to a person; what they did and why stays."""
    for one in (user, account):
        kind = ContentType.objects.get_for_model(one)
        LogEntry.objects.filter(content_type=kind, object_id=str(one.pk)).update(object_repr="deleted")


def _leave_log(user: User) -> None:
    """Give what a former operator did in the admin to nobody's user, for Django deletes the log of a user along with the user."""
    done = LogEntry.objects.filter(user=user)
    if not done.exists():
        return
    name = f"deleted-{uuid4().hex}"
    nobody = User(username=name, email=f"{name}{NOBODYS}", is_active=False)  # two users cannot both have no address
    nobody.set_unusable_password()
    nobody.save()
    done.update(user=nobody)


def _lock_organisations(user: User) -> None:
    """Let nobody's ownership change meanwhile: two owners who go at once must not both count on the other."""
    owned = Membership.objects.filter(user=user, role=Role.OWNER).values("account_id")
    list(Account.objects.select_for_update(no_key=True).filter(pk__in=owned, kind=Account.Kind.ORGANISATION).order_by("pk"))
