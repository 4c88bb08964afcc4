"""Organisations: made, renamed, deleted."""

from __future__ import annotations

import logging
import re
import unicodedata
from contextlib import suppress

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import ProtectedError

from accounts.access import Action, role_may
from accounts.hooks import account_closed
from accounts.models import Account, Membership, Role, User
from accounts.services.errors import InvalidName, RoleTooLow, TooManyOrganisations, WrongName
from accounts.services.members import acting_role, end_membership, lock_organisation, tell
from accounts.validators import validate_visible_text

logger = logging.getLogger(__name__)

NAME_LENGTH = 80
_ADDRESS = re.compile(r"://|www\.|[^\W_]\.[^\W\d_]{2,}", re.IGNORECASE)


@transaction.atomic
def create_organisation(*, user: User, name: str) -> Account:
    """Make an organisation that `user` owns.

    Locks the user's row, so that two requests at once cannot pass the limit.

    Raises:
        InvalidName: it cannot be called that.
        TooManyOrganisations: the user owns `ORGANISATIONS_PER_USER` of them.
    """
    name = clean_name(name)
    User.objects.select_for_update(no_key=True).get(pk=user.pk)
    owned = Membership.objects.filter(user=user, role=Role.OWNER, account__kind=Account.Kind.ORGANISATION)
    if owned.count() >= settings.ORGANISATIONS_PER_USER:
        raise TooManyOrganisations
    account = Account.objects.create(kind=Account.Kind.ORGANISATION, name=name, time_zone=user.time_zone)
    tell(Membership.objects.create(user=user, account=account, role=Role.OWNER))
    logger.info("User %s made organisation %s", user.pk, account.pk)
    return account


@transaction.atomic
def rename_organisation(*, account: Account, by: User, name: str) -> Account:
    """Give an organisation another name.

    Raises:
        InvalidName: it cannot be called that.
        NotAnOrganisation: it is a personal account.
        NoSuchMember, RoleTooLow: `by` does not manage it.
    """
    name = clean_name(name)
    locked = lock_organisation(account)
    if not role_may(acting_role(locked, by), Action.MANAGE):
        raise RoleTooLow
    locked.name = name
    locked.save(update_fields=["name"])
    return locked


@transaction.atomic
def set_time_zone(*, account: Account, by: User, time_zone: str) -> None:
    """Have an organisation count its months in another time zone: a checked name of the tz database.

    Raises:
        NotAnOrganisation: it is a personal account.
        NoSuchMember, RoleTooLow: `by` does not manage it.
    """
    locked = lock_organisation(account)
    if not role_may(acting_role(locked, by), Action.MANAGE):
        raise RoleTooLow
    locked.time_zone = time_zone
    locked.save(update_fields=["time_zone"])


@transaction.atomic
def delete_organisation(*, account: Account, by: User, name: str, as_owner: bool = True) -> None:
    """Delete an organisation for good; `name` is what was typed to confirm it.

    Calls `hooks.account_closed`, at which its devices are revoked and cut, and `hooks.membership_changed` for every member. Where
    deleted devices hang on it the row stays, without members, so that nobody gets to them any more.

    Raises:
        NotAnOrganisation: it is a personal account.
        NoSuchMember, RoleTooLow: `by` does not own it, or may not act as an owner.
        WrongName: that is not its name.
    """
    locked = lock_organisation(account, changing_key=True)
    if not role_may(acting_role(locked, by, as_owner=as_owner), Action.OWN):
        raise RoleTooLow
    if not same_text(name, locked.name):
        raise WrongName
    account_closed(locked)
    locked.invitations.all().delete()
    for membership in locked.memberships.all():
        end_membership(membership)
    with suppress(ProtectedError):
        locked.delete()
    logger.info("User %s deleted organisation %s", by.pk, locked.pk)


def clean_name(name: str) -> str:
    """Return the name as it is stored. Raises InvalidName."""
    text = _plain(name)
    if not any(letter.isprintable() for letter in text):
        raise InvalidName("Give it a name that can be read.")
    if len(text) > NAME_LENGTH:
        raise InvalidName(f"A name has at most {NAME_LENGTH} characters.")
    try:
        validate_visible_text(text)
    except ValidationError as error:
        raise InvalidName(error.message) from error
    if _ADDRESS.search(text):  # it stands in invitations, and mail programs make links of such names
        raise InvalidName("A name that looks like a web address is not possible.")
    return text


def same_text(typed: str, name: str) -> bool:
    """Say whether somebody typed `name`, whatever the keyboard made of its letters and spaces."""
    return _plain(typed) == _plain(name)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())
