"""Many at once, and anything in any order: never below zero, nothing lost, nothing twice."""

from __future__ import annotations

import itertools
from collections import Counter
from contextlib import suppress

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Account
from accounts.tests.helpers import at_once
from billing.models import Entry, LedgerAccount
from billing.services import (
    BillingError,
    InsufficientCredits,
    balance,
    correct_balance,
    give_credits,
    operator_account,
    reverse_entry,
    spend_credits,
    verify_ledger,
)
from billing.tests.conftest import make_account
from billing.tests.helpers import total, with_credits

THREADS = 50


@pytest.mark.usefixtures("committed")
def test_fifty_threads_spend_the_last_credits_and_what_there_was_is_spent_once() -> None:
    alice = make_account("alice")
    with_credits(alice, 30)
    numbers = itertools.count()

    results = at_once(THREADS, lambda: spend_credits(account=alice, credits=1, key=f"use:{next(numbers)}"))

    assert Counter(type(one) for one in results) == {Entry: 30, InsufficientCredits: 20}
    assert (balance(alice), operator_account(LedgerAccount.Kind.REVENUE).balance, total()) == (0, 30, 0)
    assert verify_ledger() == []


@pytest.mark.usefixtures("committed")
def test_of_fifty_with_one_key_one_spends_and_all_get_its_entry() -> None:
    alice = make_account("alice")
    with_credits(alice, 30)

    results = at_once(THREADS, lambda: spend_credits(account=alice, credits=7, key="use:1"))

    assert results == [Entry.objects.get(cause="spend")] * THREADS
    assert balance(alice) == 23


@pytest.mark.usefixtures("committed")
def test_an_account_of_the_ledger_is_opened_once_and_gifts_and_corrections_do_not_block_each_other() -> None:
    owners = [make_account("alice"), make_account("bob")]
    numbers = itertools.count()

    def move() -> int:
        number = next(numbers)
        owner = owners[number % 2]
        if number % 3:
            give_credits(account=owner, credits=5, reason="x", key=f"gift:{number}")
        else:
            correct_balance(account=owner, credits=1, reason="x", key=f"correction:{number}")
        return number

    assert sorted(at_once(24, move), key=str) == sorted(range(24), key=str)
    assert (sum(balance(owner) for owner in owners), total()) == (16 * 5 + 8, 0)
    assert verify_ledger() == []


Step = tuple[str, int, int, int]
kinds = st.sampled_from(["gift", "spend", "correct", "reverse"])
steps = st.lists(st.tuples(kinds, st.integers(0, 1), st.integers(-5, 60), st.integers(0, 12)), max_size=30)


@given(steps)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_done_in_whatever_order_the_books_balance(alice: Account, bob: Account, todo: list[Step]) -> None:
    with transaction.atomic():
        expected, keys = [0, 0], set[str]()
        for step in todo:
            with suppress(BillingError):
                _do(step, (alice, bob), expected, keys)
            assert [balance(alice), balance(bob)] == expected
            assert min(expected) >= 0
        assert total() == 0
        assert Entry.objects.count() == len(keys)
        assert verify_ledger() == []
        transaction.set_rollback(True)


def _do(step: Step, owners: tuple[Account, Account], expected: list[int], keys: set[str]) -> None:
    """Do one step, and note what must have come of it unless it was refused."""
    what, who, credits, number = step
    key = f"{what}:{number}"
    if what == "reverse":
        entry = Entry.objects.order_by("id")[number : number + 1].first()
        if entry is not None:
            moved = {one.account.owner_id: -one.amount for one in entry.postings.select_related("account")}
            keys.add(reverse_entry(entry=entry, reason="x").idempotency_key)
            for place, owner in enumerate(owners):
                expected[place] += moved.get(owner.pk, 0)
        return
    if what == "gift":
        give_credits(account=owners[who], credits=credits, reason="x", key=key)
    elif what == "spend":
        spend_credits(account=owners[who], credits=credits, key=key)
    else:
        correct_balance(account=owners[who], credits=credits, reason="x", key=key)
    if key not in keys:
        keys.add(key)
        expected[who] += -credits if what == "spend" else credits
