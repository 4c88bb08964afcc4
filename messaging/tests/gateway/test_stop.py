"""A web process ends when it is told to, whatever else ends with it."""

from __future__ import annotations

import asyncio

import pytest

from messaging.gateway.mqtt import MqttTransport
from messaging.tests.gateway.world import World


@pytest.mark.parametrize("turns", range(5))
async def test_it_stops_although_the_connection_ends_at_the_same_moment(world: World, turns: int) -> None:
    transport = (await world.gateway())._transport
    assert isinstance(transport, MqttTransport)
    await transport.wait_connected(10)
    assert transport._link is not None
    transport._link.lost.set()
    for _ in range(turns):  # of the event loop, in one of which the wait for the loss has ended and nobody knows yet
        await asyncio.sleep(0)
    stopping = asyncio.ensure_future(transport.stop())
    done, _ = await asyncio.wait({stopping}, timeout=5)
    assert stopping in done
