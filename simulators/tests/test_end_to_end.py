"""Devices on the real broker over mutual TLS, asked by a real client."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from simulators.tests.portal import DEADLINE_S, Portal

PUMP, LAMP = "a" * 32, "b" * 32


@pytest.fixture
async def portal(tmp_path: Path) -> AsyncIterator[Portal]:
    running = Portal(tmp_path)
    await running.start()
    yield running
    await running.broker.stop()


async def test_it_answers_each_command_over_mutual_tls(portal: Portal) -> None:
    async with portal.fleet(portal.device_folder(PUMP)) as fleet, portal.caller(PUMP) as caller:
        await asyncio.wait_for(fleet.all_listening.wait(), DEADLINE_S)
        assert await caller.ask(PUMP, "get_status") == b'{"value": "running"}'
        assert await caller.ask(PUMP, "set_gpio", b'{"number": 10, "value": 1}') == b'{"number": 10, "value": 1}'
        assert await caller.ask(PUMP, "get_gpio", b'{"number": 10}') == b'{"number": 10, "value": 1}'
