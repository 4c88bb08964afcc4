"""A provider that charges by a consent, as somebody may add one: registered as the portal's own would be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

import pytest
from celery import current_app
from celery.exceptions import Retry

from accounts.models import Account, Membership
from accounts.tests.helpers import at_once
from billing import tasks
from billing.models import Order, Package, PaymentTransaction, Provider
from billing.providers import Consent, NotForUs, ProviderError, ProviderUnavailable, Report
from billing.services import balance, spend_credits, top_up, verify_ledger
from billing.tests.conftest import make_account
from billing.tests.helpers import with_credits
from iotportal.uuid7 import uuid7

pytestmark = pytest.mark.usefixtures("clean_valkey")


class Vault:
    """A provider with stored consents. It charges once for a key, and says `says` of it."""

    name = Provider.PAYPAL_ORDERS

    def __init__(self) -> None:
        self.consents: dict[UUID, Consent] = {}
        self.charged: dict[str, Report] = {}
        self.asked = 0
        self.says = PaymentTransaction.Status.COMPLETED
        self.takes = "5.00"
        self.errors: list[ProviderError] = []

    def consent_of(self, account: Account) -> Consent | None:
        return self.consents.get(account.pk)

    def charge(self, order: Order, *, key: str) -> Report:
        self.asked += 1
        if self.errors:
            raise self.errors.pop()
        payment = PaymentTransaction.Kind.PAYMENT
        report = Report(order.pk.hex, f"CHARGE{len(self.charged)}", payment, self.says, self.takes, order.currency)
        return self.charged.setdefault(key, report)


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    monkeypatch.setitem(current_app.conf, "task_always_eager", True)
    one = Vault()
    top_up.register(one)
    yield one
    top_up.unregister(one)


def agree(vault: Vault, account: Account) -> None:
    package = Package.objects.get_or_create(credits=500, currency="USD", defaults={"price_minor": 500})[0]
    Package.objects.filter(pk=package.pk).update(price_minor=500, offered=True)
    vault.consents[account.pk] = Consent(account.memberships.get().user, package.pk)


@pytest.mark.usefixtures("committed")
def test_who_agreed_is_charged_once_for_each_time_that_credits_run_low(vault: Vault) -> None:
    alice, bob = make_account("alice"), make_account("bob")
    agree(vault, alice)
    for account in (alice, bob):
        with_credits(account, 60)
        for number in range(3):
            spend_credits(account=account, credits=10, key=f"use:{account.pk}:{number}")
    assert (balance(alice), balance(bob), vault.asked) == (530, 30, 1)
    order = Order.objects.get()
    assert (order.status, order.account, list(vault.charged)) == ("paid", alice, [order.pk.hex])
    spend_credits(account=alice, credits=500, key="all")
    assert (balance(alice), len(vault.charged), verify_ledger()) == (530, 2, [])


@pytest.mark.usefixtures("committed")
def test_one_fall_is_one_order_and_one_charge_however_many_ask(vault: Vault) -> None:
    alice, entry = make_account("alice"), uuid7()
    agree(vault, alice)
    at_once(6, lambda: top_up.top_up(account=alice, entry_id=entry))
    assert (balance(alice), list(vault.charged), Order.objects.get().pk) == (500, [entry.hex], entry)


def test_a_provider_that_does_not_answer_is_asked_again_for_the_same(vault: Vault, alice: Account) -> None:
    agree(vault, alice)
    vault.errors = [ProviderUnavailable("Away.")]
    words = {"account_id": alice.pk.hex, "entry_id": uuid7().hex}
    with suppress(Retry):
        tasks.top_up.apply(kwargs=words)
    tasks.top_up.apply(kwargs=words)
    assert (vault.asked, len(vault.charged), Order.objects.count(), balance(alice)) == (2, 1, 1, 500)


def test_what_is_pending_or_failed_brings_nothing_yet(vault: Vault, alice: Account, bob: Account) -> None:
    for account, says in ((alice, PaymentTransaction.Status.PENDING), (bob, PaymentTransaction.Status.FAILED)):
        agree(vault, account)
        vault.says = says
        entry = uuid7()
        orders = [top_up.top_up(account=account, entry_id=entry) for _ in range(2)]
        assert [one and one.status for one in orders] == [says, says]
    assert (vault.asked, balance(alice), balance(bob)) == (2, 0, 0)


def test_a_charge_of_something_else_brings_nothing(vault: Vault, alice: Account) -> None:
    agree(vault, alice)
    vault.takes = "0.01"
    with pytest.raises(NotForUs, match="costs USD 5.00"):
        top_up.top_up(account=alice, entry_id=uuid7())
    assert (balance(alice), Order.objects.get().status) == (0, "open")


def test_nobody_is_charged_by_a_consent_of_who_left(vault: Vault, alice: Account, bob: Account) -> None:
    agree(vault, alice)
    Membership.objects.filter(account=alice).delete()
    vault.consents[bob.pk] = vault.consents[alice.pk]  # nor by one that somebody gave for an account of others
    assert [top_up.top_up(account=one, entry_id=uuid7()) for one in (alice, bob)] == [None, None]
    assert (vault.asked, Order.objects.count()) == (0, 0)
