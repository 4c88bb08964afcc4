"""People are told that credits run low: once, and again only after there were more."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock

import pytest
from django.test import Client
from pytest_django import Settings

from accounts.models import Account
from accounts.tests.helpers import at_once
from billing import hooks
from billing.services import give_credits, low_balance, spend_credits
from billing.tests.conftest import make_account
from billing.tests.helpers import with_credits

pytestmark = pytest.mark.usefixtures("clean_valkey")


@pytest.fixture
def told() -> Iterator[list[tuple[str, int, int]]]:
    """What is told while a test runs."""
    heard: list[tuple[str, int, int]] = []
    lock = Lock()

    def hear(low: hooks.BalanceLow) -> None:
        with lock:
            heard.append((low.account.name, low.credits, low.below))

    hooks.balance_low.register(hear)
    yield heard
    hooks.balance_low._handlers.remove(hear)


def spend(account: Account, *amounts: int) -> None:
    for number, amount in enumerate(amounts):
        spend_credits(account=account, credits=amount, key=f"use:{account.pk.hex}:{number}:{amount}")


def test_it_is_told_once_until_there_is_more_again(alice: Account, told: list[tuple[str, int, int]]) -> None:
    with_credits(alice, 60)
    spend(alice, 10)
    assert told == [], "50 are not fewer than 50"
    spend(alice, 1, 2, 3)
    assert told == [(alice.name, 49, 50)]
    give_credits(account=alice, credits=6, reason="Still few: nothing to warn of twice", key="six")
    give_credits(account=alice, credits=100, reason="Enough", key="hundred")
    spend(alice, 99)
    assert [one[1] for one in told] == [49]
    spend(alice, 5)
    assert [one[1] for one in told] == [49, 46]


def test_who_starts_with_few_is_warned_at_the_first_use_not_at_the_gift(alice: Account, told: list[tuple[str, int, int]]) -> None:
    with_credits(alice, 10)
    assert told == []
    spend(alice, 1)
    assert [one[1] for one in told] == [9]


def test_each_account_chooses_its_number(alice: Account, bob: Account, told: list[tuple[str, int, int]]) -> None:
    for one in (alice, bob):
        with_credits(one, 1000)
    low_balance.set_threshold(account=alice, below=900)
    low_balance.set_threshold(account=bob, below=0)
    spend(alice, 200)
    spend(bob, 1000)
    assert told == [(alice.name, 800, 900)]
    low_balance.set_threshold(account=alice, below=700)
    spend(alice, 150)
    assert [one[1] for one in told] == [800, 650]
    for wrong in (-1, 10**7):
        with pytest.raises(ValueError, match="Between"):
            low_balance.set_threshold(account=alice, below=wrong)


@pytest.mark.usefixtures("committed")
def test_of_many_who_spend_at_once_one_tells(told: list[tuple[str, int, int]]) -> None:
    alice = make_account("alice")
    with_credits(alice, 55)
    numbers = iter(range(20))
    at_once(8, lambda: spend_credits(account=alice, credits=1, key=f"use:{next(numbers)}"))
    assert [one[1] for one in told] == [49]


def test_the_number_is_chosen_on_the_page(alice: Account, settings: Settings) -> None:
    settings.LOW_BALANCE = 77
    client = Client()
    client.force_login(alice.memberships.get().user)
    path = f"/account/billing/{alice.pk}/"
    assert 'value="77"' in client.get(path).content.decode()
    assert client.post(f"{path}low-balance/", {"below": "120"}).status_code == 302
    assert 'value="120"' in client.get(path).content.decode()
    for wrong in ("-1", "x", "", "9" * 30):
        assert client.post(f"{path}low-balance/", {"below": wrong}).status_code == 400
    assert low_balance.threshold(alice) == 120
