"""Thousands of devices that come and go; here a few of them, at the real broker."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from simulators.console import Console
from simulators.fleet import Churn, ChurningFleet, drawn
from simulators.mqtt import Options
from simulators.settings import Overrides, load
from simulators.tests.portal import DEADLINE_S, Portal
from simulators.tests.test_end_to_end import OFFLINE, ONLINE, PUMP


@pytest.fixture
async def portal(tmp_path: Path) -> AsyncIterator[Portal]:
    running = Portal(tmp_path)
    await running.start()
    yield running
    await running.broker.stop()


@pytest.mark.parametrize(("vanish", "reason"), [(0.0, "goodbye"), (1.0, "lost")])
async def test_a_device_comes_and_goes(portal: Portal, tmp_path: Path, vanish: float, reason: str) -> None:
    settings = load(portal.device_folder(PUMP, profile="modern"), Overrides(), tmp_path)
    churn = Churn(session_s=0.05, away_s=0.05, vanish=vanish, ramp_s=0.1)
    async with portal.caller(PUMP) as caller, portal.watcher() as watcher:
        fleet = ChurningFleet([settings], Options(), Console(quiet=True), churn)
        running = asyncio.ensure_future(fleet.run())
        assert [await caller.hear() for _ in range(4)] == [ONLINE, OFFLINE, ONLINE, OFFLINE]
        assert (await watcher.event("disconnected"))["reason"] == reason
        fleet.stop()
        assert await asyncio.wait_for(running, DEADLINE_S) == 0


def test_a_mean_of_nothing_is_no_time() -> None:
    assert drawn(random.Random(1), 0.0) == 0.0 < drawn(random.Random(1), 5.0)


async def test_one_that_begins_later_hears_its_first_command(portal: Portal, tmp_path: Path) -> None:
    settings = load(portal.device_folder(PUMP, profile="modern"), Overrides(), tmp_path)
    async with portal.caller(PUMP) as caller:
        fleet = ChurningFleet([settings], Options(), Console(quiet=True), Churn(ramp_s=0.1))
        running = asyncio.ensure_future(fleet.run())
        assert await caller.hear() == ONLINE
        assert await caller.ask(PUMP, "get_status") == b'{"value": "running"}'
        fleet.stop()
        assert await asyncio.wait_for(running, DEADLINE_S) == 0


async def test_processes_share_a_fleet_and_end_together(portal: Portal, tmp_path: Path) -> None:
    ids = [f"{number:032x}" for number in range(4)]
    for device_id in ids:
        portal.device_folder(device_id, profile="modern")
    async with portal.caller(*ids) as caller:
        words = ("-m", "simulators.fleet", str(tmp_path), "--processes", "2", "-q")
        process = await asyncio.create_subprocess_exec(sys.executable, *words, stderr=asyncio.subprocess.PIPE)
        try:
            heard = {await asyncio.wait_for(caller.hear(), 3 * DEADLINE_S) for _ in ids}
            assert heard == {(f"{device_id}/presence", b'{"value": "online"}') for device_id in ids}
            assert await caller.ask(ids[3], "get_status") == b'{"value": "running"}'
            process.send_signal(signal.SIGTERM)
            _, said = await asyncio.wait_for(process.communicate(), 3 * DEADLINE_S)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert (process.returncode, said) == (0, b"")
        gone = {await caller.hear() for _ in ids}
        assert gone == {(f"{device_id}/presence", b'{"value": "offline"}') for device_id in ids}
