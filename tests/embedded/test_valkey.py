"""The embedded Valkey: its data stays, and strangers are told apart."""

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from iotportal.embedded import children, valkey
from iotportal.embedded.errors import StartError
from iotportal.embedded.ports import free_port
from iotportal.embedded.state import State
from tests.embedded.helpers import wait_for


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State(tmp_path / "a folder with spaces")
    made.make()
    return made


@contextlib.contextmanager
def running(state: State, password: str = "pass-word") -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    port = free_port()
    child = valkey.child(state, port, password)
    process = children.spawn(child, sys.stderr.buffer)
    try:
        wait_for(lambda: valkey.answers(port, password), "Valkey")
        yield port, process
    finally:
        children.stop(process, child)


def test_it_keeps_data_over_a_restart(state: State) -> None:
    with running(state) as (port, _), redis.Redis.from_url(valkey.url(port, "pass-word")) as link:
        link.xadd("commands", {"r": "1"})
    with running(state) as (port, _), redis.Redis.from_url(valkey.url(port, "pass-word")) as link:
        assert link.xlen("commands") == 1


def test_its_password_stands_on_no_command_line_and_in_no_open_file(state: State) -> None:
    with running(state) as (_, process):
        assert b"pass-word" not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
    assert (state.run / "valkey.conf").stat().st_mode & 0o077 == 0


def test_it_tells_another_valkey_on_its_port(state: State) -> None:
    with running(state) as (port, _), pytest.raises(StartError, match="not this portal's Valkey"):
        valkey.answers(port, "another")


def test_it_tells_a_stranger_on_its_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            link, _ = server.accept()
            with link:
                link.recv(100)
                link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(StartError, match="VALKEY_PORT"):
            valkey.answers(server.getsockname()[1], "pass-word")
        thread.join()
