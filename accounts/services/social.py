"""Accounts at other sites that sign a user in."""

from __future__ import annotations

import logging

from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.db import transaction

from accounts.models import User

logger = logging.getLogger(__name__)


class NotConnected(Exception):
    """The user has no account of that site connected."""


class LastWayIn(Exception):
    """Without it and without a password the user could not sign in any more."""


@transaction.atomic
def disconnect(*, user: User, provider: str) -> None:
    """Have a site's account sign `user` in no longer.

    Locks the user's row: two at once cannot each leave the other as the last way in.

    Raises:
        NotConnected: see there.
        LastWayIn: see there.
    """
    locked = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    account = SocialAccount.objects.filter(user=user, provider=provider).first()
    if account is None:
        raise NotConnected(provider)
    others = SocialAccount.objects.filter(user=user).exclude(pk=account.pk)
    if not locked.has_usable_password() and not others.exists():
        raise LastWayIn(provider)
    account.delete()
    logger.info("User %s disconnected %s", user.pk, provider)


@transaction.atomic
def forget_ways_of_unconfirmed(*, address: EmailAddress) -> None:
    """Disconnect what was connected before anybody confirmed the user's address.

    Called when it is confirmed by somebody who is not known to be who signed up, as with a code for a new password: whoever
    signed up through another site with this address, which is not theirs, must not come in through that site later.
    """
    gone, _ = SocialAccount.objects.filter(user_id=address.user_id).delete()
    if gone:
        logger.warning("User %s: disconnected what was connected before the address was confirmed", address.user_id)
