"""Months of history come and go while others read and write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction

from messaging import partitions
from messaging.models import Message

pytestmark = pytest.mark.django_db(transaction=True)

NOW = date(2001, 9, 15)  # months that no other test has
OLD, KEPT = datetime(2001, 5, 7, tzinfo=UTC), datetime(2001, 8, 7, tzinfo=UTC)


@pytest.fixture(autouse=True)
def months(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(partitions, "LONGEST_WAIT_MS", 200)
    partitions.make_partitions(1, date(2001, 5, 1))
    partitions.make_partitions(1, NOW)
    for time in (OLD, KEPT):
        write(time)
    yield
    with connection.cursor() as cursor:
        for name in there():
            cursor.execute(f'DROP TABLE "{name}"')


def write(time: datetime) -> None:
    Message.objects.create(time=time, account_id=uuid4(), device_id=uuid4(), direction="to", api="a", payload="", size_bytes=0)


def there() -> set[str]:
    return {name for table in partitions.TABLES for name in tables(table)}


def tables(table: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ %s", [rf"^{table}_2001_\d\d$"])
        return [row[0] for row in cursor.fetchall()]


@contextmanager
def reader(sql: str) -> Iterator[Any]:
    """Somebody in the middle of a transaction that has read."""
    with closing(connection.copy()) as other:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute(sql)
            yield cursor


def test_only_whole_months_before_those_that_are_kept_go() -> None:
    assert partitions.drop_partitions(0, NOW) == []
    gone = partitions.drop_partitions(2, NOW)
    assert {name[-7:] for name in gone} == {"2001_04", "2001_05", "2001_06"}
    assert {name[-7:] for name in there()} == {"2001_08", "2001_09", "2001_10"}
    assert [one.time for one in Message.objects.filter(time__year=2001)] == [KEPT]
    assert partitions.drop_partitions(2, NOW) == []


def test_who_reads_an_old_month_goes_on_and_nobody_waits_behind_the_drop() -> None:
    with reader("SELECT count(*) FROM messaging_message WHERE time < '2001-06-01'") as cursor:
        gone = partitions.drop_partitions(2, NOW)
        assert {name[:17] for name in gone} == {"messaging_command"}, "whose months nobody reads"
        assert partitions.make_partitions(0, date(2001, 12, 1)), "the next months are made all the same"
        with transaction.atomic(), connection.cursor() as quick:
            quick.execute("SET LOCAL lock_timeout = '100ms'")
            write(KEPT)
            assert Message.objects.filter(time__gte=KEPT, time__lt=datetime(2001, 9, 1, tzinfo=UTC)).count() == 2
        cursor.execute("SELECT count(*) FROM messaging_message_2001_05")
        assert cursor.fetchone()[0] == 1
    gone = partitions.drop_partitions(2, NOW)
    assert {name[-7:] for name in gone} == {"2001_04", "2001_05", "2001_06"}, "the next run finishes what was half detached"
    assert not Message.objects.filter(time=OLD).exists()


def test_a_month_is_made_under_a_long_read() -> None:
    partitions.drop_partitions(2, NOW)
    with reader("SELECT count(*) FROM messaging_message") as _, connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '300ms'")
        made = partitions.make_partitions(1, date(2001, 6, 1))
        cursor.execute("RESET lock_timeout")
    assert "messaging_message_2001_05" in made
    write(OLD)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_index WHERE indrelid = 'messaging_message_2001_05'::regclass")
        assert cursor.fetchone() == (3,), "with the key and the indexes of the table"
