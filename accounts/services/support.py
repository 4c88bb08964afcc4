"""What operators do for people who cannot help themselves. None of it shows or sets a password, a code or a key."""

from __future__ import annotations

import logging

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts import mail
from accounts.limits import Limit
from accounts.models import User
from accounts.services import codes, factor_settings, factors, sent_codes, tries
from accounts.services.users import NOBODYS

logger = logging.getLogger(__name__)

_CODE_MAIL = Limit("confirm_email")  # the same one that the sign-up counts
_RECOVERY_MAIL = Limit("support_recovery", "1/m/key,10/d/key")


class NothingToDo(Exception):
    """What was to be done has no sense for this user. The text says why."""


class TooManyMails(Exception):
    """Mails went there a moment ago, or many within the hour or day."""


def reactivate_user(*, user: User) -> None:
    """Let `user` in again, with the password as it was. Sessions and tokens stay ended.

    Raises:
        NothingToDo: the account is being deleted or was; what it had is revoked already.
    """
    if user.email.endswith(NOBODYS):
        raise NothingToDo("This account was deleted. Nobody is left who could sign in.")
    staying = Q(delete_at=None) | Q(delete_at__gt=timezone.now())
    if not User.objects.filter(staying, pk=user.pk).update(is_active=True):
        raise NothingToDo("The account is being deleted, and its devices are revoked.")
    user.is_active = True
    logger.info("User %s was reactivated", user.pk)


def resend_confirmation(*, user: User) -> None:
    """Send another code to the address that `user` has not confirmed yet; the codes before it stop working.

    Raises:
        NothingToDo: the address is confirmed, or the user is shut out.
        TooManyMails: wait a moment; nothing was sent.
        accounts.mail.MailNotTaken: it could not be handed over.
    """
    address = EmailAddress.objects.filter(user=user, email=user.email.lower(), verified=False).first()
    if address is None or not user.is_active:
        raise NothingToDo("The address is confirmed already." if user.is_active else "Reactivate the user first.")
    if not _CODE_MAIL.allow(address.email.lower()):
        raise TooManyMails("A code went there a moment ago, or many did today.")
    code = get_adapter().generate_email_verification_code()
    mail.send("email_confirmation_signup", address.email, {"code": code, "user": user})
    codes.make_live(user=user, address=address.email, code=code)
    logger.info("User %s was sent another confirmation code", user.pk)


def send_recovery(*, user: User) -> None:
    """Send `user` a mail with the user name and the way to a new password. Nobody but its reader gets there: it has no code.

    Raises:
        NothingToDo: the user is shut out.
        TooManyMails: wait a moment; nothing was sent.
        accounts.mail.MailNotTaken: it could not be handed over.
    """
    if not user.is_active:
        raise NothingToDo("Reactivate the user first.")
    if not _RECOVERY_MAIL.allow(str(user.pk)):
        raise TooManyMails("Such a mail went there a moment ago, or many did today.")
    mail.send("recovery_way", user.email, {"user_name": user.get_username()})
    logger.info("User %s was sent the way to a new password", user.pk)


@transaction.atomic
def remove_factors(*, user: User) -> None:
    """Take every second factor of `user` away, and tell the owner by mail.

    Raises:
        NothingToDo: there is none.
    """
    if not factors.needs_second_factor(user):
        raise NothingToDo("There is no second factor.")
    factor_settings.switch_all_off(user=user)
    factors.forget_tries(user)
    mail.send("factors_removed", user.email, {})


def unlock(*, user: User) -> None:
    """Give everybody who tries to sign in as `user` all tries again: passwords, recovery, second factors, codes to be sent.

    A browser that is known to `user` by its cookie has a count of its own, which nobody else can find; it begins anew by itself.
    """
    tries.forget(names=(user.get_username(), user.email))
    factors.forget_tries(user)
    sent_codes.forget_sending(user=user)
    logger.info("User %s was unlocked", user.pk)


def is_locked(user: User) -> bool:
    """Say whether strangers' sign-ins as `user`, or codes for the second factor, are refused at the moment."""
    return bool(tries.used_up("sign_in", [user.get_username(), user.email])) or not factors.tries_left(user)


def locked(users: QuerySet[User]) -> list[int]:
    """Return the ids of those of `users` who are locked. Who is full is listed in the cache; nobody is looked up one by one."""
    rows = list(users.order_by().values_list("pk", "username", "email"))
    names = tries.used_up("sign_in", (name for _, *both in rows for name in both))
    found = {pk for pk, *both in rows if not names.isdisjoint(both)}
    return sorted(found | factors.without_tries(with_factor(users).order_by().values_list("pk", flat=True)))


def with_factor(users: QuerySet[User]) -> QuerySet[User]:
    """Return those of `users` who sign in with a second factor."""
    kinds = [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]
    strong = Authenticator.objects.filter(user=OuterRef("pk"), type__in=kinds)
    return users.filter(~Q(code_factor="") | Exists(strong))
