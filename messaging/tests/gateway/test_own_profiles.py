"""Commands by a profile of one's own: checked by it, and by what was saved last, in every process at once."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping
from typing import Any

from asgiref.sync import sync_to_async

from devices import profile_store, services
from devices.models import OwnProfile
from devices.profile_documents import with_api
from devices.profiles import resolved
from iotportal.problems import Problem
from messaging import cache
from messaging.gateway.admission import Caller
from messaging.gateway.core import CommandResult, Gateway
from messaging.tests.gateway.test_gateway import refused
from messaging.tests.gateway.world import ScriptedDevice, World, make_user, until

VALUE = {"name": "value", "type": "integer", "minimum": 0, "maximum": 3}


def fan(maximum: int = 3, kind: str = "integer", **more: Any) -> dict[str, Any]:
    value = {"name": "value", "type": kind} | ({"minimum": 0, "maximum": maximum} if kind == "integer" else {})
    return {"title": "Fan", "kind": "set", "fields": [value], "answer": [value], "echo": ["value"], **more}


@sync_to_async
def make(world: World, api: Mapping[str, Any] | None = None, **more: Any) -> OwnProfile:
    document = {**with_api(resolved("standard"), "set_fan", api or fan()), **more}
    return services.make_profile(account=world.user.memberships.get().account, name="Garden", document=document)


@sync_to_async
def save(profile: OwnProfile, api: Mapping[str, Any], **more: Any) -> OwnProfile:
    return services.save_profile(profile=profile, document={**with_api(services.document_of(profile), "set_fan", api), **more})


async def set_fan(
    gateway: Gateway, world: World, device: ScriptedDevice, value: object, timeout_s: float | None = 5
) -> CommandResult:
    return await gateway.send(Caller(world.user.pk), device.device.hex, "set_fan", {"value": value}, timeout_s)


async def test_an_own_api_is_checked_and_sent_by_its_profile(world: World) -> None:
    await make(world)
    device, gateway = await world.device(profile="garden"), await world.gateway()
    assert (await set_fan(gateway, world, device, "3")).answer == {"value": 3}
    assert device.heard == [("set_fan", b'{"value": 3}')]
    problem = await refused(set_fan(gateway, world, device, 4))
    assert (problem.status, problem.errors) == (400, {"value": ["4 is too large; this takes 0 to 3."]})
    assert len(device.heard) == 1


async def test_a_save_counts_at_once_in_every_process(world: World) -> None:
    profile = await make(world)
    device, gateways = await world.device(profile="garden"), [await world.gateway(), await world.gateway()]
    for gateway in gateways:
        await set_fan(gateway, world, device, 1)
    profile = await save(profile, fan(maximum=9))
    for gateway in gateways:
        assert (await set_fan(gateway, world, device, 9)).answer == {"value": 9}
    await save(profile, fan(maximum=1))
    for gateway in gateways:
        assert (await refused(set_fan(gateway, world, device, 9))).status == 400


async def test_the_first_command_of_a_token_finds_all_that_it_needs(world: World) -> None:
    await make(world)
    device, gateway = await world.device(profile="garden"), await world.gateway()
    assert (await gateway.send(Caller(None, world.token.token_hash), device.device.hex, "set_fan", {"value": 1}, 5)).attempts == 1


async def test_a_get_takes_its_fields_as_texts_and_a_set_is_not_asked_for(world: World) -> None:
    fields = [{"name": "depth", "type": "number"}, {"name": "fine", "type": "boolean"}]
    probe = {"title": "Probe", "kind": "get", "fields": fields, "answer": [VALUE]}
    await make(world, apis={"get_probe": probe, "set_fan": fan()})
    device, gateway = (
        await world.device(profile="garden", script=lambda api, _: [(0, api, b'{"value": 2}')]),
        await world.gateway(),
    )
    caller, hex_id = Caller(world.user.pk), device.device.hex
    assert (await gateway.send(caller, hex_id, "get_probe", {"depth": "1.5", "fine": "true"}, kind="get")).answer == {"value": 2}
    assert device.heard == [("get_probe", b'{"depth": 1.5, "fine": true}')]
    used = await sync_to_async(_used)(world)
    assert (await refused(gateway.send(caller, hex_id, "set_fan", {"value": "1"}, kind="get"))).status == 405
    assert (await refused(gateway.send(caller, hex_id, "get_probe", {"depth": 1, "fine": True}, kind="set"))).status == 405
    wrong = await refused(gateway.send(caller, hex_id, "get_probe", {"depth": "deep", "fine": "perhaps"}, kind="get"))
    assert set(wrong.errors) == {"depth", "fine"}
    await until(lambda: _same(world, used), "the quota to be given back")


async def _same(world: World, used: object) -> bool:
    return bool(await sync_to_async(_used)(world) == used)


async def test_an_own_api_waits_as_long_as_its_profile_says(world: World) -> None:
    def silent(api: str, payload: bytes) -> list[tuple[float, str, bytes]]:
        return []

    await make(world, fan(timeout_s=1))
    device, gateway = await world.device(profile="garden", script=silent), await world.gateway()
    problem = await refused(set_fan(gateway, world, device, 1, None))
    assert (problem.code, problem.detail) == ("device_timeout", "No answer in 1 s. The device may still have done it.")


async def test_an_answer_is_read_as_it_was_asked_though_the_profile_was_saved_meanwhile(world: World) -> None:
    heard = asyncio.Event()

    def slow(api: str, payload: bytes) -> list[tuple[float, str, bytes]]:
        device.loop.call_soon_threadsafe(heard.set)
        return [(0.5, api, payload)]

    profile = await make(world)
    device, gateway = await world.device(profile="garden", script=slow), await world.gateway()
    first = asyncio.ensure_future(set_fan(gateway, world, device, 2))
    await asyncio.wait_for(heard.wait(), 5)
    await save(profile, fan(kind="string"))
    second = asyncio.ensure_future(set_fan(gateway, world, device, "fast", 8))
    assert (await first).answer == {"value": 2}
    assert (await second).answer == {"value": "fast"}


async def test_commands_go_on_while_their_profile_is_edited(world: World) -> None:
    profile = await make(world)
    device, gateways = await world.device(profile="garden"), [await world.gateway(), await world.gateway()]

    async def edit() -> None:
        nonlocal profile
        for number in range(10):
            profile = await save(profile, fan(title=f"Fan {number}"))

    async def ask(number: int) -> object:
        return (await set_fan(gateways[number % 2], world, device, number % 4, 20)).answer["value"]

    answers, _ = await asyncio.gather(asyncio.gather(*(ask(number) for number in range(60))), edit())
    assert answers == [number % 4 for number in range(60)]


async def test_lanes_change_with_the_profile_once_nothing_is_under_way(world: World) -> None:
    def slow(api: str, payload: bytes) -> list[tuple[float, str, bytes]]:
        return [(0.4, api, payload)]

    profile = await make(world)
    device, gateway = await world.device(profile="garden", script=slow), await world.gateway()
    first = asyncio.ensure_future(set_fan(gateway, world, device, 1))
    await until(lambda: device.heard, "the first command")
    profile = await save(profile, fan(), lane="device")
    problem = await refused(set_fan(gateway, world, device, 2))
    assert (problem.status, "profile is changing" in problem.detail) == (503, True)
    assert (await first).answer == {"value": 1}
    assert (await set_fan(gateway, world, device, 2)).answer == {"value": 2}
    await until(lambda: _no_locks(device), "the lanes to be open")


async def test_a_process_that_does_not_know_the_version_asks_for_it_and_leaves_no_lane_behind(world: World) -> None:
    profile = await make(world)
    device, gateway = await world.device(profile="garden"), await world.gateway()
    await set_fan(gateway, world, device, 1)
    profile_store._own.clear()  # as in a process that starts
    assert (await set_fan(gateway, world, device, 2)).answer == {"value": 2}
    profile_store._own.clear()
    await sync_to_async(lambda: profile.versions.all().delete())()
    used = await sync_to_async(_used)(world)
    assert (await refused(set_fan(gateway, world, device, 3))).status == 503
    await until(lambda: _same(world, used), "the quota to be given back")
    await until(lambda: _no_locks(device), "the lanes to be open")


async def test_a_device_whose_profile_is_taken_away_is_what_it_is_now(world: World) -> None:
    profile = await make(world)
    device, gateway = await world.device(profile="garden"), await world.gateway()
    await set_fan(gateway, world, device, 1)
    await sync_to_async(services.change_profile)(device=device.device, profile="standard")
    await sync_to_async(services.delete_profile)(profile=profile)
    assert (await set_fan(gateway, world, device, 77)).answer == {"value": 77}  # standard lets it through
    await sync_to_async(cache.bury)([cache.profile_key(profile.hex)])
    assert (await set_fan(gateway, world, device, 78)).answer == {"value": 78}


async def test_a_profile_of_the_same_slug_in_another_account_is_another(world: World) -> None:
    await make(world)
    stranger, _, _ = await sync_to_async(make_user)("mallory")

    def theirs() -> None:
        document = with_api(resolved("standard"), "set_fan", fan(maximum=99))
        services.make_profile(account=stranger.memberships.get().account, name="Garden", document=document)

    await sync_to_async(theirs)()
    device, gateway = await world.device(profile="garden"), await world.gateway()
    assert (await refused(set_fan(gateway, world, device, 99))).status == 400


async def _no_locks(device: ScriptedDevice) -> bool:
    return not await sync_to_async(cache.client().keys)(f"lane:{device.device.hex}*")


def _used(world: World) -> object:
    keys: Any = cache.client().keys("quota:*")
    return [cache.client().get(key) for key in sorted(keys)]


async def test_what_it_answers_comes_as_json_numbers_of_its_own(world: World) -> None:
    counter = itertools.count()

    def sensor(api: str, payload: bytes) -> list[tuple[float, str, bytes]]:
        return [(0, api, json.dumps({"moisture": "41.5" if next(counter) else 41.5, "wet": 1}).encode())]

    soil = {
        "title": "Soil",
        "kind": "get",
        "answer": [{"name": "moisture", "type": "number"}, {"name": "wet", "type": "boolean"}],
    }
    await make(world, apis={**resolved("standard")["apis"], "get_soil": soil})
    device, gateway = await world.device(profile="garden", script=sensor), await world.gateway()
    answer = (await gateway.send(Caller(world.user.pk), device.device.hex, "get_soil", {}, 5)).answer
    assert answer == {"moisture": 41.5, "wet": True}
    problem: Problem = await refused(gateway.send(Caller(world.user.pk), device.device.hex, "get_soil", {}, 5))
    assert (problem.status, problem.code) == (502, "malformed_answer")
