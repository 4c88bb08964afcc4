"""Raw SQL, as the portal's own role, against the ledger: none of it is committed."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import ProtectedError

from accounts.models import Account
from billing.models import Entry, LedgerAccount, Posting
from billing.services import balance, credits_of, operator_account, verify_ledger
from billing.services.verification import BooksDoNotBalance
from billing.tasks import verify_ledger as verify_ledger_task
from billing.tests.helpers import TABLES, settle, unguarded, with_credits

Facts = dict[str, Any]
BOOK = """
INSERT INTO billing_entry (id, cause, idempotency_key, reason, size)
    VALUES (%(id)s, %(cause)s, %(id)s, 'x', %(size)s);
INSERT INTO billing_posting (entry_id, account_id, amount) VALUES
    (%(id)s, %(credits)s, %(plus)s), (%(id)s, %(gifts)s, %(minus)s);
"""


def attempt(*statements: str, **values: Any) -> None:
    """Run statements up to what a commit would check."""
    with transaction.atomic(), connection.cursor() as db:
        for statement in statements:
            db.execute(statement, values)
        db.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.fixture
def facts(alice: Account) -> Facts:
    """Return the ids of what is in a ledger with one gift of 500 credits."""
    credits = with_credits(alice, 500)
    settle()
    return {
        "credits": credits.pk,
        "gifts": operator_account(LedgerAccount.Kind.PROMOTIONS).pk,
        "entry": Entry.objects.get().pk,
        "id": uuid4(),
        "owner": alice.pk,
        "cause": "gift",
        "size": 2,
        "plus": 7,
        "minus": -7,
    }


def test_the_attacks_below_fail_for_what_is_wrong_with_them_alone(alice: Account, facts: Facts) -> None:
    attempt(BOOK, **facts)
    assert balance(alice) == 507


@pytest.mark.parametrize(
    "wrong",
    [
        {"minus": -6},
        {"plus": -501, "minus": 501},
        {"plus": 0, "minus": 0},
        {"plus": 2**63 - 1, "minus": -(2**63 - 1)},  # over the end of the balance
        {"size": 3},
        {"size": 1},
        {"cause": "theft"},
        {"cause": "reversal"},
    ],
    ids=str,
)
def test_a_wrong_entry_is_not_committed(alice: Account, facts: Facts, wrong: Facts) -> None:
    with pytest.raises(DatabaseError, match="entry|ledgeraccount|posting|out of range"):
        attempt(BOOK, **facts | wrong)
    assert balance(alice) == 500


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE billing_posting SET amount = amount * 2",
        "UPDATE billing_posting SET account_id = account_id",
        "UPDATE billing_entry SET reason = 'other'",
        "UPDATE billing_entry SET at = now() WHERE id = %(entry)s",
        "INSERT INTO billing_posting SELECT * FROM billing_posting ON CONFLICT (id) DO UPDATE SET amount = 1",
        "DELETE FROM billing_posting",
        "DELETE FROM billing_entry",
        "DELETE FROM billing_ledgeraccount",
        "TRUNCATE billing_posting",
        "TRUNCATE billing_entry CASCADE",
        "TRUNCATE billing_ledgeraccount CASCADE",
        "TRUNCATE accounts_account CASCADE",
        "UPDATE billing_ledgeraccount SET balance = 1000000 WHERE id = %(credits)s",
        "UPDATE billing_ledgeraccount SET kind = 'revenue', owner_id = NULL WHERE id = %(credits)s",
        "UPDATE billing_ledgeraccount SET owner_id = %(owner)s WHERE id = %(credits)s",
        "INSERT INTO billing_ledgeraccount (kind, currency, balance) VALUES ('revenue', 'USD', 5)",
        "INSERT INTO billing_ledgeraccount (kind, currency, owner_id) VALUES ('credits', 'USD', %(owner)s)",
        "INSERT INTO billing_ledgeraccount (kind, currency, owner_id) VALUES ('credits', 'CRD', %(owner)s)",
        "INSERT INTO billing_ledgeraccount (kind, currency) VALUES ('promotions', 'CRD')",
        "INSERT INTO billing_entry (id, cause, idempotency_key, reason, size) VALUES (%(id)s, 'spend', 'lonely', '', 2)",
        "INSERT INTO billing_entry (id, cause, idempotency_key, reason, size) VALUES (%(id)s, 'gift', 'why', '', 2)",
        "INSERT INTO billing_posting (entry_id, account_id, amount) VALUES (%(id)s, %(credits)s, 5)",
        "SET session_replication_role = replica",
    ],
)
def test_nothing_is_edited_deleted_or_slipped_in(alice: Account, facts: Facts, attack: str) -> None:
    with pytest.raises(DatabaseError, match="append-only|only postings|violates|not as many|permission denied"):
        attempt(attack, **facts)
    assert balance(alice) == 500
    assert verify_ledger() == []


def test_nothing_is_added_to_an_entry_later_even_if_it_balances(alice: Account, bob: Account, facts: Facts) -> None:
    facts["bob"], facts["revenue"] = credits_of(bob).pk, operator_account(LedgerAccount.Kind.REVENUE).pk
    with pytest.raises(IntegrityError, match="has not as many postings"):
        attempt("INSERT INTO billing_posting (entry_id, account_id, amount) "
                "VALUES (%(entry)s, %(bob)s, 9), (%(entry)s, %(revenue)s, -9)", **facts)  # fmt: skip
    assert balance(bob) == 0


def test_a_temporary_table_does_not_blind_the_guards(alice: Account, facts: Facts) -> None:
    blind = "CREATE TEMP TABLE billing_posting (entry_id uuid, account_id bigint, amount bigint) ON COMMIT DROP"
    lie = "INSERT INTO pg_temp.billing_posting VALUES (%(id)s, %(credits)s, 7), (%(id)s, %(gifts)s, -7)"
    with pytest.raises(IntegrityError, match="does not balance"):
        attempt(blind, lie, BOOK.replace("INTO billing_posting", "INTO public.billing_posting"), **facts | {"minus": -1})
    assert balance(alice) == 500


def test_the_models_cannot_be_saved_or_deleted_either(alice: Account, facts: Facts) -> None:
    posting = Posting.objects.get(account__owner=alice)
    posting.amount = 1
    for attack in (posting.save, posting.delete):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            attack()
    with pytest.raises(ProtectedError):
        alice.delete()


def test_who_owns_the_tables_and_goes_around_the_guards_is_found_out(alice: Account, facts: Facts) -> None:
    verify_ledger_task()
    with unguarded(), connection.cursor() as db:
        assert len(verify_ledger()) == 10, "each guard that sleeps"
        db.execute("UPDATE billing_posting SET amount = amount + 1 WHERE account_id = %(credits)s", facts)
    entry = str(facts["entry"])
    assert verify_ledger() == [
        f"account {facts['credits']} has a balance of 500, its postings add up to 501",
        f"entry {entry} does not balance or is not whole",
    ]
    with unguarded(), connection.cursor() as db:
        db.execute("DELETE FROM billing_posting WHERE account_id = %(gifts)s", facts)
        db.execute("UPDATE billing_ledgeraccount SET balance = 501 WHERE id = %(credits)s", facts)
    assert any(entry in line for line in verify_ledger()), "half of it is gone"


def test_it_raises_the_alarm(alice: Account, facts: Facts, caplog: pytest.LogCaptureFixture) -> None:
    with unguarded(), connection.cursor() as db:
        db.execute("UPDATE billing_ledgeraccount SET balance = 400 WHERE id = %(credits)s", facts)
    with pytest.raises(BooksDoNotBalance, match="1 things"):
        verify_ledger_task()
    [record] = [one for one in caplog.records if one.levelname == "CRITICAL"]
    assert record.getMessage().endswith("has a balance of 400, its postings add up to 500")


def test_the_tables_are_the_ones_that_are_guarded() -> None:
    assert {model._meta.db_table for model in (LedgerAccount, Entry, Posting)} == set(TABLES)
