"""What a notification costs, paid once before it is sent and given back when it could not be.

Where so many cost one price together (10 mails for a credit), the first takes them all and the next ones use them up. Of an SMS
each part is paid, as carriers have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from billing.models import Entry, Price
from billing.services import InsufficientCredits, price_of, prices_of, reverse_entry, spend_credits
from iotportal.words import plural
from notifications.channels.sms import CHARACTERS
from notifications.models import Channel, Lot, Notification, Status
from notifications.segments import parts

_ITEMS = {
    Channel.EMAIL: Price.Item.EMAIL,
    Channel.SMS: Price.Item.SMS,
    Channel.PUSH: Price.Item.PUSH,
    Channel.WEBHOOK: Price.Item.WEBHOOK,
    Channel.APPRISE: Price.Item.WEBHOOK,
}


class CannotPay(Exception):
    """It has no price, or the credits are not enough; `code` is one of notifications.reasons."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Quote:
    """What one more would cost: `credits` that pay for `pays_for` of them together, or nothing while `left` are paid already."""

    credits: int
    pays_for: int
    left: int


def is_free(channel: str, *, own: bool) -> bool:
    """Say whether it costs nothing at all: to one's own devices, mail to one's own confirmed addresses, and pushes."""
    return channel == Channel.DEVICE or (channel in {Channel.EMAIL, Channel.PUSH} and own)


@transaction.atomic
def pay(*, notification: Notification, country: str = "") -> None:
    """Pay for one; a second time changes nothing, nor once it has ended.

    Raises:
        CannotPay: nothing was taken.
    """
    locked = Notification.objects.select_for_update().select_related("account").get(pk=notification.pk)
    if not locked.paid and locked.status == Status.QUEUED:
        locked.parts = parts_of(locked)
        locked.credits, locked.shared = _take(locked, f"notification:{locked.hex}", country)
        locked.paid = True
        locked.save(update_fields=["credits", "parts", "shared", "paid"])
    notification.credits, notification.paid = locked.credits, locked.paid


def parts_of(one: Notification) -> int:
    """Return for how many a notification is paid: an SMS for each of its parts."""
    return parts(one.message[:CHARACTERS]) if one.channel == Channel.SMS else 1


def _take(one: Notification, key: str, country: str) -> tuple[int, bool]:
    """Take its parts from the lot, or pay for what is missing; returns the credits, and whether others share what was paid."""
    item = _ITEMS[Channel(one.channel)]
    lot, _ = Lot.objects.select_for_update().get_or_create(account=one.account, item=_lot_name(item, country))
    had = lot.left
    if had >= one.parts:
        lot.left -= one.parts
        lot.save(update_fields=["left"])
        return 0, True
    credits, more, per = _lots(item, one.parts - had, country)
    if credits:
        try:
            spend_credits(account=one.account, credits=credits, key=key)
        except InsufficientCredits as error:
            raise CannotPay("no_credits") from error
    lot.left, lot.per = had + more - one.parts, per
    lot.save(update_fields=["left", "per"])
    return credits, bool(had) or per > 1


def _lots(item: Price.Item, missing: int, country: str) -> tuple[int, int, int]:
    """Return what is to be paid where so many are missing: the credits, for how many they are, and how many are paid together.

    Raises:
        CannotPay: there is no price.
    """
    price = price_of(item, country=country)
    if price is None:
        raise CannotPay("no_price")
    lots = -(-missing // price.per)
    return lots * price.credits, lots * price.per, price.per


def quote(*, account_id: UUID, channel: Channel, parts: int = 1, country: str = "") -> Quote:
    """Return what `pay` would take for one of so many parts. Raises CannotPay where there is no price."""
    item = _ITEMS[channel]
    left = Lot.objects.filter(account=account_id, item=_lot_name(item, country)).values_list("left", flat=True).first() or 0
    if left >= parts:
        return Quote(0, 1, left // parts)
    credits, more, _ = _lots(item, parts - left, country)
    return Quote(credits, (left + more) // parts, 0)


def _lot_name(item: str, country: str) -> str:
    return f"{item}:{country}" if country else item


def give_back(*, notification: Notification, country: str = "") -> None:
    """Give back what was paid for one that could not be sent, once. Within the transaction that ends it.

    As it was paid, whatever the price is by now: its credits where they paid for it alone, else its place among those that were
    paid together.
    """
    locked = Notification.objects.select_for_update().get(pk=notification.pk)
    if not locked.paid:
        return
    Notification.objects.filter(pk=locked.pk).update(paid=False)
    notification.paid = False
    entry = Entry.objects.filter(idempotency_key=f"notification:{locked.hex}").first()
    item = _lot_name(_ITEMS[Channel(locked.channel)], country)
    lot = Lot.objects.select_for_update().get(account=locked.account_id, item=item)
    if locked.shared if locked.shared is not None else lot.per > 1:  # others may be used by now: the next one takes its place
        lot.left += locked.parts
        lot.save(update_fields=["left"])
    elif entry is not None:
        reverse_entry(entry=entry, reason="A notification could not be sent")


def prices_in_words() -> list[str]:
    """Return what is paid for, as people are told before they send."""
    told = []
    kinds = (
        (Channel.EMAIL, "Mail to others than your own people"), (Channel.SMS, "Each part of an SMS"),
        (Channel.WEBHOOK, "A webhook or another service"),
    )  # fmt: skip
    prices = prices_of(_ITEMS[channel] for channel, _ in kinds)
    for channel, words in kinds:
        price = prices.get(_ITEMS[channel])
        if price is not None and price.credits:
            together = f" for {price.per}" if price.per > 1 else ""
            told.append(f"{words} costs {plural(price.credits, 'credit')}{together}.")
    return told
