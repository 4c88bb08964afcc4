"""The MicroPython client on the real broker over mutual TLS, run by CPython with stand-ins for `machine` and `umqtt.simple`."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from simulators.tests.portal import DEADLINE_S, Portal

FIRMWARE = Path(__file__).parent.parent
PUMP = "a" * 32


@pytest.fixture
async def portal(tmp_path: Path) -> AsyncIterator[Portal]:
    running = Portal(tmp_path)
    await running.start()
    yield running
    await running.broker.stop()


@contextlib.asynccontextmanager
async def board(folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {**os.environ, "PYTHONPATH": str(FIRMWARE / "tests/stubs/micropython"), "PYTHONUNBUFFERED": "1"}
    program, pipe = FIRMWARE / "micropython/main.py", asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, program, cwd=folder, env=environment, stdout=pipe, stderr=pipe)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


async def test_it_answers_refuses_comes_back_and_restarts(portal: Portal) -> None:
    presence = f"{PUMP}/presence"
    async with portal.caller(PUMP) as caller, board(portal.device_folder(PUMP, profile="modern")) as process:
        assert await caller.hear() == (presence, b'{"value": "online"}')
        for api, command, answer in [
            ("get_status", b"{}", b'{"value": "running"}'),
            ("set_gpio", b'{"number": 10, "value": 1, "id": "7"}', b'{"number": 10, "value": 1, "id": "7"}'),
            ("get_gpio", b'{"number": 10}', b'{"number": 10, "value": 1}'),
            ("write_uart", rb'{"value": "say \"hi\""}', rb'{"value": "say \"hi\""}'),
        ]:
            assert await caller.ask(PUMP, api, command) == answer
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


async def test_older_profiles_get_neither_ids_nor_errors_and_another_portals_broker_nothing(portal: Portal) -> None:
    folder = portal.device_folder(PUMP)
    async with portal.caller(PUMP) as caller, board(folder) as process:
        assert process.stdout is not None
        assert b"listening" in await asyncio.wait_for(process.stdout.readline(), DEADLINE_S)
        caller.send(PUMP, "get_moon")
        assert await caller.ask(PUMP, "get_status", b'{"id": "7"}') == b'{"value": "running"}'
    (folder / "root-ca.pem").write_bytes(Portal(portal.folder / "other").authority.root)
    async with board(folder) as process:
        assert process.stdout is not None
        said = await asyncio.wait_for(process.stdout.readline(), DEADLINE_S)
        assert said.startswith(b"no connection:")
        assert b"verify" in said
