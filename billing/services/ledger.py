"""The ledger: every write of it goes through here. What the rules are and who keeps them: `billing.models`.

An entry locks the accounts that it moves, owners' before the operator's, and holds the operator's until its transaction ends:
keep that short, with one entry in it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction

from accounts.access import hold_account
from accounts.models import Account
from billing import metrics
from billing.models import CREDITS, Entry, LedgerAccount, Posting
from billing.services.low_balance import watch

logger = logging.getLogger(__name__)

Kind, Cause = LedgerAccount.Kind, Entry.Cause
MOST = 10**12  # of one posting; what is more was typed wrong, and sums stay far from the end of a bigint


class BillingError(Exception):
    """The books do not allow that."""


class InsufficientCredits(BillingError):
    """There are fewer credits than are to be taken."""


class InvalidEntry(BillingError):
    """An entry that does not balance, moves nothing, or lacks what it needs."""


class KeyReused(BillingError):
    """The idempotency key belongs to another movement."""


class AlreadyReversed(BillingError):
    """The entry was put right before, or puts another right itself."""


class FollowsPayment(BillingError):
    """The entry is what a payment or refund moved; undone here, the same credits would be taken twice with a refund."""


@dataclass(frozen=True, slots=True)
class Leg:
    """What an entry is to add to an account; below zero, to take from it."""

    account: LedgerAccount
    amount: int


def credits_of(account: Account) -> LedgerAccount:
    """Return the credits of an owner, opened at the first asking.

    Raises:
        Http404: the account is closed and has none.
    """
    found = LedgerAccount.objects.filter(owner=account, kind=Kind.CREDITS).first()
    if found is not None:
        return found
    with transaction.atomic():
        hold_account(account)
        return LedgerAccount.objects.get_or_create(owner=account, kind=Kind.CREDITS, currency=CREDITS)[0]


def operator_account(kind: LedgerAccount.Kind, currency: str = CREDITS) -> LedgerAccount:
    """Return one of the operator's accounts, opened at the first asking."""
    return LedgerAccount.objects.get_or_create(owner=None, kind=kind, currency=currency)[0]


def balance(account: Account) -> int:
    """Return how many credits an owner has left."""
    found = LedgerAccount.objects.filter(owner=account, kind=Kind.CREDITS).values_list("balance", flat=True).first()
    return found or 0


def post_entry(*, cause: Entry.Cause, key: str, legs: Sequence[Leg], reason: str = "", reverses: Entry | None = None) -> Entry:
    """Write an entry, or return the one that `key` wrote before; of many at once with one key, one writes.

    `key`: names the movement, at most 120 characters. `reason`: in words, at most 200; gift, correction and reversal need one.

    Raises:
        InvalidEntry: it does not balance in each currency, or is not whole.
        InsufficientCredits: an owner would have less than nothing; the key stays free.
        KeyReused: the key wrote something else before.
        AlreadyReversed: what it is to reverse was reversed.
    """
    _check(cause, key, legs, reason)
    try:
        with transaction.atomic():
            entry = Entry.objects.create(
                cause=cause, idempotency_key=key, reason=reason.strip(), size=len(legs), reverses=reverses
            )  # first of all: who comes second with the key waits here, before it holds anything
            Posting.objects.bulk_create(Posting(entry=entry, account=leg.account, amount=leg.amount) for leg in _in_order(legs))
            for leg in legs:
                if leg.account.kind == Kind.CREDITS:
                    watch(leg.account.pk, entry.pk, fell=leg.amount < 0)
                    metrics.moved(cause, leg.amount)
    except IntegrityError as error:
        match _constraint(error):
            case "billing_entry_idempotency_key_key":
                return _same(key, cause, legs)
            case "ledgeraccount_credits_not_negative":
                raise InsufficientCredits("There are not enough credits.") from error
            case "billing_entry_reverses_id_key":
                raise AlreadyReversed("That entry was reversed before.") from error
        raise
    logger.info("ledger entry %s: %s", entry.pk, cause)
    return entry


def give_credits(*, account: Account, credits: int, reason: str, key: str) -> Entry:
    """Give an owner credits. Raises as `post_entry`, and Http404 if the account is closed."""
    return _move(Cause.GIFT, account, _positive(credits), Kind.PROMOTIONS, key, reason)


def spend_credits(*, account: Account, credits: int, key: str) -> Entry:
    """Use an owner's credits up, all or none of them. Raises as `post_entry`."""
    return _move(Cause.SPEND, account, -_positive(credits), Kind.REVENUE, key)


def correct_balance(*, account: Account, credits: int, reason: str, key: str) -> Entry:
    """Add credits that were missing, or take (below zero) what was too much. Raises as `post_entry`."""
    return _move(Cause.CORRECTION, account, credits, Kind.CORRECTIONS, key, reason)


def reverse_entry(*, entry: Entry, reason: str) -> Entry:
    """Undo an entry by another that moves all of it back; once.

    Raises:
        AlreadyReversed: it was, or is a reversal itself.
        FollowsPayment: it is a payment's.
        InsufficientCredits: what it brought is used up.
        InvalidEntry: no reason was given.
    """
    if entry.cause == Cause.REVERSAL:
        raise AlreadyReversed("That entry reverses another. Correct the balance instead.")
    if Entry.objects.filter(reverses=entry).exists():
        raise AlreadyReversed("That entry was reversed before.")
    if hasattr(entry, "payment"):
        raise FollowsPayment("These credits follow a payment's money. Refund the order, or correct the balance.")
    legs = [Leg(one.account, -one.amount) for one in entry.postings.select_related("account")]
    return post_entry(cause=Cause.REVERSAL, key=f"reversal:{entry.pk.hex}", legs=legs, reason=reason, reverses=entry)


def _move(cause: Entry.Cause, account: Account, credits: int, against: LedgerAccount.Kind, key: str, reason: str = "") -> Entry:
    legs = [Leg(credits_of(account), credits), Leg(operator_account(against), -credits)]
    return post_entry(cause=cause, key=key, legs=legs, reason=reason)


def _positive(credits: int) -> int:
    if type(credits) is not int or credits <= 0:
        raise InvalidEntry("The number of credits must be a whole one above zero.")
    return credits


_NEED_REASON = frozenset({Cause.GIFT, Cause.CORRECTION, Cause.REVERSAL})


def _check(cause: Entry.Cause, key: str, legs: Sequence[Leg], reason: str) -> None:
    """Find what the database would refuse, to say it in words.

    Raises:
        InvalidEntry: something is wrong.
    """
    if not 0 < len(key) <= 120 or len(reason) > 200:
        raise InvalidEntry("An entry has a key of at most 120 characters and a reason of at most 200.")
    if cause in _NEED_REASON and not reason.strip():
        raise InvalidEntry("Say why: this entry needs a reason.")
    if any(type(leg.amount) is not int or not 0 < abs(leg.amount) <= MOST for leg in legs):
        raise InvalidEntry(f"Amounts are whole numbers, not 0, of at most {MOST:,}.")
    if len({leg.account.pk for leg in legs}) != len(legs) or len(legs) < 2:
        raise InvalidEntry("An entry moves at least two accounts, each once.")
    sums: Counter[str] = Counter()
    for leg in legs:
        sums[leg.account.currency] += leg.amount
    if any(sums.values()):
        raise InvalidEntry("What an entry adds and what it takes must be the same.")


def _in_order(legs: Sequence[Leg]) -> list[Leg]:
    """Return the order in which accounts are locked, which is the same for all, so that nobody waits in a circle."""
    return sorted(legs, key=lambda leg: (leg.account.owner_id is None, leg.account.pk))


def _same(key: str, cause: Entry.Cause, legs: Sequence[Leg]) -> Entry:
    """Return the entry that `key` wrote before, if it is this one.

    Raises:
        KeyReused: it is not.
    """
    entry = Entry.objects.get(idempotency_key=key)
    moved = set(entry.postings.values_list("account_id", "amount"))
    if entry.cause != cause or moved != {(leg.account.pk, leg.amount) for leg in legs}:
        raise KeyReused("That idempotency key belongs to another movement.")
    return entry


def _constraint(error: IntegrityError) -> str:
    return getattr(getattr(error.__cause__, "diag", None), "constraint_name", None) or ""
