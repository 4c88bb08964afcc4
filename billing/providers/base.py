"""What every payment provider does for us, in the same words, so that orders and the ledger know none of them by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from accounts.models import Account, User
from billing.models import Order, PaymentNotice, PaymentTransaction, Provider


class ProviderError(Exception):
    """The provider did not do what it was asked for; the text is for people."""


class ProviderUnavailable(ProviderError):
    """It could not be reached, or answered with nonsense. What was asked may be asked again."""


class Declined(ProviderError):
    """The provider does not do that with this order, now or ever."""


class WayDeclined(ProviderError):
    """The buyer's card or account was declined: they may choose another and approve again."""


class NotForUs(Exception):
    """A notice, though the provider's own, that nothing follows from; the text says why.

    `rejected`: it claims something that is not so, and an operator should look at it.
    """

    def __init__(self, why: str, *, rejected: bool) -> None:
        super().__init__(why)
        self.rejected = rejected


@dataclass(frozen=True, slots=True)
class Report:
    """What a notice says happened to the money: `amount` as the provider wrote it, of `currency`.

    `order_id` is what we gave the provider with the order. `parent` names the payment that a refund, a reversal or a
    reinstatement is about.
    """

    order_id: str
    reference: str
    kind: PaymentTransaction.Kind
    status: PaymentTransaction.Status
    amount: str
    currency: str
    parent: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ways:
    """The addresses of ours that a buyer, or the provider itself, comes back to."""

    back: str
    cancel: str
    notify: str


@dataclass(frozen=True, slots=True)
class Begun:
    """A payment that waits for its buyer: where to approve it, and the provider's own id of it, if it has one already."""

    url: str
    reference: str = ""


class PaymentProvider(Protocol):
    """A way to be paid."""

    name: Provider

    def missing(self) -> list[str]:
        """Return the variables that are not set and without which it cannot sell, nor tell its notices from others'."""
        ...

    def begin(self, order: Order, ways: Ways) -> Begun:
        """Have the provider wait for the buyer's approval. Raises ProviderError."""
        ...

    def complete(self, order: Order) -> Report | None:
        """Carry out what the buyer approved, where the provider leaves that to us; returns what it says at once, if anything.

        It is done once however often it is asked for. Raises ProviderError.
        """
        ...

    def returned_with(self, query: Mapping[str, str]) -> str:
        """Return the payment that a buyer's way back names, if this provider can be asked about it; empty: it cannot.

        The name is the buyer's word. A notice of the kind `return` asks about it: `verify` gets the provider's `answer`, `read`
        reads that.
        """
        ...

    def refund(self, payment: PaymentTransaction, amount_minor: int, *, key: str) -> Report | None:
        """Pay a part or all of a payment back; returns what the provider says, None where the operator does that there.

        Once for a `key`, however often it is asked for. Raises ProviderError.
        """
        ...

    def verify(self, notice: PaymentNotice) -> bool:
        """Ask the provider whether a notice is its own. Raises ProviderUnavailable."""
        ...

    def read(self, notice: PaymentNotice) -> Report:
        """Return what a verified notice says. Raises NotForUs."""
        ...


@dataclass(frozen=True, slots=True)
class Consent:
    """What somebody agreed to once: that this package is charged again when an account's credits run low."""

    buyer: User
    package_id: int
    country: str = ""


class ChargesByConsent(Protocol):
    """What a provider can do besides that charges without the buyer being there. None of the portal's own can: see
    `services.top_up`, where one is registered.
    """

    name: Provider

    def consent_of(self, account: Account) -> Consent | None:
        """Return the consent that an account gave and has not withdrawn; asks nobody outside."""
        ...

    def charge(self, order: Order, *, key: str) -> Report:
        """Charge the price of a stored order by the consent of its account.

        Once for a `key`, however often it is asked for, and with the same report then. Its status says what came of it:

            completed   the money is ours: the credits are there
            pending     it will be or not: a notice of the provider, which names the order, tells the rest
            failed      it is refused for good: the order ends so, and the next fall of the balance may try again

        Raises:
            ProviderUnavailable: nobody knows what came of it; it is asked again with the same key.
            ProviderError: it charges nothing; the order stays unpaid.
        """
        ...
