"""Promo codes: what an operator gives away to whoever knows the word.

A use is counted under the lock of the code's row, and its row, its count and what it brings are one transaction: of many who
redeem the last use at once one gets it, and a process that dies has done all or nothing. Codes that bring more with a package
are bound to the account when they are redeemed and spent by the next order that is paid (`spend_on`), as a part of that order:
who is paid back loses them with the rest.
"""

from __future__ import annotations

import re

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.access import hold_account
from accounts.models import Account, User
from billing import providers
from billing.models import Entry, LedgerAccount, Order, PromoCode, PromoRedemption
from billing.services.counter import forget_counters
from billing.services.ledger import BillingError, Leg, credits_of, operator_account, post_entry
from iotportal.after_commit import after_commit

MAX_TYPED = 64
_CODE = re.compile(r"[0-9A-Z]{4,32}", re.ASCII)


class PromoCodeRefused(BillingError):
    """The code brings nothing, now or to this account; the text says why. `code`: the same for programs."""

    code = "promo_code_refused"


class UnknownPromoCode(PromoCodeRefused):
    """There is none such, or it has not begun."""

    code = "promo_code_unknown"


class PromoCodeEnded(PromoCodeRefused):
    """Its time is over."""

    code = "promo_code_ended"


class PromoCodeUsedUp(PromoCodeRefused):
    """Others have used it as often as it may be."""

    code = "promo_code_used_up"


class PromoCodeAlreadyUsed(PromoCodeRefused):
    """The account, or the person, has used it as often as it may."""

    code = "promo_code_already_used"


class OnlyFirstPurchase(PromoCodeRefused):
    """It is for accounts that have not bought yet."""

    code = "promo_code_first_purchase_only"


class AnotherWaits(PromoCodeRefused):
    """The next package brings more already."""

    code = "promo_code_waiting"


class NoPackages(PromoCodeRefused):
    """It brings more with a package, and none can be bought."""

    code = "not_for_sale"


def compared(typed: str) -> str:
    """Return a code as it is stored and compared: without spaces and hyphens, in capitals; empty if it can be none."""
    text = re.sub(r"[\s-]", "", typed[:MAX_TYPED])
    text = text.upper() if text.isascii() else ""
    return text if _CODE.fullmatch(text) else ""


@transaction.atomic
def redeem_code(*, account: Account, user: User, typed: str) -> PromoRedemption:
    """Use a code for an account: its credits are there afterwards, or its percent wait for the next package.

    Raises:
        PromoCodeRefused: it brings nothing; a subclass for each reason.
        Http404: the account is closed.
    """
    hold_account(account)
    mine = credits_of(account)
    code = PromoCode.objects.select_for_update(no_key=True).filter(code=compared(typed), starts_at__lte=timezone.now()).first()
    if code is None:
        raise UnknownPromoCode("There is no such code. Look whether it is typed as you were given it.")
    # An order that is paid at this moment waits for this lock, or this waits for it: the code counts before it or after it.
    LedgerAccount.objects.select_for_update(no_key=True).get(pk=mine.pk)
    uses = PromoRedemption.objects.filter(promo_code=code)
    number = uses.filter(account=account).count() + 1
    _check(code, account, uses.filter(Q(account=account) | Q(user=user)).count())
    code.used += 1
    code.save(update_fields=["used"])
    redeemed = PromoRedemption(
        promo_code=code, account=account, user=user, number=number, credits=code.credits, percent=code.percent
    )
    if code.credits:
        legs = [Leg(mine, code.credits), Leg(operator_account(LedgerAccount.Kind.PROMOTIONS), -code.credits)]
        key = f"promo:{code.pk}:{account.pk.hex}:{number}"
        redeemed.entry = post_entry(cause=Entry.Cause.PROMOTION, key=key, legs=legs, reason=code.code)
    redeemed.save()
    after_commit(forget_counters, account.pk)
    return redeemed


def _check(code: PromoCode, account: Account, uses: int) -> None:
    """Find what stands against a use. What was done here comes first: who asks again learns that it is done.

    `uses`: by the account, and by the person for whichever account, or everybody would make organisations to use a code in.

    Raises:
        PromoCodeRefused: something does.
    """
    if uses >= code.max_uses_per_account:
        raise PromoCodeAlreadyUsed("You have used this code already.")
    if code.ends_at is not None and code.ends_at <= timezone.now():
        raise PromoCodeEnded("This code has ended.")
    if code.max_uses is not None and code.used >= code.max_uses:
        raise PromoCodeUsedUp("This code is used up.")
    if code.first_purchase_only and Order.objects.filter(account=account, paid_at__isnull=False).exists():
        raise OnlyFirstPurchase("This code is for a first purchase, and credits were bought here before.")
    if code.percent and providers.current() is None:
        raise NoPackages("This code brings more with a package, and nothing is for sale here right now.")
    if code.percent and waiting(account) is not None:
        raise AnotherWaits("Another code waits for the next package. Buy that first: one code counts for one package.")


def waiting(account: Account) -> PromoRedemption | None:
    """Return the redemption that brings more with the account's next package."""
    return PromoRedemption.objects.filter(account=account, entry=None).select_related("promo_code").first()


def redemptions_of(account: Account) -> QuerySet[PromoRedemption]:
    """Return what an account redeemed, the newest first."""
    return PromoRedemption.objects.filter(account=account).select_related("promo_code")


def bonus(credits: int, percent: int) -> int:
    """Return how many credits more a package of so many brings; a begun one counts whole."""
    return -(-credits * percent // 100)


def take_waiting(order: Order) -> PromoRedemption | None:
    """Return what waits for the account's next package and is for this one, locked until the transaction ends.

    Whoever calls holds the account's credits, and writes what came of it by `spend_on`.
    """
    return PromoRedemption.objects.select_for_update().filter(account=order.account_id, entry=None).first()


def spend_on(order: Order, redeemed: PromoRedemption, entry: Entry) -> None:
    """Note with which order, and by which entry, a redemption brought its credits."""
    redeemed.order, redeemed.entry = order, entry
    redeemed.save(update_fields=["order", "entry"])
