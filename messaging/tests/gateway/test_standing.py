"""What stands without asking Valkey again, and how soon it falls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from pytest_django import Settings

from accounts.services import deactivate_user
from accounts.services.tokens import revoke_token
from accounts.tokens import hash_token
from devices.services import delete_device
from iotportal.problems import Problem
from iotportal.valkey import Answer, Script, Valkey
from messaging import cache
from messaging.gateway import core, standing
from messaging.gateway.admission import ADMIT, Caller
from messaging.gateway.core import Gateway
from messaging.tests.gateway.test_admission import PIN, refused, silent, used
from messaging.tests.gateway.world import ScriptedDevice, World, until


class Asked:
    """Counts the admissions that Valkey was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        run = Valkey.run

        def counting(valkey: Valkey, script: Script, *given: Any, **options: Any) -> Answer:
            self.count += script is ADMIT
            return run(valkey, script, *given, **options)

        monkeypatch.setattr(Valkey, "run", counting)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What falls here falls by being told of, not by the clock."""
    monkeypatch.setattr(standing, "STANDING_S", 60.0)
    monkeypatch.setattr(core, "KEPT_S", 50.0)


async def ask(gateway: Gateway, world: World, device: ScriptedDevice, pin: int = 3) -> int:
    """Send a command with the token; return the status of its answer."""
    caller = Caller(None, hash_token(world.secret))
    result = await gateway.send(caller, device.device.hex, "get_gpio", {"number": pin}, 3)
    assert result.answer["number"] == pin
    return 200


async def test_what_stands_is_not_asked_for_again_and_is_counted_all_the_same(world: World, asked: Asked) -> None:
    device, gateway = await world.device(), await world.gateway()
    for pin in range(10):
        await ask(gateway, world, device, pin)
    assert asked.count <= 4  # for the token, for the device, what they allow, and the lane that is kept from its second use on
    assert await until(lambda: _is(used(world), 10), "ten that are counted")
    rates = await sync_to_async(lambda: [int(cache.client().get(key) or 0) for key in cache.client().keys("rate:*")])()
    assert sum(rates) == 10


async def _is(work: Awaitable[int], value: int) -> bool:
    return await work == value


async def test_what_was_not_sent_costs_nothing_where_a_right_stands_too(world: World, asked: Asked) -> None:
    device, gateway = await world.device(), await world.gateway()
    await ask(gateway, world, device)
    for _ in range(3):
        assert (
            await refused(gateway.send(Caller(None, hash_token(world.secret)), device.device.hex, "get_gpio", {}))
        ).status == 400
    await ask(gateway, world, device)
    assert await until(lambda: _is(used(world), 2), "two that are counted")


async def token_revoked(world: World, device: ScriptedDevice) -> None:
    await sync_to_async(revoke_token)(token=world.token)


async def device_deleted(world: World, device: ScriptedDevice) -> None:
    await sync_to_async(delete_device)(device=device.device)


async def device_offline(world: World, device: ScriptedDevice) -> None:
    def change() -> None:
        cache.client().set(cache.BRIDGE_ALIVE, "1")
        cache.client().set(cache.presence_key(device.device.hex), "0")
        cache.client().ping()

    await sync_to_async(change)()


async def user_deactivated(world: World, device: ScriptedDevice) -> None:
    await sync_to_async(deactivate_user)(user=world.user)


Change = Callable[[World, ScriptedDevice], Awaitable[None]]
CHANGES = [
    (token_revoked, 401),
    (device_deleted, 404),
    (device_offline, 409),
    (user_deactivated, 401),
]


@pytest.mark.parametrize(("change", "status"), CHANGES)
async def test_a_change_bites_at_once(world: World, change: Change, status: int) -> None:
    device, gateway = await world.device(), await world.gateway()
    for _ in range(3):
        await ask(gateway, world, device)
    heard = len(device.heard)
    await change(world, device)
    assert (await refused(ask(gateway, world, device))).status == status
    assert len(device.heard) == heard


async def test_what_changes_while_valkey_is_asked_does_not_come_to_stand(
    world: World, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, gateway = await world.device(), await world.gateway()
    await ask(gateway, world, device)
    gateway._standings.changed(None)
    going = asyncio.ensure_future(ask(gateway, world, device))
    await asyncio.sleep(0)  # the question has been asked
    gateway._standings.changed(cache.token_key(hash_token(world.secret)))
    await going
    before = asked.count
    await ask(gateway, world, device)
    assert asked.count == before + 1


async def test_nothing_stands_when_the_connection_broke(world: World, asked: Asked) -> None:
    device, gateway = await world.device(), await world.gateway()
    await ask(gateway, world, device)
    link = gateway._valkey._link
    assert link is not None
    assert link._transport is not None
    link._transport.abort()
    await until(lambda: gateway._valkey._link not in (None, link), "another connection")
    before = asked.count
    await ask(gateway, world, device)
    assert asked.count == before + 1


async def test_a_limit_ends_exactly_although_rights_stand(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "RESERVE", 3)
    settings.FREE_MESSAGES_PER_MONTH = 20
    device, gateway = await world.device(profile="modern", script=silent), await world.gateway()  # which has no lanes

    async def one() -> int:
        try:
            await gateway.send(Caller(None, hash_token(world.secret)), device.device.hex, "get_gpio", PIN, 1)
        except Problem as problem:
            return problem.status
        raise AssertionError("the device says nothing")

    first = await asyncio.gather(*(one() for _ in range(10)))
    statuses = [*first, *await asyncio.gather(*(one() for _ in range(40)))]
    assert sorted(statuses) == [402] * 30 + [504] * 20
    assert await used(world) == 20


# --- lanes that are kept ---------------------------------------------------------------------------------------------------


async def test_a_lane_that_is_kept_is_given_to_another_process_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "SHARED_S", 0.0)  # so that it is kept again each time
    device, gateways = await world.device(), [await world.gateway() for _ in range(3)]
    for turn in range(12):
        await ask(gateways[turn % 3], world, device, turn % 8)  # in less than 3 s, and it would be kept for a minute
        await ask(gateways[turn % 3], world, device, turn % 8)
    assert len(device.heard) == 24


async def test_a_lane_that_is_shared_is_not_kept(world: World) -> None:
    device, one, other = await world.device(), await world.gateway(), await world.gateway()
    for gateway in (one, one, other, one):
        await ask(gateway, world, device)
    lock = f"lane:{device.device.hex}:get_gpio"
    assert lock not in one._kept
    assert lock in one._wanted


async def test_a_lane_of_one_command_alone_is_opened_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that sends one and ends, however it ends, holds nobody up."""
    device, gateway, other = await world.device(), await world.gateway(), await world.gateway()
    await ask(gateway, world, device)
    assert not gateway._held
    monkeypatch.setattr(gateway._valkey, "on_changed", None)  # it hears of nobody any more
    await ask(other, world, device)
    assert not gateway._wanted


async def test_a_lane_that_nobody_uses_is_opened_soon(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "KEPT_S", 0.3)
    device, gateway = await world.device(), await world.gateway()
    for _ in range(2):  # the looking begins anew
        for pin in range(3):
            await ask(gateway, world, device, pin)
        await until(lambda: _is_free(device), "an open lane")
        await until(lambda: not gateway._opening, "the end of the looking")
    assert not gateway._kept
    assert not gateway._held


async def test_a_lane_is_kept_no_longer_than_its_lease_is_sure(
    world: World, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "RENEW_S", 60.0)
    device, gateway = await world.device(), await world.gateway()
    for _ in range(3):  # from here on the right stands
        await ask(gateway, world, device)
    before, lock = asked.count, f"lane:{device.device.hex}:get_gpio"
    gateway._held[lock] -= core.LEASE_S / 2
    await ask(gateway, world, device)
    assert asked.count == before
    gateway._held[lock] -= core.LEASE_S / 2
    await ask(gateway, world, device)
    assert asked.count == before + 1


async def test_a_lane_that_is_kept_has_its_lease_renewed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "RENEW_S", 0.01)
    device, gateway = await world.device(), await world.gateway()
    for _ in range(2):
        await ask(gateway, world, device)
    lock = f"lane:{device.device.hex}:get_gpio"
    taken = gateway._held[lock]
    await until(lambda: gateway._held[lock] > taken, "a lease that is renewed")
    assert lock in gateway._kept


async def test_a_lane_that_is_taken_away_is_not_kept(world: World, asked: Asked) -> None:
    device, gateway = await world.device(), await world.gateway()
    for _ in range(3):
        await ask(gateway, world, device)
    lock = f"lane:{device.device.hex}:get_gpio"
    assert lock in gateway._kept
    await sync_to_async(cache.client().delete)(lock)
    await until(lambda: lock not in gateway._kept, "word of the loss")
    before = asked.count
    await ask(gateway, world, device)
    assert asked.count == before + 1


async def test_a_lane_kept_while_the_connection_broke_is_open_as_soon_as_there_is_another(world: World) -> None:
    device, gateway = await world.device(), await world.gateway()
    for _ in range(2):
        await ask(gateway, world, device)
    assert gateway._kept
    link = gateway._valkey._link
    assert link is not None
    assert link._transport is not None
    link._transport.abort()
    await until(lambda: _is_free(device), "an open lane")


async def _is_free(device: ScriptedDevice) -> bool:
    return not await sync_to_async(cache.client().exists)(f"lane:{device.device.hex}:get_gpio")
