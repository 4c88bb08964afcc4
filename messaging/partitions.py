"""Monthly partitions of the history tables, made ahead of time and dropped whole."""

from datetime import UTC, date, datetime

from django.db import connection

TABLES = ("messaging_message", "messaging_command")


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
            start, end = month_after(first, offset), month_after(first, offset + 1)
            for table in TABLES:
                name = f"{table}_{start:%Y_%m}"
                cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", [table])
                try:
                    cursor.execute("SELECT to_regclass(%s)", [name])
                    row = cursor.fetchone()
                    if row and row[0] is None:
                        cursor.execute(
                            f'CREATE TABLE "{name}" PARTITION OF "{table}" FOR VALUES FROM (%s) TO (%s)',
                            [datetime(start.year, start.month, 1, tzinfo=UTC), datetime(end.year, end.month, 1, tzinfo=UTC)],
                        )
                        made.append(name)
                finally:
                    cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", [table])
    return made
