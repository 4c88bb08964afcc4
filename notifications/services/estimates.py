"""What a notification would cost, and whether it would go out, said before it is sent. Nothing is kept, counted or paid by that.

The limits are not asked: they are about what else is sent until then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from accounts.models import Account
from billing.services import balance
from devices.models import Device
from iotportal.words import plural
from notifications import channels, reasons
from notifications.addresses import Address
from notifications.channels.sms import CHARACTERS
from notifications.models import Cause, Channel, Notification
from notifications.services import browsers, consent, intake, limits, payments, templates
from notifications.services.payments import CannotPay, Quote

_FREE = Quote(credits=0, pays_for=1, left=0)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one notification would cost: `credits` for `pays_for` together, or nothing while `left` are paid already.

    `reason`: a code of notifications.reasons for what would not be sent; "" if it would. `credits` is None where nobody knows.
    """

    channel: str
    recipient: str  # in its normal form
    reason: str
    credits: int | None = None
    pays_for: int = 1
    left: int = 0
    country: str = ""  # of an SMS, two letters
    segments: int | None = None  # of an SMS
    is_cut: bool = False  # an SMS that is longer than what is sent of it


def estimate(*, account: Account, recipient: str, message: str, device: Device | None = None) -> Estimate:
    """Return what it would cost to say `message` to `recipient`, in the name of a device or of the account itself."""
    one = row(account=account, recipient=recipient, message=message, device=device)
    return estimates([one])[one.pk]


def row(*, account: Account, recipient: str, message: str | None, device: Device | None = None) -> Notification:
    """Return a notification that is not to be kept, for `estimates`, as `intake.row` makes it."""
    one = intake.row(account_id=account.pk, cause=Cause.PERSON, source="", recipient=recipient, message=message)
    one.account, one.device = account, device
    return one


def estimates(rows: Sequence[Notification]) -> dict[UUID, Estimate]:
    """Return what each would cost, each by itself, with a few queries for all of them; their accounts and devices are loaded.

    An SMS that has not its words yet (`language`) gets them: how long it is counts.
    """
    bare = [one for one in rows if one.channel == Channel.SMS and not one.language]
    templates.dress([templates.of_device(one, one.device.name if one.device else None) for one in bare])
    verdicts, desk = consent.verdicts(rows), _Desk()
    return {one.pk: _of(one, verdicts[one.pk], desk) for one in rows}


class _Desk:
    """What was asked of prices, credits and browsers while several are estimated: each thing once."""

    def __init__(self) -> None:
        self._quotes: dict[tuple[UUID, str, str, int], Quote | None] = {}
        self._credits: dict[UUID, int] = {}
        self._pushed: dict[str, bool] = {}

    def quote(self, one: Notification, country: str) -> Quote | None:
        """Return what it costs; None if it has no price."""
        parts = payments.parts_of(one)
        key = (one.account_id, one.channel, country, parts)
        if key not in self._quotes:
            try:
                self._quotes[key] = payments.quote(
                    account_id=one.account_id, channel=Channel(one.channel), parts=parts, country=country
                )
            except CannotPay:
                self._quotes[key] = None
        return self._quotes[key]

    def has_browser(self, address: str) -> bool:
        """Return whether somebody behind a push address has a browser."""
        if address not in self._pushed:
            self._pushed[address] = browsers.of(address).exists()
        return self._pushed[address]

    def credits(self, account: Account) -> int:
        """Return how many credits an account has."""
        if account.pk not in self._credits:
            self._credits[account.pk] = balance(account)
        return self._credits[account.pk]


def _of(one: Notification, verdict: consent.Verdict, desk: _Desk) -> Estimate:
    if not one.channel:
        return Estimate("", one.recipient, "bad_recipient")
    country, is_sms = limits.country_of(one), one.channel == Channel.SMS
    found = _FREE if payments.is_free(one.channel, own=verdict.own) else desk.quote(one, country)
    return Estimate(
        channel=one.channel,
        recipient=one.recipient if one.channel == Channel.PUSH else Address(Channel(one.channel), one.address).spelled,
        reason=_why_not(one, verdict, found, desk),
        credits=found.credits if found else None,
        pays_for=found.pays_for if found else 1,
        left=found.left if found else 0,
        country=country,
        segments=payments.parts_of(one) if is_sms else None,
        is_cut=is_sms and len(one.message) > CHARACTERS,
    )


def _why_not(one: Notification, verdict: consent.Verdict, quote: Quote | None, desk: _Desk) -> str:
    if verdict.reason or not channels.is_set_up(one.channel):
        return verdict.reason or "no_sender"
    if one.channel == Channel.PUSH and not desk.has_browser(one.address):
        return "no_browser"
    if quote is None:
        return "no_price"
    return "no_credits" if quote.credits > 0 and desk.credits(one.account) < quote.credits else ""


def in_words(found: Estimate) -> tuple[str, str]:
    """Return what people are told: the figure, and what there is to say of it."""
    if found.reason and found.reason != "no_credits":
        return "It would not be sent.", reasons.in_words(found.reason)
    about = _about_sms(found) if found.channel == Channel.SMS else ""
    if found.reason:
        return f"It costs {plural(found.credits or 0, 'credit')}, and there are not enough.", about
    if found.credits:
        pay = "pays" if found.credits == 1 else "pay"
        together = f", which {pay} for {found.pays_for} such" if found.pays_for > 1 else ""
        return f"It costs {plural(found.credits, 'credit')}{together}.", about
    paid = f"It costs nothing more: {found.left} such {'is' if found.left == 1 else 'are'} paid already."
    return (paid if found.left else "It costs nothing."), about


def sentences(rows: Sequence[Notification]) -> list[str]:
    """Return what people are told of each."""
    found = estimates(rows)
    return [" ".join(in_words(found[one.pk])).strip() for one in rows]


def _about_sms(found: Estimate) -> str:
    where = f" to {found.country}" if found.country else ""
    cut = f" It is cut after {CHARACTERS} characters." if found.is_cut else ""
    return f"An SMS of {plural(found.segments or 1, 'part')}{where}.{cut}"
