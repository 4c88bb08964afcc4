"""Fixtures: a device, a bridge on a session in memory, and somebody who listens to live events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import connection

from accounts.models import Account
from devices.models import Device
from devices.tests.factories import make_account, make_device
from messaging.bridge.database import Database
from messaging.bridge.directory import Directory
from messaging.bridge.journal import Journal
from messaging.bridge.runner import Bridge
from messaging.bridge.writer import Writer
from messaging.partitions import make_partitions
from messaging.tests.bridge.memory import MemorySource

StartBridge = Callable[..., Bridge]


@pytest.fixture
def account(transactional_db: None, pki: Path, clean_valkey: None) -> Account:
    with connection.cursor() as cursor:  # Django does not manage these tables, so it does not empty them either
        cursor.execute("TRUNCATE messaging_message, messaging_command")
    make_partitions(0)
    return make_account("alice")


@pytest.fixture
def device(account: Account) -> Device:
    return make_device(account)


@pytest.fixture
def source() -> MemorySource:
    return MemorySource()


@pytest.fixture
def start(account: Account, source: MemorySource) -> Iterator[StartBridge]:
    """Start a bridge and wait until it serves: `start(source=…, wait=False, database=…)`."""
    with ExitStack() as stack:

        def begin(*, source: Any = source, wait: bool = True, **options: Any) -> Bridge:
            bridge = Bridge(source.client() if isinstance(source, MemorySource) else source, **options)
            stack.callback(bridge.stop)
            bridge.start()
            if wait:
                assert bridge.serving.wait(10)
            return bridge

        yield begin


@pytest.fixture
def database(account: Account) -> Iterator[Database]:
    database = Database()
    database.connect()
    assert database.take_lock()
    yield database
    database.close()


@pytest.fixture
def writer(database: Database) -> Writer:
    writer = Writer(database, Journal("portal.bridge"), Directory())
    writer.claim()
    return writer


@pytest.fixture
def valkey() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.VALKEY_URL, decode_responses=True) as link:
        yield link
