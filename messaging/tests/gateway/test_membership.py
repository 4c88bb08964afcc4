"""A change in an organisation bites at once: for commands at every door, and in open pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer

from accounts.models import Account, Membership, User
from accounts.services import (
    accept_invitation,
    change_role,
    create_organisation,
    create_user,
    delete_organisation,
    invite,
    remove_member,
)
from devices.models import Certificate
from iotportal.problems import Problem
from messaging.events import device_group, user_group
from messaging.gateway import runtime
from messaging.gateway.admission import Caller
from messaging.tests.gateway.test_consumer import Socket, connected
from messaging.tests.gateway.world import ScriptedDevice, World


@dataclass
class Works:
    """An organisation of world.user with one device and one operator, who has sent a command: every cache knows them."""

    world: World
    account: Account
    device: ScriptedDevice
    operator: User

    async def send(self) -> int:
        """Return the status of a command by the operator: 200, or what it was refused with."""
        caller = Caller(self.operator.pk)
        try:
            await runtime.current().send(caller, self.device.device.hex, "get_gpio", {"number": 1})
        except Problem as problem:
            return problem.status
        return 200

    async def watching(self, user: User) -> Socket:
        """Return the socket of a page that watches the device."""
        socket = await connected(user)
        assert (await socket.ask({"do": "watch", "devices": [self.device.device.hex]}))["devices"] == [self.device.device.hex]
        return socket

    async def hears(self, user: User, socket: Socket) -> bool:
        """Say whether a page of `user` hears what happens to the device, by what comes before a mark sent after it."""
        layer = get_channel_layer()
        assert layer is not None
        for group in (
            device_group(self.account.pk, self.device.device.pk),
            f"account.{self.account.pk.hex}",
            user_group(user.pk),
        ):
            await layer.group_send(group, {"type": "live.events", "events": [{"kind": group}]})
        frames = [await socket.hear()]
        while frames[-1]["events"][0]["kind"] != user_group(user.pk):
            frames.append(await socket.hear())
        return len(frames) > 1


@pytest_asyncio.fixture
async def works(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Works]:
    account = await sync_to_async(create_organisation)(user=world.user, name="Waterworks")
    operator = await sync_to_async(create_user)(
        username="otto", email="otto@example.com", password="x", first_name="O", last_name="O"
    )
    await Membership.objects.acreate(account=account, user=operator, role="operator")
    device = await world.device(account=account)
    monkeypatch.setattr(runtime, "_gateway", await world.gateway())
    made = Works(world, account, device, operator)
    assert await made.send() == 200
    yield made


async def test_a_removed_members_commands_are_refused_at_once(works: Works) -> None:
    await sync_to_async(remove_member)(account=works.account, by=works.world.user, user=works.operator)
    heard = len(works.device.heard)

    assert await works.send() == 404
    assert len(works.device.heard) == heard


async def test_a_removed_members_page_hears_nothing_more(works: Works) -> None:
    page = await works.watching(works.operator)
    await page.ask({"do": "watch", "all": True})
    assert await works.hears(works.operator, page)
    await sync_to_async(remove_member)(account=works.account, by=works.world.user, user=works.operator)

    assert await page.hear() == {"kind": "access"}
    assert not await works.hears(works.operator, page)
    assert (await page.ask({"do": "watch", "devices": [works.device.device.hex]}))["devices"] == []
    await page.close()


async def test_the_others_pages_are_left_alone(works: Works) -> None:
    page = await works.watching(works.world.user)
    await sync_to_async(remove_member)(account=works.account, by=works.world.user, user=works.operator)

    assert await works.hears(works.world.user, page)
    await page.close()


async def test_a_viewer_sees_and_cannot_send_from_the_moment_on(works: Works) -> None:
    page = await works.watching(works.operator)
    await sync_to_async(change_role)(account=works.account, by=works.world.user, user=works.operator, role="viewer")

    assert await page.hear() == {"kind": "access"}
    assert await works.send() == 403
    assert await works.hears(works.operator, page)
    await page.close()


async def test_a_viewer_who_becomes_an_operator_can_send_from_the_moment_on(works: Works) -> None:
    for role, status in (("viewer", 403), ("operator", 200)):
        await sync_to_async(change_role)(account=works.account, by=works.world.user, user=works.operator, role=role)
        assert await works.send() == status


async def test_a_change_elsewhere_does_not_disturb_a_page(works: Works) -> None:
    other = await sync_to_async(create_organisation)(user=works.world.user, name="Other")
    await Membership.objects.acreate(account=other, user=works.operator, role="viewer")
    page = await works.watching(works.operator)
    await sync_to_async(remove_member)(account=other, by=works.world.user, user=works.operator)

    assert await page.ask({"do": "ping"}) == {"kind": "pong"}
    await page.close()


async def test_who_comes_in_sees_the_organisation_on_the_open_list(works: Works) -> None:
    carol = await sync_to_async(create_user)(
        username="carol", email="carol@example.com", password="x", first_name="C", last_name="C"
    )
    page = await connected(carol)
    await page.ask({"do": "watch", "all": True})
    made = await sync_to_async(invite)(account=works.account, by=works.world.user, email="carol@example.com", role="viewer")
    await sync_to_async(accept_invitation)(invitation=made, user=carol)

    assert await page.hear() == {"kind": "access"}
    assert await works.hears(carol, page)
    await page.close()


async def test_a_deleted_organisation_takes_its_devices_along(works: Works) -> None:
    page = await works.watching(works.operator)
    heard: list[dict[str, Any]] = []
    await sync_to_async(delete_organisation)(account=works.account, by=works.world.user, name="Waterworks")
    while not heard or heard[-1]["kind"] != "access":
        heard.append(await page.hear())

    assert await works.send() == 404
    assert not await works.hears(works.operator, page)
    assert await Certificate.objects.filter(device=works.device.device).values_list("status", flat=True).aget() == "revoked"
    assert not await Membership.objects.filter(account=works.account).aexists()
    await page.close()
