"""History that is erased because its owner goes."""

from __future__ import annotations

from uuid import UUID

from django.db import connection

BATCH = 10_000  # rows a transaction, so that nobody waits for the locks of a long one


def erase_history(*, account_id: UUID) -> int:
    """Delete every message and command of an account, in steps of `BATCH`; returns how many rows that were."""
    return sum(_erase(table, account_id) for table in ("messaging_message", "messaging_command"))


def _erase(table: str, account_id: UUID) -> int:
    some = f"SELECT time, id FROM {table} WHERE account_id = %s ORDER BY time DESC, id DESC LIMIT {BATCH}"  # noqa: S608  # constants
    total: int = 0
    with connection.cursor() as db:
        while True:
            db.execute(f"DELETE FROM {table} WHERE (time, id) IN ({some})", [account_id])  # noqa: S608  # constants
            total += db.rowcount
            if db.rowcount < BATCH:
                return total
