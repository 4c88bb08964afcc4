"""People and their personal accounts."""

from __future__ import annotations

import logging

from allauth.account.models import EmailAddress
from django.db import transaction

from accounts.hooks import password_changed, user_deactivated
from accounts.models import Account, Membership, Role, User
from accounts.services import factors, sent_codes, sessions
from accounts.services.tokens import revoke_all_tokens

logger = logging.getLogger(__name__)

NOBODYS = "@deleted.invalid"  # how the address ends of the user to whom a deleted operator's log was given


@transaction.atomic
def create_user(*, username: str, email: str, password: str | None, first_name: str, last_name: str) -> User:
    """Make a user whose e-mail is taken as confirmed, with the personal account: for commands and tests, not for sign-up.

    Without a password they cannot sign in before they have one by mail.
    """
    user = User.objects.create_user(username, email.lower(), password, first_name=first_name, last_name=last_name)
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    create_personal_account(user)
    return user


@transaction.atomic
def create_personal_account(user: User) -> Account:
    """Make the account that owns what `user` registers; called once, at sign-up."""
    account = Account.objects.create(kind=Account.Kind.PERSONAL, name=user.get_username(), time_zone=user.time_zone)
    Membership.objects.create(user=user, account=account, role=Role.OWNER)
    return account


def _find_personal_account(user: User) -> Account | None:
    return Account.objects.filter(kind=Account.Kind.PERSONAL, memberships__user=user, memberships__role=Role.OWNER).first()


def personal_account(user: User) -> Account:
    """Return the user's own account, made now if an operator created the user by hand."""
    found = _find_personal_account(user)
    if found is not None:
        return found
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)  # two first requests must not make two accounts
        return _find_personal_account(user) or create_personal_account(user)


@transaction.atomic
def abandon_sign_up(*, user: User) -> bool:
    """Remove a user who never confirmed the e-mail, so that they can sign up again with the same user name.

    Returns whether that was done: a user who ever signed in, has a confirmed address or works here stays.
    """
    locked = User.objects.select_for_update().filter(pk=user.pk, last_login=None, is_staff=False, is_superuser=False).first()
    if locked is None or EmailAddress.objects.filter(user=locked, verified=True).exists():
        return False
    Account.objects.filter(kind=Account.Kind.PERSONAL, memberships__user=locked, memberships__role=Role.OWNER).delete()
    locked.delete()
    return True


@transaction.atomic
def change_password(*, user: User, password: str) -> None:
    """Set a new password and end every session and API token of `user`.

    The browser that asked for it goes on where its view says so (`update_session_auth_hash`): what is in the request stays there.

    Second factors stay as they are. Who used up the tries for their codes knew the old password.
    """
    user.set_password(password)
    user.save(update_fields=["password"])
    revoke_all_tokens(user=user)
    sessions.end_all(user=user)
    factors.forget_tries(user)
    sent_codes.forget_sending(user=user)
    password_changed(user)
    logger.info("The password of user %s was changed", user.pk)


@transaction.atomic
def deactivate_user(*, user: User) -> None:
    """Shut `user` out: sign-in, sessions and tokens end now. The devices stay as they are."""
    user.is_active = False
    user.save(update_fields=["is_active"])
    revoke_all_tokens(user=user)
    sessions.end_all(user=user)
    user_deactivated(user)
    logger.info("User %s was deactivated", user.pk)
