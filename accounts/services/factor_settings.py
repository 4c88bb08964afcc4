"""Second factors switched on and off. Adding and removing apps and passkeys is allauth's."""

from __future__ import annotations

import logging
import uuid

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.db import transaction

from accounts import code_channels
from accounts.models import User

logger = logging.getLogger(__name__)

MAX_PASSKEYS = 20
_PASSKEYS = uuid.UUID("5b1c1f0e-8f0e-4c55-9c0e-6d4a2f4f3b60")  # the namespace of passkeys' public ids


class WayNotThere(Exception):
    """Codes cannot be sent that way: no confirmed address or number, or no sender on this server."""


def code_ways(user: User) -> list[str]:
    """Return the ways in which codes can be sent to `user`: "email", "sms"."""
    ways = []
    if EmailAddress.objects.filter(user=user, email=user.email.lower(), verified=True).exists():
        ways.append("email")
    if user.phone_verified:
        ways.append("sms")
    return [way for way in ways if code_channels.find(way) is not None]


@transaction.atomic
def switch_code_factor(*, user: User, way: str) -> None:
    """Have `user` sign in with codes that are sent by `way` ("email" or "sms"), or with none (""), where recovery codes go too
    unless there is an app or a passkey left that they stand in for.

    Raises:
        WayNotThere: see there.
    """
    locked = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    if way and way not in code_ways(locked):
        raise WayNotThere(way)
    locked.code_factor = user.code_factor = way
    locked.save(update_fields=["code_factor"])
    factors = Authenticator.objects.filter(user=user)
    if not way and not factors.exclude(type=Authenticator.Type.RECOVERY_CODES).exists():
        factors.delete()
    logger.info("User %s switched codes at sign-in to %r", user.pk, way)


@transaction.atomic
def switch_all_off(*, user: User) -> None:
    """Take every second factor of `user` away: the password is enough from now on."""
    User.objects.select_for_update(no_key=True).get(pk=user.pk)
    Authenticator.objects.filter(user=user).delete()
    user.code_factor = ""
    user.save(update_fields=["code_factor"])
    logger.info("User %s switched the second factor off", user.pk)


def use_up(*, app: Authenticator, step: int) -> None:
    """Take the code of this step of time, which proved a new app, for used."""
    app.data["step"] = step
    app.save(update_fields=["data"])


def passkeys(user: User) -> list[Authenticator]:
    """Return the passkeys of `user`, the oldest first."""
    return list(Authenticator.objects.filter(user=user, type=Authenticator.Type.WEBAUTHN).order_by("created_at", "pk"))


def passkey_id(passkey: Authenticator) -> uuid.UUID:
    """Return the id of a passkey that addresses have; it says nothing about how many there are."""
    return uuid.uuid5(_PASSKEYS, str(passkey.data["credential"]["rawId"]))


def find_passkey(user: User, public_id: uuid.UUID) -> Authenticator | None:
    """Return the passkey of `user` with that id, or None."""
    return next((one for one in passkeys(user) if passkey_id(one) == public_id), None)
