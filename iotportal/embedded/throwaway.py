"""Servers for one run of the tests: the same binaries as `make run`, on free ports, in a folder that goes away."""

import contextlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Self

from iotportal.embedded import children, postgres, rabbitmq, valkey
from iotportal.embedded.children import Child
from iotportal.embedded.errors import StartError
from iotportal.embedded.lock import RunLock
from iotportal.embedded.ports import free_port, is_free
from iotportal.embedded.state import State

_START_S = 60.0
_PREFIX = "iotportal-tests-"
_ABANDONED_S = 3600.0


class ThrowawayServers:
    """PostgreSQL and Valkey for as long as the `with` block, or until `stop`; a killed test run takes them along."""

    def __init__(self) -> None:
        _sweep()
        self.state = State(Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve())
        self.state.make()
        self._lock = RunLock(self.state).take("a test run")
        self._running: list[tuple[subprocess.Popen[bytes], Child]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start_postgres(self, *, durable: bool = False) -> str:
        """Start a PostgreSQL whose portal role may make databases; returns its URL."""
        superuser, role = self.state.secret("postgres-superuser"), self.state.secret("postgres-portal")
        where = postgres.place(self.state)
        postgres.prepare(where, superuser)
        port = free_port()
        self._start(postgres.child(where, port, durable=durable), lambda: postgres.answers(port, superuser))
        postgres.make_database(port, superuser, role, may_create=True)
        return postgres.url(port, role)

    def start_valkey(self, *, durable: bool = False) -> str:
        """Start a Valkey; returns its URL."""
        password, port = self.state.secret("valkey"), free_port()
        self._start(valkey.child(self.state, port, password, durable=durable), lambda: valkey.answers(port, password))
        return valkey.url(port, password)

    def start_rabbitmq(self, ports: rabbitmq.Ports, manager: str, password: str) -> None:
        """Start a RabbitMQ whose configuration is written already (`manage.py broker_config`)."""
        names, server = rabbitmq.children(self.state, ports)
        self._start(names, lambda: not is_free("127.0.0.1", ports.names))
        # Killed at the end: nothing of it is kept, and to leave in order takes it six seconds.
        server = replace(server, stop_signal=signal.SIGKILL)
        self._start(server, lambda: rabbitmq.answers(ports.management, manager, password), every_s=0.3)

    def _start(self, child: Child, answers: Callable[[], bool], every_s: float = 0.02) -> None:
        log = self.state.log / f"{child.name}.log"
        with log.open("ab") as output:
            process = children.spawn(child, output)
        self._running.append((process, child))
        deadline = time.monotonic() + _START_S
        while not answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise StartError(f"{child.name} did not start: {log.read_text(errors='replace')[-800:]}")
            time.sleep(every_s)

    def stop(self) -> None:
        """End what was started, last first, and remove the folder."""
        while self._running:
            process, child = self._running.pop()
            children.stop(process, child)
        self._lock.release()
        shutil.rmtree(self.state.root, ignore_errors=True)


def _sweep() -> None:
    """Remove folders of test runs that were killed: nobody holds their lock, and they are not just being made."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # somebody else's, or gone meanwhile
            if time.time() - folder.stat().st_mtime > _ABANDONED_S and not RunLock(State(folder)).is_taken():
                shutil.rmtree(folder, ignore_errors=True)
