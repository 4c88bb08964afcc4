"""What happens after a page was rendered and before its live link is up: the page is told that it missed something."""

from __future__ import annotations

import uuid
from typing import Any

from asgiref.sync import sync_to_async
from django.test import Client

from messaging import cache, live
from messaging.events import Outbox, device_event
from messaging.tests.gateway.test_consumer import connected
from messaging.tests.gateway.world import World


def tell(account_id: uuid.UUID, device_id: uuid.UUID) -> None:
    outbox = Outbox()
    outbox.add(account_id, device_id, device_event(device_id=device_id, change="renamed", name="Pump"))
    outbox.send()


async def told_on_watch(world: World, watched: dict[str, Any], since: object) -> object:
    socket = await connected(world.user)
    try:
        return (await socket.ask({"do": "watch", "since": since, **watched}))["changed"]
    finally:
        await socket.close()


async def test_a_page_learns_that_something_happened_before_its_link_was_up(world: World) -> None:
    device = (await world.device()).device
    one, everything = {"devices": [device.hex]}, {"all": True}
    before = str(await sync_to_async(live.now)())
    await sync_to_async(tell)(device.account_id, uuid.uuid4())  # to another device of the account
    await sync_to_async(tell)(uuid.uuid4(), device.pk)  # and to an account that had this one
    assert await told_on_watch(world, one, before) is False
    assert await told_on_watch(world, everything, before) is True
    await sync_to_async(tell)(device.account_id, device.pk)
    assert await told_on_watch(world, one, before) is True
    assert await told_on_watch(world, one, str(await sync_to_async(live.now)())) is False


def test_a_page_that_does_not_know_when_it_was_made_or_took_too_long_asks_again() -> None:
    too_old = live.now() - live.KEPT_S * 1_000_000
    given: list[object] = ["", "soon", None, [], {}, "0", "-1", "9" * 30, "9" * 5000, 1.5, too_old, "١٢"]
    for since in given:
        assert live.changed(["device.1.2"], since)


def test_marks_go_away_by_themselves(db: None) -> None:
    account_id, device_id = uuid.uuid4(), uuid.uuid4()
    tell(account_id, device_id)
    assert 0 < cache.client().ttl(f"told:device.{account_id.hex}.{device_id.hex}") <= live.KEPT_S


def test_a_page_has_the_time_before_its_queries_and_a_program_does_not_pay_for_it(client: Client, db: None) -> None:
    before = live.now()
    html = client.get("/help/", headers={"accept": "text/html,*/*"}).content.decode()
    since = int(html.split('data-since="')[1].split('"')[0])
    assert before <= since <= live.now()
    assert 'data-since=""' in client.get("/help/").content.decode()
