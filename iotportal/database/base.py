"""Django's PostgreSQL, whose closed connections rest for the next thread; `POOL` in the settings of a database says how many."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from django.db.backends.postgresql import base
from django.db.backends.postgresql.psycopg_any import IsolationLevel
from django.utils.asyncio import async_unsafe

from iotportal.database.pool import POOL


class DatabaseWrapper(base.DatabaseWrapper):
    """A thread's connection, which `close` gives back."""

    _kind: Hashable = None

    @async_unsafe
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Return a connection that rested, else a new one."""
        self._kind = tuple(sorted((name, value) for name, value in conn_params.items() if name != "cursor_factory"))
        kept = POOL.take(self._kind)
        if kept is None:
            connection = super().get_new_connection(conn_params)
            POOL.made(connection)
            return connection
        self.isolation_level = IsolationLevel.READ_COMMITTED  # as for a new one: no OPTIONS of ours choose another
        return kept

    def _close(self) -> None:
        if self.connection is None:
            return
        if self.in_atomic_block:  # Django holds on to it until the block ends
            POOL.discard(self.connection)
            return
        with self.wrap_database_errors:
            POOL.put(self._kind, self.connection, self.settings_dict.get("POOL", 0))
