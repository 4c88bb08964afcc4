"""The bridge's one PostgreSQL connection: its lock, its transactions, and what their failures mean.

Not one of Django's connections: the advisory lock that keeps a second bridge out lives as long as this session, and every write
of the bridge must go through the session that holds it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg2
from django.db import connections
from psycopg2 import errorcodes
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as PlainCursor
from psycopg2.extras import register_uuid

logger = logging.getLogger(__name__)

LOCK = 0x_B21D_6E00  # any number that nothing else in this database locks
# A server that does not answer is as good as none, and a server that has lost us must free our lock soon: its own probes of this
# connection (after 3 s, every 1 s, 3 times) see to that even when our machine has vanished.
_OPTIONS = (
    "-c timezone=UTC -c statement_timeout=30000 -c lock_timeout=10000 "
    "-c tcp_keepalives_idle=3 -c tcp_keepalives_interval=1 -c tcp_keepalives_count=3"
)

register_uuid()  # type: ignore[no-untyped-call]  # psycopg2's has no types


class DatabaseAway(Exception):
    """The transaction was rolled back and can be tried again; the connection may be gone."""


class CommitUnknown(Exception):
    """The connection broke during COMMIT: the transaction is either whole in the database or not at all."""


class Poison(Exception):
    """The database refuses what is in the batch; trying it again is of no use."""


class PartitionMissing(Exception):
    """The history has no partition for a row's month."""


class Cursor(PlainCursor):
    """Begins its transaction together with its first statement: one trip less to the server and back."""

    _begun = False

    def execute(self, query: Any, vars: Any = None) -> None:
        """Execute as usual; several statements may stand in `query`, the result is that of the last."""
        if not self._begun:
            self._begun = True
            query = (b"BEGIN;" if isinstance(query, bytes) else "BEGIN;") + query
        super().execute(query, vars)

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        """Copy as usual."""
        if not self._begun:
            self._begun = True
            super().execute("BEGIN")
        super().copy_expert(sql, file, size)


class Database:
    """A connection that holds the bridge's lock, or waits for it."""

    def __init__(self, **parameters: Any) -> None:
        """Take connection parameters to use in place of the settings' own."""
        self._parameters = parameters
        self._connection: Connection | None = None

    def connect(self) -> None:
        """Connect anew. Raises DatabaseAway."""
        self.close()
        parameters = connections["default"].get_connection_params()
        parameters.pop("cursor_factory", None)
        given = str(parameters.pop("options", ""))
        parameters |= {"options": f"{given} {_OPTIONS}".strip(), "connect_timeout": 5, "application_name": "portal-bridge"}
        try:
            self._connection = psycopg2.connect(**{**parameters, **self._parameters})
            self._connection.autocommit = True  # transactions are begun and ended here, see Cursor
        except psycopg2.Error as error:
            raise DatabaseAway(str(error).strip()) from error

    def close(self) -> None:
        """Close the connection, and with it give up the lock."""
        if self._connection is not None:
            with suppress(psycopg2.Error):
                self._connection.close()
            self._connection = None

    def take_lock(self) -> bool:
        """Become the one bridge that writes, unless another is; raises DatabaseAway."""
        with self.transaction() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
            row = cursor.fetchone()
            return bool(row and row[0])

    def ping(self) -> None:
        """Make sure that the session, and so the lock, is still there; raises DatabaseAway."""
        with self.transaction() as cursor:
            cursor.execute("SELECT 1")

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """Run a block in one transaction.

        Raises:
            DatabaseAway: rolled back, worth trying again.
            CommitUnknown: the connection broke during COMMIT.
            PartitionMissing, Poison: rolled back, and not worth trying again as it is.
        """
        connection = self._connection
        if connection is None or connection.closed:
            raise DatabaseAway("not connected")
        try:
            with connection.cursor(cursor_factory=Cursor) as cursor:
                yield cursor
        except psycopg2.Error as error:
            self._roll_back(connection)
            raise _meaning(error) from error
        except DatabaseAway:
            self._roll_back(connection)
            raise
        except Exception as error:
            self._roll_back(connection)
            raise Poison(type(error).__name__) from error
        except BaseException:
            self._roll_back(connection)
            raise
        try:
            with connection.cursor() as plain:
                plain.execute("COMMIT")
        except psycopg2.Error as error:
            known = bool(error.pgcode) and connection.closed == 0
            self._roll_back(connection)
            raise (_meaning(error) if known else CommitUnknown(str(error).strip())) from error

    def _roll_back(self, connection: Connection) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("ROLLBACK")
        except psycopg2.Error:
            self.close()


def _meaning(error: psycopg2.Error) -> Exception:
    """Tell the batch's fault from the server's."""
    code = error.pgcode or ""
    if code == errorcodes.CHECK_VIOLATION and not error.diag.constraint_name:
        return PartitionMissing(str(error).strip())
    blames_data: tuple[type[Any], ...] = (psycopg2.DataError, psycopg2.IntegrityError)
    unadaptable = isinstance(error, psycopg2.ProgrammingError) and not code
    # 21: cardinality, 44: a view's check, 54: over one of PostgreSQL's limits. All else, also what we do not know, is taken for
    # an outage: a batch that waits is not lost.
    if isinstance(error, blames_data) or unadaptable or code[:2] in {"21", "44", "54"}:
        return Poison(code or type(error).__name__)
    return DatabaseAway(f"{code} {error}".strip())
