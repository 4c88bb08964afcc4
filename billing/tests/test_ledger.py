"""What moves credits, and what it refuses."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.http import Http404
from django.utils import timezone

from accounts.models import Account, Membership, User
from accounts.services import create_organisation, delete_due, request_deletion
from accounts.services.organisations import delete_organisation
from billing.models import Entry, LedgerAccount, Posting
from billing.services import (
    AlreadyReversed,
    InsufficientCredits,
    InvalidEntry,
    KeyReused,
    Leg,
    balance,
    correct_balance,
    credits_of,
    give_credits,
    operator_account,
    post_entry,
    reverse_entry,
    spend_credits,
    verify_ledger,
)
from billing.tests.helpers import promised, total, with_credits

Kind, Cause = LedgerAccount.Kind, Entry.Cause


def test_a_gift_comes_from_the_operators_promotions_and_says_why(alice: Account, bob: Account) -> None:
    entry = give_credits(account=alice, credits=500, reason="Sorry for Tuesday", key="gift:1")
    assert (balance(alice), balance(bob), promised(), total()) == (500, 0, 500, 0)
    assert (entry.cause, entry.reason) == ("gift", "Sorry for Tuesday")
    assert sorted(entry.postings.values_list("amount", flat=True)) == [-500, 500]


def test_what_is_used_goes_to_revenue_all_or_none(alice: Account) -> None:
    with_credits(alice, 10)
    spend_credits(account=alice, credits=10, key="use:1")
    with pytest.raises(InsufficientCredits):
        spend_credits(account=alice, credits=1, key="use:2")
    assert balance(alice) == 0
    assert operator_account(Kind.REVENUE).balance == 10
    with_credits(alice, 5)
    spend_credits(account=alice, credits=1, key="use:2")  # the refusal did not use its key up
    assert balance(alice) == 4


def test_a_key_moves_once(alice: Account, bob: Account) -> None:
    with_credits(alice, 10)
    first = spend_credits(account=alice, credits=3, key="use:1")
    assert spend_credits(account=alice, credits=3, key="use:1") == first
    assert balance(alice) == 7
    with pytest.raises(KeyReused):
        spend_credits(account=alice, credits=4, key="use:1")
    with pytest.raises(KeyReused):
        give_credits(account=bob, credits=3, reason="x", key="use:1")
    assert (balance(alice), balance(bob)) == (7, 0)


def test_a_reversal_moves_everything_back_once(alice: Account) -> None:
    gift = give_credits(account=alice, credits=500, reason="Welcome", key="gift:1")
    undone = reverse_entry(entry=gift, reason="Wrong person")
    assert (balance(alice), promised()) == (0, 0)
    assert undone.reverses == gift
    for entry in (gift, undone):
        with pytest.raises(AlreadyReversed):
            reverse_entry(entry=entry, reason="Once more")
    legs = [Leg(credits_of(alice), 1), Leg(operator_account(Kind.PROMOTIONS), -1)]
    with pytest.raises(AlreadyReversed):
        post_entry(cause=Cause.REVERSAL, key="other", legs=legs, reason="x", reverses=gift)


def test_what_is_used_up_cannot_be_taken_back(alice: Account) -> None:
    gift = give_credits(account=alice, credits=500, reason="Welcome", key="gift:1")
    spend_credits(account=alice, credits=1, key="use:1")
    with pytest.raises(InsufficientCredits):
        reverse_entry(entry=gift, reason="Wrong person")
    correct_balance(account=alice, credits=-499, reason="Wrong person", key="c:1")
    correct_balance(account=alice, credits=2, reason="Two were theirs", key="c:2")
    assert (balance(alice), total()) == (2, 0)


@pytest.mark.parametrize("credits", [0, -1, 1.0, True, "5", 10**12 + 1])
def test_an_amount_that_is_none_is_refused(alice: Account, credits: int) -> None:
    with pytest.raises(InvalidEntry):
        give_credits(account=alice, credits=credits, reason="x", key="k")
    with pytest.raises(InvalidEntry):
        spend_credits(account=alice, credits=credits, key="k")
    assert not Entry.objects.exists()


def test_what_a_person_decides_needs_a_reason(alice: Account) -> None:
    gift = give_credits(account=alice, credits=1, reason="x", key="gift:1")
    for why in ("", "  ", "x" * 201):
        with pytest.raises(InvalidEntry):
            give_credits(account=alice, credits=1, reason=why, key="k")
        with pytest.raises(InvalidEntry):
            correct_balance(account=alice, credits=1, reason=why, key="k")
        with pytest.raises(InvalidEntry):
            reverse_entry(entry=gift, reason=why)


def test_an_entry_that_does_not_balance_is_refused(alice: Account) -> None:
    credits, gifts = credits_of(alice), operator_account(Kind.PROMOTIONS)
    euros = operator_account(Kind.PURCHASES, "EUR")
    for legs in (
        [],
        [Leg(credits, 5)],
        [Leg(credits, 5), Leg(gifts, -4)],
        [Leg(credits, 5), Leg(euros, -5)],  # credits are no euros
        [Leg(credits, 5), Leg(credits, -5)],
        [Leg(credits, 0), Leg(gifts, 0)],
    ):
        with pytest.raises(InvalidEntry):
            post_entry(cause=Cause.PURCHASE, key="k", legs=legs)
    for key in ("", "k" * 121):
        with pytest.raises(InvalidEntry):
            post_entry(cause=Cause.PURCHASE, key=key, legs=[Leg(credits, 5), Leg(gifts, -5)])
    assert not Posting.objects.exists()


def test_one_entry_may_move_several_currencies(alice: Account) -> None:
    paid, sold = operator_account(Kind.REFUNDS, "EUR"), operator_account(Kind.PURCHASES, "EUR")
    legs = [Leg(credits_of(alice), 500), Leg(operator_account(Kind.PURCHASES), -500), Leg(paid, 999), Leg(sold, -999)]
    post_entry(cause=Cause.PURCHASE, key="order:1", legs=legs)
    assert balance(alice) == 500
    assert verify_ledger() == []


def test_a_person_is_erased_and_the_books_still_add_up(alice: Account) -> None:
    user = User.objects.get(memberships__account=alice)
    with_credits(alice, 500)
    spend_credits(account=alice, credits=20, key="use:1")
    request_deletion(user=user, name=user.username)
    with time_machine.travel(timezone.now() + timedelta(days=30)):
        assert (delete_due(), delete_due()) == (1, 1)
    assert not User.objects.exists()
    assert Account.objects.get(pk=alice.pk).name == "deleted"
    assert (balance(alice), total()) == (480, 0)
    assert verify_ledger() == []
    assert "alice" not in str([*Entry.objects.values(), *Posting.objects.values(), *LedgerAccount.objects.values()])


def test_a_closed_account_gets_no_ledger(alice: Account) -> None:
    owner = Membership.objects.get(account=alice).user
    works = create_organisation(user=owner, name="Works")
    kept = create_organisation(user=owner, name="Kept")
    with_credits(kept, 5)
    for one in (works, kept):
        delete_organisation(account=one, by=owner, name=one.name)
    with pytest.raises(Http404):
        give_credits(account=works, credits=1, reason="x", key="k")
    assert balance(kept) == 5
