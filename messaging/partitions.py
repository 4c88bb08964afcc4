"""Monthly partitions of the history tables, made ahead of time and dropped whole, with nobody who reads or writes waiting.

A partition is made beside its table and attached, and detached CONCURRENTLY before it is dropped: both leave the table's
readers and writers alone, where `CREATE … PARTITION OF` and `DROP` would wait for the longest query with everybody behind them.
"""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from itertools import takewhile
from typing import Any

from django.db import OperationalError, connection, transaction

logger = logging.getLogger(__name__)

TABLES = ("messaging_message", "messaging_command")
LONGEST_WAIT_MS = 5000  # for the queries that still read what is to go; the next run tries again


def month_after(day: date, months: int = 1) -> date:
    """Return the first day of the month that is `months` after that of `day`."""
    index = day.year * 12 + day.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


def make_partitions(ahead: int, today: date | None = None) -> list[str]:
    """Make the partitions of this month, the last and the next `ahead`, where missing; return the names of those made.

    An advisory lock lets several workers call this at once.
    """
    first = (today or datetime.now(UTC).date()).replace(day=1)
    made = []
    with connection.cursor() as cursor:
        for offset in range(-1, ahead + 1):
            for table in TABLES:
                with _locked(cursor, table):
                    if name := make_partition(cursor, table, month_after(first, offset)):
                        made.append(name)
    return made


def make_partition(cursor: Any, table: str, month: date) -> str | None:
    """Make the partition of `month` unless it is there; returns the name of one that was made."""
    name, end = f"{table}_{month:%Y_%m}", month_after(month)
    cursor.execute("SELECT to_regclass(%s)", [name])
    if cursor.fetchone()[0] is not None:
        return None
    bounds = [datetime(day.year, day.month, 1, tzinfo=UTC) for day in (month, end)]
    with transaction.atomic():  # a table that is there and not attached would look made
        cursor.execute(f'CREATE TABLE "{name}" (LIKE "{table}" INCLUDING DEFAULTS INCLUDING CONSTRAINTS)')
        cursor.execute(f'ALTER TABLE "{table}" ATTACH PARTITION "{name}" FOR VALUES FROM (%s) TO (%s)', bounds)
    return name


def drop_partitions(keep_months: int, today: date | None = None) -> list[str]:
    """Drop the partitions of months before the last `keep_months` (this one not counted); 0 keeps all. Returns those dropped.

    One that is still being read is left for the next run, which also goes on where a killed run stopped: a partition may be
    half detached, or detached and still there. Works outside of any transaction, on a connection of its own.
    """
    if not keep_months:
        return []
    oldest = month_after(today or datetime.now(UTC).date(), -keep_months)
    dropped = []
    with closing(connection.copy()) as own, own.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{LONGEST_WAIT_MS}ms"])
        for table in TABLES:
            with _locked(cursor, table):
                before = _before(cursor, table, oldest)
                dropped += [
                    name for name, _ in takewhile(lambda one: _drop(cursor, *one), before)
                ]  # only one can be half detached
    return dropped


@contextmanager
def _locked(cursor: Any, table: str) -> Iterator[None]:
    cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", [table])
    try:
        yield
    finally:
        cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", [table])


def _before(cursor: Any, table: str, oldest: date) -> list[tuple[str, str]]:
    """Return the partitions of months before `oldest`, with how each is to be detached; "" where it is."""
    cursor.execute(
        """
        SELECT c.relname,
               CASE WHEN i.inhdetachpending THEN 'FINALIZE' WHEN i.inhrelid IS NULL THEN '' ELSE 'CONCURRENTLY' END
        FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
        WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND c.relname ~ %s AND c.relname < %s
        ORDER BY i.inhdetachpending DESC NULLS LAST, c.relname
        """,
        [rf"^{table}_\d{{4}}_\d\d$", f"{table}_{oldest:%Y_%m}"],
    )
    return list(cursor.fetchall())


def _drop(cursor: Any, name: str, detach: str) -> bool:
    try:
        if detach:
            cursor.execute(f'ALTER TABLE "{name[:-8]}" DETACH PARTITION "{name}" {detach}')
        cursor.execute(f'DROP TABLE "{name}"')
    except OperationalError as error:
        if getattr(error.__cause__, "pgcode", None) != "55P03":  # lock_not_available
            raise
        logger.warning("%s is still being read: it is dropped the next time", name)
        return False
    return True
