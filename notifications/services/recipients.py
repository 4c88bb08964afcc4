"""Who may be written to besides the account's own people: adding an address, its yes, and its no."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import Account, User
from iotportal.windows import Counter, Full, count
from notifications.addresses import BadRecipient, read
from notifications.models import Cause, Channel, Notification, Recipient, Suppression
from notifications.services import intake

AGAIN = timedelta(minutes=10)  # the shortest time between two questions to one address
_ASKS = ((5, 3600), (20, 86_400))  # of one account, in so many seconds
_ADDRESS_ASKS = ((3, 86_400),)  # to one address, whoever asks


class RecipientRefused(Exception):
    """An address that cannot be added, or not now. The text says why."""


def add(*, account: Account, text: str, user: User) -> Recipient:
    """Add an address and ask it, by mail, whether it wants to be written to.

    Raises:
        RecipientRefused: it is no address, it is there already, it said no, or too many were asked.
    """
    try:
        found = read(text)
    except BadRecipient as error:
        raise RecipientRefused(str(error)) from error
    if found.channel != Channel.EMAIL:
        raise RecipientRefused("Add an e-mail address.")
    try:
        with transaction.atomic():
            one = Recipient.objects.create(account=account, channel=found.channel, address=found.address, added_by=user)
    except IntegrityError as error:
        raise RecipientRefused("That address is in the list already.") from error
    try:
        ask(recipient=one, user=user)
    except RecipientRefused:
        one.delete()
        raise
    return one


def ask(*, recipient: Recipient, user: User) -> Notification:
    """Send the link to confirm (again).

    Raises:
        RecipientRefused: it has confirmed, or was asked a moment ago, or it said no.
    """
    now = timezone.now()
    if recipient.confirmed_at:
        raise RecipientRefused("That address has confirmed already.")
    if recipient.asked_at and now - recipient.asked_at < AGAIN:
        raise RecipientRefused("It was asked a moment ago. Wait ten minutes.")
    if suppressed(recipient.account_id, recipient.channel, recipient.address):
        raise RecipientRefused("That address does not want to be written to.")
    try:
        count("notification-asks", [
            Counter(f"notification-asks:{recipient.account_id.hex}", _ASKS),
            Counter(f"notification-asks-to:{recipient.channel}:{recipient.address}", _ADDRESS_ASKS),
        ])  # fmt: skip
    except Full as full:
        raise RecipientRefused("Too many addresses were asked. Wait before you ask another.") from full
    recipient.asked_at = now
    recipient.save(update_fields=["asked_at"])
    asked = intake.take(
        account_id=recipient.account_id, cause=Cause.CONFIRM, source=f"confirm:{recipient.hex}:{uuid4().hex}", user=user,
        recipient=recipient.address, message=None, event="confirm",
    )  # fmt: skip
    if asked is None:
        raise RecipientRefused("It was asked a moment ago. Wait ten minutes.")
    transaction.on_commit(lambda: intake.announce([asked]))
    return asked


def test(*, recipient: Recipient, user: User, key: str) -> Notification:
    """Write to one now. `key`: names the request, so that a second click finds the first one's notification."""
    source = f"recipient-test:{recipient.hex}:{sha256(key.encode(errors='replace')).hexdigest()[:32]}"
    sent = intake.take(
        account_id=recipient.account_id, cause=Cause.PERSON, source=source, user=user, recipient=recipient.spelled,
        message=None, event="recipient", values={"recipient": recipient.spelled},
    )  # fmt: skip
    if sent is None:
        return Notification.objects.get(source=source)
    intake.announce([sent])
    return sent


def confirm(*, account_id: UUID, channel: str, address: str) -> bool:
    """Take the yes of an address; False if it was taken out of the list since. An earlier no is over with it."""
    with transaction.atomic():
        rows = Recipient.objects.filter(account=account_id, channel=channel, address=address)
        found = rows.filter(confirmed_at=None).update(confirmed_at=timezone.now()) or rows.exists()
        if found:
            own = Suppression.objects.filter(account=account_id, channel=channel, address=address)
            own.filter(reason=Suppression.Reason.UNSUBSCRIBED).delete()
    return bool(found)


def unsubscribe(*, account_id: UUID, channel: str, address: str) -> None:
    """Take the no of an address: this account does not write to it any more. A second time changes nothing."""
    if not Account.objects.filter(pk=account_id).exists():
        return
    reason = Suppression.Reason.UNSUBSCRIBED
    Suppression.objects.get_or_create(account_id=account_id, channel=channel, address=address, defaults={"reason": reason})


def suppressed(account_id: UUID, channel: str, address: str) -> bool:
    """Say whether this account may not write to an address."""
    rows = Suppression.objects.filter(channel=channel, address=address)
    return rows.filter(account=None).exists() or rows.filter(account=account_id).exists()


def left_by(user: User) -> QuerySet[Suppression]:
    """Return the accounts of a user that do not write to them because they unsubscribed."""
    rows = Suppression.objects.filter(account__memberships__user=user, channel=Channel.EMAIL, address=user.email.lower())
    return rows.filter(reason=Suppression.Reason.UNSUBSCRIBED).select_related("account")


def subscribe_again(*, user: User) -> None:
    """Take back that a user unsubscribed the address that they have confirmed here."""
    left_by(user).delete()
