"""The MicroPython client on the real broker over mutual TLS.

Run by MicroPython itself where it is, with its own umqtt.simple and pins in memory; and by CPython, with a stand-in for both.
"""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from simulators.tests.portal import DEADLINE_S, Portal

FIRMWARE = Path(__file__).parent.parent
STUBS = FIRMWARE / "tests/stubs/micropython"
PUMP = "a" * 32


@pytest.fixture
async def portal(tmp_path: Path) -> AsyncIterator[Portal]:
    running = Portal(tmp_path)
    await running.start()
    yield running
    await running.broker.stop()


def micropython_has_umqtt() -> bool:
    program = shutil.which("micropython")
    if program is None:
        return False
    return not subprocess.run([program, "-c", "import umqtt.simple"], capture_output=True, timeout=20, check=False).returncode


needs_micropython = pytest.mark.skipif(
    not micropython_has_umqtt(),
    reason="LEFT OUT: the MicroPython client under MicroPython. Put its unix port on PATH as micropython, then: "
    "micropython -m mip install umqtt.simple",
)
PYTHONS = ["cpython", pytest.param("micropython", marks=needs_micropython)]


@contextlib.asynccontextmanager
async def board(folder: Path, python: str) -> AsyncIterator[asyncio.subprocess.Process]:
    environment, program = {**os.environ, "PYTHONUNBUFFERED": "1"}, sys.executable
    if python == "micropython":
        program = python
        shutil.copy(STUBS / "machine.py", folder)  # found before the unix port's own, which has no pins
    else:
        environment["PYTHONPATH"] = str(STUBS)
    shutil.copy(FIRMWARE / "micropython/main.py", folder)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(program, "main.py", cwd=folder, env=environment, stdout=pipe, stderr=pipe)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


@pytest.mark.parametrize("python", PYTHONS)
async def test_it_answers_refuses_comes_back_and_restarts(portal: Portal, python: str) -> None:
    presence = f"{PUMP}/presence"
    async with portal.caller(PUMP) as caller, board(portal.device_folder(PUMP, profile="modern"), python) as process:
        assert await caller.hear() == (presence, b'{"value": "online"}')
        for api, command, answer in [
            ("get_status", b"{}", b'{"value": "running"}'),
            ("set_gpio", b'{"number": 10, "value": 1, "id": "7"}', b'{"number": 10, "value": 1, "id": "7"}'),
            ("get_gpio", b'{"number": 10}', b'{"number": 10, "value": 1}'),
            ("write_uart", rb'{"value": "say \"hi\""}', rb'{"value": "say \"hi\""}'),
            ("write_uart", '{"value": "\u00e9\u20ac\U0001f600"}'.encode(), b'{"value": "\\u00e9\\u20ac\\ud83d\\ude00"}'),
        ]:
            assert json.loads(await caller.ask(PUMP, api, command)) == json.loads(answer)
        portal.broker.disconnect(PUMP)
        assert await caller.hear() == (presence, b'{"value": "offline"}')
        assert await caller.hear() == (presence, b'{"value": "online"}')
        for api, command, code in [
            ("get_gpio", b'{"number": 99}', b"bad_request"),
            ("set_gpio", b'{"number": true, "value": 1}', b"bad_request"),
            ("get_status", b"[", b"bad_request"),
            ("get_moon", b"{}", b"unknown_api"),
        ]:
            assert code in await caller.ask(PUMP, api, command)
        assert await caller.ask(PUMP, "set_status", b'{"value": "restart"}') == b'{"value": "restarting"}'
        assert await caller.hear() == (presence, b'{"value": "offline"}')
        assert await asyncio.wait_for(process.wait(), DEADLINE_S) == 0


@pytest.mark.parametrize("python", PYTHONS)
async def test_older_profiles_get_neither_ids_nor_errors_and_another_portals_broker_nothing(portal: Portal, python: str) -> None:
    folder = portal.device_folder(PUMP)
    async with portal.caller(PUMP) as caller, board(folder, python) as process:
        assert process.stdout is not None
        assert b"listening" in await asyncio.wait_for(process.stdout.readline(), DEADLINE_S)
        caller.send(PUMP, "get_moon")
        assert await caller.ask(PUMP, "get_status", b'{"id": "7"}') == b'{"value": "running"}'
    (folder / "root-ca.pem").write_bytes(Portal(portal.folder / "other").authority.root)
    async with board(folder, python) as process:
        assert process.stdout is not None
        said = await asyncio.wait_for(process.stdout.readline(), DEADLINE_S)
        assert said.startswith(b"no connection:")
        assert b"verify" in said or b"not correctly signed" in said
