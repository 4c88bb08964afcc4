"""Connections that rest: handed on clean, none that is dead, none to the child of a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection, transaction

from iotportal.database import pool
from iotportal.database.pool import POOL

pytestmark = pytest.mark.django_db(transaction=True)
LOCK = 918_273


@pytest.fixture(autouse=True)
def two_may_rest() -> Iterator[None]:
    connection.ensure_connection()  # the test's own, which would otherwise be one of those that it is about
    before = connection.settings_dict["POOL"]
    connection.settings_dict["POOL"] = 2  # the dictionary is shared by the wrappers of all threads
    yield
    connection.settings_dict["POOL"] = before
    POOL.close()


def in_a_request(work: Callable[[], Any]) -> Any:
    """Run `work` as a request does, in a thread of its own that gives its connection back."""

    def run() -> Any:
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result(30)


def ask(sql: str, *arguments: int) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, arguments)
        return cursor.fetchone()[0] if cursor.description else None


def backend() -> int:
    return int(ask("SELECT pg_backend_pid()"))


def at_once(count: int) -> set[int]:
    """Return the backends of `count` requests that hold their connections all at once."""
    barrier, found = threading.Barrier(count, timeout=30), list[int]()

    def work() -> None:
        found.append(backend())
        barrier.wait()

    threads = [threading.Thread(target=in_a_request, args=(work,)) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(found)) == count
    return set(found)


def test_the_next_request_takes_the_connection_of_the_last() -> None:
    assert in_a_request(backend) == in_a_request(backend)


def test_requests_at_once_have_connections_of_their_own_of_which_no_more_rest_than_may() -> None:
    were = at_once(4)
    assert len(at_once(4) & were) == 2


def test_nothing_of_one_user_is_left_to_the_next() -> None:
    def leave_things() -> int:
        ask("SELECT set_config('lock_timeout', '7s', false)")
        ask("SELECT pg_advisory_lock(%s)", LOCK)
        ask("CREATE TEMP TABLE left_behind (secret text)")
        return backend()

    def look() -> tuple[int, Any, Any, Any]:
        return backend(), ask("SHOW lock_timeout"), ask("SELECT to_regclass('left_behind')"), ask("SHOW timezone")

    first = in_a_request(leave_things)
    assert in_a_request(look) == (first, "0", None, "UTC")
    assert ask("SELECT pg_try_advisory_lock(%s)", LOCK)  # by another, while the one that took it rests
    ask("SELECT pg_advisory_unlock(%s)", LOCK)


def test_a_transaction_that_was_left_open_is_rolled_back() -> None:
    def leave_open() -> int:
        connection.set_autocommit(False)
        ask("CREATE TABLE half_done (id int)")
        return backend()

    first = in_a_request(leave_open)
    assert in_a_request(lambda: (backend(), ask("SELECT to_regclass('half_done')"))) == (first, None)


def test_a_connection_that_is_closed_within_a_transaction_is_gone_with_it() -> None:
    def close_within() -> int:
        with transaction.atomic():
            number = backend()
            connection.close()
            with pytest.raises(InterfaceError):
                backend()
        return number

    first = in_a_request(close_within)
    assert in_a_request(backend) != first


def test_a_connection_whose_server_went_is_not_handed_on() -> None:
    first = in_a_request(backend)
    assert ask("SELECT pg_terminate_backend(%s, 10000)", first)
    second = in_a_request(lambda: ask("SELECT pg_backend_pid()"))
    assert second != first


def test_a_connection_that_broke_in_use_is_not_kept() -> None:
    def break_it() -> int:
        number = backend()
        with pytest.raises(OperationalError):
            ask("SELECT pg_terminate_backend(pg_backend_pid())")
        return number

    first = in_a_request(break_it)
    assert in_a_request(backend) != first


@pytest.mark.parametrize("limit", ["LONGEST_USE_S", "LONGEST_REST_S"])
def test_an_old_connection_and_one_that_rested_long_are_closed(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, limit, 0.0)
    first = in_a_request(backend)
    assert in_a_request(backend) != first


def test_the_child_of_a_fork_leaves_its_parents_connections_alone() -> None:
    first = in_a_request(backend)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # no pytest in here
        os.write(writing, b"%d" % sum(len(kind) for kind in POOL._resting.values()))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 10) == b"0"
    os.close(reading)
    os.close(writing)
    assert in_a_request(backend) == first


def test_none_rests_where_none_may() -> None:
    connection.settings_dict["POOL"] = 0
    first = in_a_request(backend)
    assert in_a_request(backend) != first
