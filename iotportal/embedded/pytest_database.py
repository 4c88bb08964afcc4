"""For tests of another kind, the database as the migrations made it.

Tests that commit (those with `transaction=True`, and those that share a running portal) cannot be rolled back: Django empties all
tables after the former, which takes the rows that migrations made as well (plans, prices), and the latter clean up by themselves
as well as they can while the portal's processes may still write. pytest-django runs both last, but pytest-xdist begins with its
longest groups. So whenever a process goes on to tests of another kind, its database is made anew from a copy.

Django's own emptying truncates each table there is and makes all permissions anew, which took longer than most tests that commit.
What such a test left is therefore deleted where it is, unless it left what only the whole of that can put right.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

Kind = str | bool  # the group whose tests share a portal; outside of one whether the test commits

_COPY = "_as_migrated"
_last: Kind | None = None
_database: tuple[str, Any] | None = None  # its name, and pytest-django's guard against use of it
# What emptying makes anew: who may do what, by `post_migrate`, and the tables of each month.
_MADE_ANEW = ("django_content_type", "auth_permission", "auth_group", "auth_group_permissions")
_ROWS = "(SELECT coalesce(string_agg(t::text, ',' ORDER BY id), '') FROM {} t)"
_MONTHS = "(SELECT coalesce(string_agg(inhrelid::text, ',' ORDER BY inhrelid), '') FROM pg_inherits)"
_KEPT = f"SELECT {' || '.join([*map(_ROWS.format, _MADE_ANEW), _MONTHS])}"
_GUARDED = "SELECT DISTINCT relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid WHERE NOT tgisinternal"


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Keep a copy of the migrated database, which nobody connects to."""
    global _database
    from django.db import connection

    with django_db_blocker.unblock():
        name = str(connection.settings_dict["NAME"])
        _replace(name + _COPY, name)
        _database = name, django_db_blocker
    with pytest.MonkeyPatch.context() as patch:
        _empty_quickly(patch)
        yield


def _empty_quickly(patch: pytest.MonkeyPatch) -> None:
    """Have Django empty the database only after tests for which `_delete` does not do."""
    from django.test import TransactionTestCase

    name = "_fixture_teardown"  # private to Django; called after each test that commits, and no setting reaches it
    whole: Callable[[Any], None] = vars(TransactionTestCase)[name]
    kept = ""

    def empty(case: Any) -> None:
        nonlocal kept
        if not _delete(kept):
            whole(case)
            kept = _what_is_kept()

    patch.setattr(TransactionTestCase, name, empty)


def _what_is_kept() -> str:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(_KEPT)
        return str(cursor.fetchone()[0])


def _delete(kept: str) -> bool:
    """Delete all rows; False, with nothing done, where something refuses that or has become of what is kept."""
    from django.db import connection, transaction
    from psycopg2.sql import SQL, Identifier

    names = sorted(set(connection.introspection.django_table_names(only_existing=True, include_views=False)) - set(_MADE_ANEW))
    tables = {name: Identifier(name) for name in names}
    with transaction.atomic(), connection.cursor() as cursor:
        # As TRUNCATE does, wait for whoever is still writing.
        cursor.execute(SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(SQL(", ").join(tables.values())))
        cursor.execute(SQL("SELECT {}").format(SQL(", ").join(map(SQL("EXISTS (SELECT FROM {})").format, tables.values()))))
        filled = [name for name, is_filled in zip(tables, cursor.fetchone(), strict=True) if is_filled]
        cursor.execute(_GUARDED)
        if {name for (name,) in cursor.fetchall()} & set(filled) or _what_is_kept() != kept:
            return False
        if filled:  # in any order: foreign keys are looked at when it is committed
            cursor.execute(SQL("; ").join(SQL("DELETE FROM {}").format(tables[name]) for name in filled))
    return True


def as_migrated() -> str:
    """Return the name of a database to copy for a portal of one's own: as the migrations made it where `django_db_setup` ran."""
    return _database[0] + _COPY if _database is not None else "template1"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Make the database anew if the test is of another kind than the one before."""
    global _last
    kind = _kind(item)
    if _database is not None and kind != _last:
        name, guard = _database
        with guard.unblock():
            _replace(name, name + _COPY)
    _last = kind


def _kind(item: pytest.Item) -> Kind:
    group, mark = item.get_closest_marker("xdist_group"), item.get_closest_marker("django_db")
    if group is not None:
        return str(group.args[0])
    names: Iterable[str] = getattr(item, "fixturenames", ())
    return bool(mark and mark.kwargs.get("transaction")) or "transactional_db" in names


def _replace(database: str, template: str) -> None:
    """Make `database` a copy of `template`; whoever is still connected to one of them is cut.

    Asynchronous tests ask the database in a thread that outlives them, which must not be left with a connection that is cut.
    """
    from asgiref.sync import SyncToAsync
    from django.db import connection, connections

    connections.close_all()
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()
    with connection._nodb_cursor() as cursor:  # what Django makes and drops its test databases with
        quote = connection.ops.quote_name
        cursor.execute(f"DROP DATABASE IF EXISTS {quote(database)} WITH (FORCE)")
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [template])
        cursor.execute(f"CREATE DATABASE {quote(database)} TEMPLATE {quote(template)}")
