"""Who is let through and who is not: what a caller who leaves gives back, and what asking in vain costs."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from pytest_django import Settings

from accounts.models import Role
from accounts.services import accept_invitation, create_organisation, create_user, invite, remove_member
from accounts.services.profile import change_profile
from accounts.services.tokens import create_token
from accounts.tokens import hash_token, new_token
from devices.models import Device
from devices.services import register_device
from iotportal.problems import Problem
from messaging import cache
from messaging.gateway import admission, core
from messaging.gateway.admission import Caller
from messaging.gateway.core import Gateway
from messaging.tests.gateway.world import World, throttle, until

PIN = {"number": 3}


async def refused(work: Awaitable[object]) -> Problem:
    with pytest.raises(Problem) as caught:
        await work
    return caught.value


def silent(api: str, payload: bytes) -> list[tuple[float, str, bytes]]:
    return []


async def used(world: World) -> int:
    """Return how many messages the account has used this month."""
    account = await sync_to_async(lambda: world.user.memberships.get().account)()
    key = f"quota:{account.pk.hex}:{time.strftime('%Y%m', time.gmtime())}"
    return int(await sync_to_async(cache.client().get)(key) or 0)


async def lanes() -> Any:
    return await sync_to_async(lambda: cache.client().keys("lane:*"))()


async def test_an_access_that_is_kept_from_last_month_is_asked_for_again(world: World) -> None:
    device, gateway = await world.device(), await world.gateway()
    key, client = cache.access_key(world.user.pk, device.device.hex), cache.client()
    await gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", PIN)
    entry = str(await sync_to_async(client.get)(key))
    before, _, ends_at = entry.rpartition(" ")
    assert float(ends_at) > time.time()
    for old in (f"{before.rpartition(' ')[0]} 209901 {int(time.time())}", before.rpartition(" ")[0]):  # of before an upgrade
        await sync_to_async(client.set)(key, old)
        await sync_to_async(client.ping)()  # by then the gateway has been told
        await gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", PIN)
        assert await sync_to_async(client.get)(key) == entry
    assert await used(world) == 3
    assert await sync_to_async(lambda: client.keys("quota:*:209901"))() == []


async def test_a_command_counts_in_the_month_that_it_is_where_the_account_is(world: World) -> None:
    device, gateway = await world.device(), await world.gateway()
    zone, now = "Pacific/Kiritimati", datetime.now(UTC)
    await sync_to_async(change_profile)(user=world.user, time_zone=zone)
    await gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", PIN)
    entry = str(await sync_to_async(cache.client().get)(cache.access_key(world.user.pk, device.device.hex)))
    month, ends_at = entry.split()[-2:]
    assert month in {f"{at.astimezone(ZoneInfo(zone)):%Y%m}" for at in (now, datetime.now(UTC))}
    begins = datetime.fromtimestamp(int(ends_at), ZoneInfo(zone))
    assert (begins.day, begins.hour, begins.minute) == (1, 0, 0)


class Spy:
    """Counts what the database is asked."""

    def __init__(self, asks: Callable[..., Awaitable[Any]]) -> None:
        self._asks = asks
        self.count = 0

    async def __call__(self, *arguments: Any) -> Any:
        self.count += 1
        return await self._asks(*arguments)


@pytest.fixture
def tokens_asked(monkeypatch: pytest.MonkeyPatch) -> Spy:
    spy = Spy(admission._look_up_token)
    monkeypatch.setattr(admission, "_look_up_token", spy)
    return spy


@pytest.fixture
def devices_asked(monkeypatch: pytest.MonkeyPatch) -> Spy:
    spy = Spy(admission._look_up_access)
    monkeypatch.setattr(admission, "_look_up_access", spy)
    return spy


# --- an access in use is asked about before it ends -------------------------------------------------------------------------


async def renewed() -> None:
    """Wait for the renewals under way."""
    await asyncio.gather(*admission._renewals.values())


async def _end_soon(world: World, gateway: Gateway, device: str) -> str:
    """Have an access kept that ends soon; returns its key."""
    key = cache.access_key(world.user.pk, device)
    await gateway.send(Caller(world.user.pk), device, "get_gpio", PIN)
    await renewed()  # after a registration an entry has a burial's seconds
    await sync_to_async(cache.client().pexpire)(key, admission.RENEW_MS - 1)
    await sync_to_async(cache.client().ping)()  # the gateway has been told by then
    return key


async def test_an_access_that_is_used_is_renewed_beside_the_command(world: World, devices_asked: Spy) -> None:
    device, gateway = await world.device(), await world.gateway()
    key = await _end_soon(world, gateway, device.device.hex)
    await gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", PIN)
    await renewed()
    assert await sync_to_async(cache.client().pttl)(key) > admission.RENEW_MS
    assert devices_asked.count == 1


async def test_an_access_that_the_database_does_not_know_any_more_is_not_renewed(world: World) -> None:
    device, gateway = await world.device(), await world.gateway()
    key = await _end_soon(world, gateway, device.device.hex)
    await sync_to_async(lambda: world.user.memberships.all()._raw_delete("default"))()  # past every signal: nothing is buried
    await gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", PIN)
    await renewed()
    assert await sync_to_async(cache.client().get)(key) is None
    assert (await refused(gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", PIN))).status == 404


async def test_a_change_that_comes_during_a_renewal_is_not_overwritten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    device, gateway = await world.device(), await world.gateway()
    key, look_up = await _end_soon(world, gateway, device.device.hex), admission._look_up_again

    async def changed_meanwhile(*arguments: Any) -> Any:
        found = await look_up(*arguments)
        await sync_to_async(cache.bury)([key])
        return found

    monkeypatch.setattr(admission, "_look_up_again", changed_meanwhile)
    await gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", PIN)
    await renewed()
    assert await sync_to_async(cache.client().get)(key) == cache.BURIED


# --- callers who leave ------------------------------------------------------------------------------------------------------


async def test_whenever_a_caller_leaves_no_lane_is_left_behind_and_only_what_was_sent_is_counted(world: World) -> None:
    device, gateway, other = await world.device(), await world.gateway(), await world.gateway()
    for one in (gateway, other):
        await one.send(Caller(world.user.pk), device.device.hex, "get_gpio", PIN)
    for turns in range(40):
        going = asyncio.ensure_future(gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", PIN))
        for _ in range(turns):
            await asyncio.sleep(0)
        going.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await going
        # A lane that was left behind would be closed for its lease, which is longer than this.
        assert (await other.send(Caller(world.user.pk), device.device.hex, "get_gpio", {"number": 4}, 4)).answer["number"] == 4
    assert not gateway._held
    records = await until(lambda: _settled(world), "a record of every command")
    assert await used(world) == len(records) == len(device.heard)


async def _settled(world: World) -> list[dict[str, Any]]:
    records = [record for record in await world.records() if "outcome" in record]
    return records if len(records) == len(world.devices[0].heard) else []


async def test_a_caller_who_leaves_while_valkey_thinks_leaves_nothing(world: World) -> None:
    device, gateway = await world.device(), await world.gateway()
    await gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", PIN)
    before = await used(world)
    going = asyncio.ensure_future(gateway.send(Caller(world.user.pk), device.device.hex, "get_rtc", {}))
    await asyncio.sleep(0)  # the question has been asked
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    await until(lambda: _none(lanes), "the lane to be open")
    assert await used(world) == before
    assert len(device.heard) == 1


async def _none(find: Callable[[], Awaitable[Any]]) -> bool:
    return not await find()


async def leaves(gateway: Gateway, world: World, device: str) -> None:
    """Ask and be gone before Valkey has answered."""
    going = asyncio.ensure_future(gateway.send(Caller(world.user.pk), device, "get_gpio", PIN, 5))
    await asyncio.sleep(0)
    going.cancel()
    await asyncio.gather(going, return_exceptions=True)


async def asks_nonsense(gateway: Gateway, world: World, device: str) -> None:
    """Ask what is refused after the lane was taken."""
    await asyncio.sleep(0)  # what needs nothing from outside lets nobody else have a turn
    await refused(gateway.send(Caller(world.user.pk), device, "get_gpio", {"number": "ten"}, 5))


@pytest.mark.parametrize("other", [leaves, asks_nonsense])
async def test_who_gives_a_lane_back_does_not_give_away_the_one_that_another_caller_waits_for(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch, other: Callable[..., Awaitable[None]]
) -> None:
    settings.COMMAND_GRACE_S = 0.01
    monkeypatch.setattr(core, "LANE_POLL_S", (0.0,))  # so that the one who waits is always just asking for the lane
    device, gateway = await world.device(script=silent), await world.gateway()
    lane = f"lane:{device.device.hex}:get_gpio"
    for turn in range(12):
        await sync_to_async(lambda: cache.client().set(lane, "another process", px=20))()
        waiting = asyncio.ensure_future(gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", {"number": 4}, 5))
        while len(device.heard) == turn:
            await other(gateway, world, device.device.hex)
        assert await gateway._valkey.call("GET", lane) == gateway._owner.encode()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await until(lambda: lane in gateway._kept or lane not in gateway._held, "the end of the grace")
        gateway._release(lane)


# --- lanes that are full ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["standard", "modern"])
async def test_behind_too_many_a_command_is_refused_at_once_and_costs_nothing(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch, profile: str
) -> None:
    settings.COMMAND_GRACE_S = 0.1
    monkeypatch.setattr(core, "MAX_WAITING", 5)
    device, gateway = await world.device(profile=profile, script=silent), await world.gateway()
    waiting = [asyncio.ensure_future(_ask(gateway, world, device.device.hex, 20)) for _ in range(5)]
    sent = 5 if profile == "modern" else 1
    await until(lambda: len(device.heard) == sent and len(gateway._pending) == 5, "five commands under way")
    heard, before = len(device.heard), await used(world)
    problem = await refused(_ask(gateway, world, device.device.hex, 20))
    assert (problem.status, problem.code, problem.retry_after_s) == (429, "lane_full", 1)
    assert (len(device.heard), await used(world)) == (heard, before)
    assert (await gateway.send(Caller(world.user.pk), (await world.device("Other")).device.hex, "get_gpio", PIN)).answer
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await refused(_ask(gateway, world, device.device.hex, 1))
    assert len(device.heard) > heard


async def _ask(gateway: Gateway, world: World, device: str, timeout_s: float) -> object:
    return await gateway.send(Caller(world.user.pk), device, "get_gpio", PIN, timeout_s)


# --- asking in vain ---------------------------------------------------------------------------------------------------------


async def test_a_flood_of_unknown_tokens_does_not_reach_the_database(world: World, settings: Settings, tokens_asked: Spy) -> None:
    throttle(settings, "5/day")
    device, gateway = await world.device(), await world.gateway()

    def ask(address: str, token_hash: str | None = None) -> Awaitable[object]:
        caller = Caller(None, token_hash or hash_token(new_token()), address=address)
        return gateway.send(caller, device.device.hex, "get_gpio", PIN)

    await ask("192.0.2.1", world.token.token_hash)
    tokens_asked.count = 0
    problems = await asyncio.gather(*(refused(ask("192.0.2.1")) for _ in range(50)))
    assert sorted(problem.status for problem in problems) == [401] * 5 + [429] * 45
    assert tokens_asked.count == 5
    assert all(0 < (problem.retry_after_s or 0) <= 86_400 for problem in problems if problem.status == 429)
    await ask("192.0.2.1", world.token.token_hash)  # a token that is in use goes on
    assert (await refused(ask("192.0.2.2"))).status == 401
    assert [(await refused(ask(f"2001:db8::{host:x}"))).status for host in range(6)] == [401] * 5 + [429]


async def test_good_tokens_do_not_count_as_failures(world: World, settings: Settings) -> None:
    throttle(settings, "2/day")
    device, gateway = await world.device(), await world.gateway()
    for number in range(5):
        token, _ = await sync_to_async(create_token)(user=world.user, name=f"token {number}")
        await gateway.send(Caller(None, token.token_hash, address="192.0.2.1"), device.device.hex, "get_gpio", PIN)


async def test_a_crowd_with_one_good_token_is_no_flood(world: World, settings: Settings, tokens_asked: Spy) -> None:
    throttle(settings, "2/day")
    device, gateway = await world.device(), await world.gateway()
    caller = Caller(None, world.token.token_hash, address="192.0.2.1")
    first, *others = [asyncio.ensure_future(gateway.send(caller, device.device.hex, "get_gpio", PIN)) for _ in range(50)]
    await asyncio.sleep(0)
    first.cancel()  # who asked for all of them leaves
    answers = await asyncio.gather(*others)
    assert {result.answer["value"] for result in answers} == {1}
    assert tokens_asked.count == 1


async def test_a_command_whose_time_is_over_when_it_is_admitted_leaves_the_lane_free(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, gateway, caller = await world.device(), await world.gateway(), Caller(world.user.pk)
    await gateway.send(caller, device.device.hex, "get_gpio", PIN)
    await until(lanes_are_free, "the lane to be free")
    before, ahead = await used(world), [0.0]
    admit = admission.admit

    async def slow(*arguments: Any, **named: Any) -> admission.Admission:
        granted = await admit(*arguments, **named)
        ahead[0] += 60
        return granted

    monkeypatch.setattr(core, "admit", slow)
    monkeypatch.setattr(core, "monotonic", lambda: time.monotonic() + ahead[0])
    assert (await refused(gateway.send(caller, device.device.hex, "get_gpio", PIN))).status == 503
    monkeypatch.setattr(core, "admit", admit)
    await until(lanes_are_free, "the lane to be given back")
    assert await used(world) == before
    assert (await gateway.send(caller, device.device.hex, "get_gpio", PIN)).answer["value"] == 1


async def lanes_are_free() -> bool:
    return not await lanes()


async def test_one_unknown_token_is_looked_up_once(world: World, tokens_asked: Spy) -> None:
    gateway, caller = await world.gateway(), Caller(None, hash_token(new_token()), address="192.0.2.1")
    for _ in range(10):
        assert (await refused(gateway.send(caller, uuid.uuid4().hex, "get_gpio", PIN))).status == 401
    assert tokens_asked.count == 1


async def test_a_token_works_at_once_after_others_did_not(world: World) -> None:
    device, gateway = await world.device(), await world.gateway()
    await refused(gateway.send(Caller(None, hash_token(new_token())), device.device.hex, "get_gpio", PIN))
    token, _ = await sync_to_async(create_token)(user=world.user, name="new")
    assert (await gateway.send(Caller(None, token.token_hash), device.device.hex, "get_gpio", PIN)).answer["value"] == 1


async def test_an_unknown_device_is_looked_up_once(world: World, devices_asked: Spy) -> None:
    gateway, nobodys = await world.gateway(), uuid.uuid4().hex
    for _ in range(10):
        assert (await refused(gateway.send(Caller(world.user.pk), nobodys, "get_gpio", PIN))).status == 404
    assert devices_asked.count == 1


async def test_a_search_for_devices_is_stopped_and_ones_own_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch, devices_asked: Spy
) -> None:
    monkeypatch.setattr(admission, "LOOKS_PER_MINUTE", 8)
    device, gateway = await world.device(), await world.gateway()
    await gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", PIN)
    problems = await asyncio.gather(
        *(refused(gateway.send(Caller(world.user.pk), uuid.uuid4().hex, "get_gpio", PIN)) for _ in range(60))
    )
    assert {problem.status for problem in problems} == {404, 429}
    assert devices_asked.count <= 1 + 2 * 8  # the minute may turn in between
    await gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", PIN)


async def test_a_device_works_at_once_for_a_user_who_asked_for_it_in_vain(world: World) -> None:
    account = await sync_to_async(create_organisation)(user=world.user, name="Waterworks")
    device, gateway = await world.device(account=account), await world.gateway()
    friend = await sync_to_async(create_user)(
        username="bob", email="bob@example.com", password="x", first_name="Bob", last_name="B"
    )
    assert (await refused(gateway.send(Caller(friend.pk), device.device.hex, "get_gpio", PIN))).status == 404
    made = await sync_to_async(invite)(account=account, by=world.user, email=friend.email, role=Role.OPERATOR)
    await sync_to_async(accept_invitation)(invitation=made, user=friend)
    assert (await gateway.send(Caller(friend.pk), device.device.hex, "get_gpio", PIN)).answer["value"] == 1
    await sync_to_async(remove_member)(account=account, by=world.user, user=friend)
    assert (await refused(gateway.send(Caller(friend.pk), device.device.hex, "get_gpio", PIN))).status == 404


async def test_a_device_works_at_once_although_its_id_was_asked_for_before(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway, coming = await world.gateway(), uuid.uuid4()
    assert (await refused(gateway.send(Caller(world.user.pk), coming.hex, "get_gpio", PIN))).status == 404
    monkeypatch.setattr(Device._meta.pk, "_get_default", lambda: coming)
    account = await sync_to_async(lambda: world.user.memberships.get().account)()
    made = await sync_to_async(register_device)(account=account, name="Coming")
    assert made.device.pk == coming
    assert (await refused(gateway.send(Caller(world.user.pk), coming.hex, "get_gpio", PIN, 1))).status == 504


async def test_without_the_database_nobody_new_is_let_through(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = await world.gateway()
    with monkeypatch.context() as away:
        away.setitem(connection.settings_dict, "PORT", "1")
        problem = await refused(gateway.send(Caller(None, hash_token(new_token())), uuid.uuid4().hex, "get_gpio", PIN))
    assert (problem.status, problem.code) == (503, "unavailable")
