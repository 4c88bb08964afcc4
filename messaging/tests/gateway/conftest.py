from collections.abc import AsyncIterator

import pytest_asyncio

from messaging.tests.gateway.world import World


@pytest_asyncio.fixture
async def world(transactional_db: None) -> AsyncIterator[World]:
    made = World()
    try:
        yield await made.open()
    finally:
        await made.close()
