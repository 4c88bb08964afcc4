"""Fixtures: certificates once a session, a broker a test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from messaging.broker.limits import Limits
from messaging.tests.broker.pki import Authority
from messaging.tests.broker.wire import RunningBroker, running_broker

DEVICE = "a" * 32
OTHER = "b" * 32

StartBroker = Callable[..., RunningBroker]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def rogue(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("rogue"))


@pytest.fixture
def start(authority: Authority) -> Iterator[StartBroker]:
    """Start a broker: `start(admit=…, standing=…, connect_seconds=0.2)`, the rest being limits."""
    with ExitStack() as stack:

        def begin(**options: Any) -> RunningBroker:
            known = {name: options.pop(name) for name in ("admit", "standing", "host", "port", "sockets") if name in options}
            return stack.enter_context(running_broker(authority, limits=Limits(**options), **known))

        yield begin


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return where sockets can be: names below pytest's own folders may be too long for that."""
    with TemporaryDirectory(prefix="iotp") as made:
        yield Path(made, "sockets")


@pytest.fixture
def running(start: StartBroker) -> RunningBroker:
    return start()
