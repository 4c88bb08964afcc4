"""Connections to PostgreSQL that rest until somebody of the same process needs one.

Django keeps a connection by thread, and under ASGI each request has a thread of its own; its pool needs psycopg 3. Here a
connection is handed on from thread to thread with nothing of its last user in it.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

LONGEST_USE_S = 1800.0  # what a backend has learned of tables and plans stays in its memory until it ends
LONGEST_REST_S = 300.0  # firewalls forget connections on which nothing is said


@dataclass(slots=True)
class _Resting:
    connection: Any
    since: float


class Pool:
    """Resting connections by what they are connected to; safe to use from many threads.

    `limit`: as many may rest, of each kind. Those in use are not counted: there are as many as there are threads with work.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin with none, as in the child of a fork: the connections are its parent's, which goes on using them."""
        self._lock = threading.Lock()  # a new one: a thread of the parent may have held the old one, and is not here
        self._resting: dict[Hashable, list[_Resting]] = {}
        self._made: WeakKeyDictionary[Any, float] = WeakKeyDictionary()  # when a connection was made

    def take(self, kind: Hashable) -> Any | None:
        """Return the connection that has rested for the shortest time, None if all are in use."""
        while True:
            with self._lock:
                resting = self._resting.get(kind)
                found = resting.pop() if resting else None
            if found is None:
                return None
            if time.monotonic() - found.since < LONGEST_REST_S and _is_quiet(found.connection):
                return found.connection
            self.discard(found.connection)

    def made(self, connection: Any) -> None:
        """Know a new connection, so that it may rest later."""
        with self._lock:
            self._made[connection] = time.monotonic()

    def put(self, kind: Hashable, connection: Any, limit: int) -> None:
        """Let a connection rest, or close it: there are enough, it is old, it is broken."""
        if not self._may_rest(kind, connection, limit) or not _clean(connection):
            self.discard(connection)
            return
        with self._lock:
            resting = self._resting.setdefault(kind, [])
            resting.append(_Resting(connection, time.monotonic()))
            surplus = [resting.pop(0)] if len(resting) > limit else []
        for one in surplus:  # another thread was quicker
            self.discard(one.connection)

    def discard(self, connection: Any) -> None:
        """Close a connection."""
        with self._lock:
            self._made.pop(connection, None)
        with contextlib.suppress(psycopg2.Error):
            connection.close()

    def close(self) -> None:
        """Close all that rest."""
        with self._lock:
            resting = [one.connection for kind in self._resting.values() for one in kind]
            self._resting.clear()
        for connection in resting:
            self.discard(connection)

    def _may_rest(self, kind: Hashable, connection: Any, limit: int) -> bool:
        with self._lock:
            made = self._made.get(connection)
            enough = len(self._resting.get(kind, ())) >= limit
        return made is not None and not enough and time.monotonic() - made < LONGEST_USE_S


def _is_quiet(connection: Any) -> bool:
    """Say whether the server has said nothing meanwhile: it speaks up only to say that it goes."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return not poll.poll(0)


def _clean(connection: Any) -> bool:
    """Take out what its user may have left: a transaction, settings, advisory locks, temporary tables; False if it is broken."""
    try:
        if connection.closed:
            return False
        if connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
            connection.rollback()
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("DISCARD ALL")
    except psycopg2.Error:
        return False
    return True


POOL = Pool()
os.register_at_fork(after_in_child=POOL.forget)
