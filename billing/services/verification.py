"""Do the books add up? Asked again and again, for what nobody looks at goes wrong unseen."""

from __future__ import annotations

import logging
from typing import Any

from django.db import connection

logger = logging.getLogger(__name__)


class BooksDoNotBalance(Exception):
    """The ledger is not what its rules make of it: somebody went around them."""


# Each asks in one statement, so that it sees one moment, whatever is posted meanwhile.
_WRONG_BALANCES = """
SELECT account.id, account.balance, coalesce(sum(posting.amount), 0)
FROM billing_ledgeraccount account LEFT JOIN billing_posting posting ON posting.account_id = account.id
GROUP BY account.id HAVING account.balance <> coalesce(sum(posting.amount), 0) ORDER BY account.id LIMIT 20
"""
_WRONG_ENTRIES = """
WITH sums AS (
    SELECT posting.entry_id, count(*) AS postings, sum(posting.amount) AS amount
    FROM billing_posting posting JOIN billing_ledgeraccount account ON account.id = posting.account_id
    GROUP BY posting.entry_id, account.currency
), totals AS (SELECT entry_id, sum(postings) AS postings, bool_and(amount = 0) AS balances FROM sums GROUP BY entry_id)
SELECT coalesce(entry.id, totals.entry_id)
FROM billing_entry entry FULL JOIN totals ON totals.entry_id = entry.id
WHERE entry.id IS NULL OR totals.entry_id IS NULL OR entry.size <> totals.postings OR NOT totals.balances LIMIT 20
"""
_BELOW_ZERO = "SELECT id, balance FROM billing_ledgeraccount WHERE kind = 'credits' AND balance < 0 ORDER BY id LIMIT 20"
_GUARDS = """
SELECT tgname FROM pg_trigger
WHERE tgrelid IN ('billing_entry'::regclass, 'billing_posting'::regclass, 'billing_ledgeraccount'::regclass)
AND NOT tgisinternal AND tgenabled IN ('O', 'A')
"""
GUARDS = frozenset({
    "ledger_entry_stays", "ledger_entry_not_truncated", "ledger_entry_balances", "ledger_posting_stays",
    "ledger_posting_not_truncated", "ledger_posting_balances", "ledger_posting_moves", "ledger_account_stays",
    "ledger_account_not_truncated", "ledger_account_guarded",
})  # fmt: skip


def verify_ledger() -> list[str]:
    """Compare balances with sums, entries with their postings, and the guards with what they should be; returns what is wrong."""
    wrong = [
        *(
            f"account {pk} has a balance of {balance}, its postings add up to {total}"
            for pk, balance, total in _ask(_WRONG_BALANCES)
        ),
        *(f"account {pk} has {balance} credits" for pk, balance in _ask(_BELOW_ZERO)),
        *(f"entry {pk} does not balance or is not whole" for (pk,) in _ask(_WRONG_ENTRIES)),
    ]
    awake = {name for (name,) in _ask(_GUARDS)}
    return [*wrong, *(f"guard {name} is missing or switched off" for name in sorted(GUARDS - awake))]


def sound_alarm_if_wrong() -> None:
    """Verify the ledger and log each thing that is wrong as critical.

    Raises:
        BooksDoNotBalance: something is, so that the job that asked counts as failed.
    """
    wrong = verify_ledger()
    for line in wrong:
        logger.critical("ledger: %s", line)
    if wrong:
        raise BooksDoNotBalance(f"{len(wrong)} things are wrong with the ledger; first: {wrong[0]}")


def _ask(statement: str) -> list[Any]:
    with connection.cursor() as db:
        db.execute(statement)
        return list(db.fetchall())
