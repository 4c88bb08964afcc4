"""What people say of themselves, and how they can be reached."""

from __future__ import annotations

import logging

from django.db import transaction

from accounts.models import Account, Role, User

logger = logging.getLogger(__name__)


class PhoneInUse(Exception):
    """Codes by SMS are the user's second factor, so the number must stay one that was confirmed."""


@transaction.atomic
def set_phone(*, user: User, phone: str, verified: bool) -> None:
    """Set the phone number (E.164; "" for none), confirmed or not.

    Locks the user's row.

    Raises:
        PhoneInUse: it would take the confirmed number from under the second factor.
    """
    locked = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    if locked.code_factor == "sms" and not verified:
        raise PhoneInUse
    user.phone = locked.phone = phone
    user.phone_verified = locked.phone_verified = verified
    locked.save(update_fields=["phone", "phone_verified"])
    logger.info("The phone number of user %s was changed", user.pk)


def change_profile(*, user: User, **fields: str) -> None:
    """Set names, time zone, language or theme of `user`: checked values of those that change.

    Raises:
        ValueError: a field is none of these.
    """
    if not fields.keys() <= {"first_name", "last_name", "time_zone", "language", "theme"}:
        raise ValueError(", ".join(fields))
    for name, value in fields.items():
        setattr(user, name, value)
    with transaction.atomic():
        user.save(update_fields=[*fields])
        if "time_zone" in fields:  # their account counts its months in it
            own = Account.objects.filter(kind=Account.Kind.PERSONAL, memberships__user=user, memberships__role=Role.OWNER)
            own.update(time_zone=fields["time_zone"])
