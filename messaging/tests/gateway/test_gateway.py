"""The command path against a real broker, a real Valkey and scripted devices."""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from collections.abc import Awaitable
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone
from pytest_django import Settings

from accounts.models import ApiToken, Membership, Role
from accounts.services import create_token, revoke_token
from devices.services import delete_device
from iotportal.problems import Problem
from iotportal.valkey import Valkey
from messaging import cache
from messaging.gateway.admission import SCRIPTS, Caller
from messaging.gateway.core import Gateway
from messaging.gateway.mqtt import MqttTransport
from messaging.protocol import matcher
from messaging.tests.gateway.world import World, make_user, obedient, until


async def refused(work: Awaitable[object]) -> Problem:
    with pytest.raises(Problem) as caught:
        await work
    return caught.value


def silent(api: str, payload: bytes) -> list[tuple[float, str, bytes]]:
    return []


async def test_it_brings_the_answer_back_with_a_timeline(world: World) -> None:
    device, gateway = await world.device(), await world.gateway()
    result = await gateway.send(Caller(world.user.pk), device.device.hex, "set_gpio", {"number": "10", "value": 1})
    assert device.heard == [("set_gpio", b'{"number": 10, "value": 1}')]
    assert result.answer == {"number": 10, "value": 1}
    times = [result.timeline[name] for name in ("accepted", "sent", "answered", "delivered")]
    assert times == sorted(time for time in times if time is not None)
    assert result.timeline["broker"] is not None
    (record,) = await until(world.records, "a record for the bridge")
    assert record["outcome"] == "answered"
    assert record["id"] == result.id.hex
    assert json.loads(record["answer"]) == {"number": 10, "value": 1}


async def test_a_token_opens_the_device_until_it_is_revoked(world: World) -> None:
    device, gateway = await world.device(), await world.gateway()
    caller = Caller(None, world.token.token_hash)
    assert (await gateway.send(caller, device.device.hex, "get_gpio", {"number": 3})).answer["value"] == 1
    await sync_to_async(revoke_token)(token=world.token)
    problem = await refused(gateway.send(caller, device.device.hex, "get_gpio", {"number": 3}))
    assert problem.status == 401
    assert len(device.heard) == 1


async def test_every_caller_gets_its_own_pin(world: World) -> None:
    device, gateway = await world.device(), await world.gateway()
    results = await asyncio.gather(
        *(gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", {"number": pin}, 20) for pin in range(60))
    )
    assert [result.answer for result in results] == [{"number": pin, "value": pin % 2} for pin in range(60)]


async def test_two_processes_share_a_lane_without_mixing_answers(world: World) -> None:
    device = await world.device()
    gateways = [await world.gateway(), await world.gateway()]
    results = await asyncio.gather(
        *(gateways[pin % 2].send(Caller(world.user.pk), device.device.hex, "get_gpio", {"number": pin}, 30) for pin in range(100))
    )
    assert [result.answer["number"] for result in results] == list(range(100))


async def test_two_processes_take_turns_on_a_lane(world: World) -> None:
    device = await world.device()
    gateways = [await world.gateway(), await world.gateway()]
    for gateway in gateways:  # so that both hear the device's answers already
        await gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", {"number": 0})
    device.heard.clear()
    await asyncio.gather(
        *(gateways[pin % 2].send(Caller(world.user.pk), device.device.hex, "get_gpio", {"number": pin}, 30) for pin in range(200))
    )
    turns = [json.loads(payload)["number"] % 2 for _, payload in device.heard]
    runs = [len(list(run)) for _, run in itertools.groupby(turns)]
    assert max(runs[1:-1]) <= 4 * matcher.MAX_HANDOVER  # at the beginning and the end only one of them has something to send


async def test_silence_is_a_timeout_and_the_late_answer_is_nobodys(world: World) -> None:
    def slow_first(api: str, payload: bytes) -> list[tuple[float, str, bytes]]:
        late = len(device.heard) == 1
        return [(1.4, api, b'{"value": 1111}')] if late else [(0, api, b'{"value": 2222}')]

    device, gateway = await world.device(script=slow_first), await world.gateway()
    problem = await refused(gateway.send(Caller(world.user.pk), device.device.hex, "get_rtc", {}, 1))
    assert (problem.status, problem.code) == (504, "device_timeout")
    second = await gateway.send(Caller(world.user.pk), device.device.hex, "get_rtc", {}, 10)
    assert second.answer == {"value": 2222}
    records = await until(lambda: _at_least(world, 3), "three records")
    assert [record.get("outcome", "late") for record in records] == ["timeout", "late", "answered"]
    assert records[1]["late"] == records[0]["id"]
    assert records[1]["late_ms"] > 1000


async def _at_least(world: World, count: int) -> list[dict[str, object]]:
    records = await world.records()
    return records if len(records) >= count else []


async def test_strangers_and_nobodies_devices_look_the_same(world: World) -> None:
    device, gateway = await world.device(), await world.gateway()
    stranger, _, _ = await sync_to_async(make_user)("mallory")
    theirs = await refused(gateway.send(Caller(stranger.pk), device.device.hex, "get_gpio", {"number": 3}))
    nobodys = await refused(gateway.send(Caller(stranger.pk), uuid.uuid4().hex, "get_gpio", {"number": 3}))
    assert theirs.body() == nobodys.body()
    assert theirs.status == 404
    assert device.heard == []


async def test_a_deleted_device_is_unknown_at_once(world: World) -> None:
    device, gateway = await world.device(), await world.gateway()
    await gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", {"number": 3})
    await sync_to_async(delete_device)(device=device.device)
    assert (await refused(gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", {"number": 3}))).status == 404


async def test_a_viewer_and_a_reading_token_may_not_send(world: World) -> None:
    device, gateway = await world.device(), await world.gateway()
    viewer, _, _ = await sync_to_async(make_user)("victor")
    await sync_to_async(Membership.objects.create)(user=viewer, account_id=device.device.account_id, role=Role.VIEWER)
    assert (await refused(gateway.send(Caller(viewer.pk), device.device.hex, "get_gpio", {"number": 3}))).status == 403
    token, _ = await sync_to_async(create_token)(user=world.user, name="read", scopes=["read"])
    assert (
        await refused(gateway.send(Caller(None, token.token_hash), device.device.hex, "get_gpio", {"number": 3}))
    ).status == 403
    assert device.heard == []


async def test_a_login_token_does_what_its_user_may_whatever_its_scopes(world: World) -> None:
    device, gateway = await world.device(), await world.gateway()
    ends = timezone.now() + timedelta(hours=1)
    login = {"kind": "login", "scopes": ["read"], "refresh_hash": "r", "expires_at": ends, "refresh_expires_at": ends}
    await ApiToken.objects.filter(pk=world.token.pk).aupdate(**login)
    result = await gateway.send(Caller(None, world.token.token_hash), device.device.hex, "get_gpio", {"number": 3})
    assert result.answer["value"] == 1


async def test_an_offline_device_is_refused_at_once_while_the_bridge_lives(world: World) -> None:
    device, gateway = await world.device(), await world.gateway()
    await sync_to_async(cache.client().set)(cache.presence_key(device.device.hex), "0")
    result = await gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", {"number": 3})
    assert result.answer["value"] == 1  # nobody keeps the presence up to date, so it is not believed
    await sync_to_async(cache.client().set)(cache.BRIDGE_ALIVE, "1")
    await sync_to_async(cache.client().ping)()  # the gateway has been told by then
    problem = await refused(gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", {"number": 3}))
    assert (problem.status, problem.code) == (409, "device_offline")
    assert len(device.heard) == 1


async def test_the_quota_ends_exactly_and_what_was_not_sent_costs_nothing(world: World, settings: Settings) -> None:
    settings.FREE_MESSAGES_PER_MONTH = 3
    device, gateway = await world.device(), await world.gateway()
    bad = [refused(gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", {"number": "ten"})) for _ in range(2)]
    assert [problem.status for problem in await asyncio.gather(*bad)] == [400, 400]
    outcomes = await asyncio.gather(
        *(gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", {"number": pin}) for pin in range(8)),
        return_exceptions=True,
    )
    refusals = [outcome for outcome in outcomes if isinstance(outcome, Problem)]
    assert len(device.heard) == 3
    assert [problem.status for problem in refusals] == [402] * 5


async def test_commands_are_limited_per_minute(world: World, settings: Settings) -> None:
    settings.COMMANDS_PER_MINUTE = 2
    device, gateway = await world.device(), await world.gateway()
    outcomes = [await _status(gateway, world, device.device.hex) for _ in range(3)]
    assert outcomes[-1] in {429, 200}  # the minute may turn in between
    assert outcomes.count(200) >= 2


async def _status(gateway: Gateway, world: World, device: str) -> int:
    try:
        await gateway.send(Caller(world.user.pk), device, "get_gpio", {"number": 3})
    except Problem as problem:
        return problem.status
    return 200


@pytest.mark.parametrize(
    ("api", "arguments", "field"),
    [
        ("get_gpio", {"number": "x"}, "number"),
        ("get_gpio", {}, "number"),
        ("set_gpio", {"number": 1, "value": 7}, "value"),
        ("get_gpio", {"number": 1, "extra": 2}, "extra"),
        ("Get_Gpio", {}, "api"),
        ("a/b", {}, "api"),
        ("#", {}, "api"),
    ],
)
async def test_what_cannot_be_sent_is_named_and_leaves_the_lane_open(
    world: World, api: str, arguments: dict[str, object], field: str
) -> None:
    device, gateway = await world.device(), await world.gateway()
    problem = await refused(gateway.send(Caller(world.user.pk), device.device.hex, api, arguments))
    assert problem.status == 400
    assert field in problem.errors
    assert device.heard == []
    await until(lambda: sync_to_async(lambda: not cache.client().keys("lane:*"))(), "the lane to be open")


@pytest.mark.parametrize("timeout", [0, 0.5, 31, -1, float("nan"), float("inf"), True, "5"])
async def test_timeouts_outside_the_bounds_are_refused(world: World, timeout: object) -> None:
    gateway = await world.gateway()
    problem = await refused(gateway.send(Caller(world.user.pk), uuid.uuid4().hex, "get_status", {}, timeout))
    assert problem.errors == {"timeout": ["A number of seconds, 1 to 30."]}


async def test_losing_the_broker_tells_the_caller_and_the_next_command_works(world: World) -> None:
    device, gateway = await world.device(script=silent), await world.gateway()
    waiting = asyncio.ensure_future(
        gateway.send(Caller(world.user.pk), device.device.hex, "set_gpio", {"number": 1, "value": 1}, 20)
    )
    await until(lambda: device.heard, "the command at the device")
    await world.stop_broker()
    problem = await refused(waiting)
    assert (problem.status, problem.code) == (503, "broker_lost")
    await world.start_broker()
    other = await world.device("Other")
    assert (await gateway.send(Caller(world.user.pk), other.device.hex, "get_gpio", {"number": 3}, 20)).answer["value"] == 1
    assert len(device.heard) == 1  # it was not sent a second time


async def test_without_a_broker_nothing_is_sent_and_the_answer_is_quick(world: World) -> None:
    device, gateway = await world.device(), await world.gateway()
    await world.stop_broker()
    problem = await refused(gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", {"number": 3}, 1))
    assert problem.status == 503
    await until(lambda: sync_to_async(lambda: not cache.client().keys("lane:*"))(), "the lane to be open")


async def test_without_valkey_nothing_is_sent(world: World, settings: Settings) -> None:
    device = await world.device()
    transport = MqttTransport("localhost", world.port, settings.PKI_DIR)
    gateway = Gateway(transport, Valkey("redis://127.0.0.1:1", SCRIPTS))
    await gateway.start()
    world.gateways.append(gateway)
    assert (await refused(gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", {"number": 3}))).status == 503
    assert device.heard == []


async def test_a_caller_who_goes_away_frees_the_lane(world: World) -> None:
    def deaf_to_pin_one(api: str, payload: bytes) -> list[tuple[float, str, bytes]]:
        return [] if json.loads(payload) == {"number": 1} else obedient(api, payload)

    device, gateway = await world.device(script=deaf_to_pin_one), await world.gateway()
    going = asyncio.ensure_future(gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", {"number": 1}, 30))
    await until(lambda: device.heard, "the command at the device")
    staying = asyncio.ensure_future(gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", {"number": 4}, 20))
    going.cancel()
    assert (await staying).answer == {"number": 4, "value": 0}
    records = await until(lambda: _at_least(world, 2), "two records")
    assert {record["outcome"] for record in records} == {"abandoned", "answered"}


async def test_a_lane_left_behind_by_a_killed_process_opens_when_its_lease_ends(world: World) -> None:
    device, gateway = await world.device(), await world.gateway()
    lane = f"lane:{device.device.hex}:get_gpio"
    await sync_to_async(lambda: cache.client().set(lane, "somebody who is dead", px=400))()
    result = await gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", {"number": 3}, 5)
    assert result.answer["value"] == 1
    assert (result.timeline["sent"] or 0) > 100


async def test_a_busy_lane_is_said_and_nothing_is_sent(world: World) -> None:
    device, gateway = await world.device(), await world.gateway()
    lane = f"lane:{device.device.hex}:get_gpio"
    await sync_to_async(lambda: cache.client().set(lane, "another process", px=3000))()
    problem = await refused(gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", {"number": 3}, 1))
    assert (problem.status, problem.code) == (504, "device_busy")
    assert device.heard == []


@pytest.mark.parametrize("said", [b"", b"[]", b"\xff\xfe", b'{"number": 3}', b'{"number": 3, "value": {}}', b"[" * 20_000])
async def test_a_malformed_answer_is_an_error_and_no_timeout(world: World, said: bytes) -> None:
    device = await world.device(script=lambda api, payload: [(0, api, said)])
    gateway = await world.gateway()
    problem = await refused(gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", {"number": 3}, 5))
    assert (problem.status, problem.code) == (502, "malformed_answer")


async def test_a_device_that_reports_an_error_is_quoted(world: World) -> None:
    def refuses(api: str, payload: bytes) -> list[tuple[float, str, bytes]]:
        body = {"id": json.loads(payload)["id"], "error": {"code": "no_pin", "message": "There is no pin 77."}}
        return [(0, api, json.dumps(body).encode())]

    device, gateway = await world.device(profile="modern", script=refuses), await world.gateway()
    problem = await refused(gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", {"number": 77}))
    assert (problem.status, problem.code) == (502, "device_error")
    assert "There is no pin 77." in problem.detail


async def test_a_device_that_repeats_ids_answers_in_any_order(world: World) -> None:
    def backwards(api: str, payload: bytes) -> list[tuple[float, str, bytes]]:
        asked = json.loads(payload)
        return [(0.05 * (5 - asked["number"]), api, json.dumps({**asked, "value": asked["number"] % 2}).encode())]

    device, gateway = await world.device(profile="modern", script=backwards), await world.gateway()
    results = await asyncio.gather(
        *(gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", {"number": pin}) for pin in range(5))
    )
    assert [result.answer["number"] for result in results] == list(range(5))


async def test_another_devices_answer_is_not_heard(world: World) -> None:
    quiet, gateway = await world.device("Quiet", script=silent), await world.gateway()
    forger = await world.device("Forger", script=silent)
    waiting = asyncio.ensure_future(gateway.send(Caller(world.user.pk), quiet.device.hex, "get_gpio", {"number": 3}, 1))
    await until(lambda: quiet.heard, "the command at the device")
    forger.client.publish(f"server/{quiet.device.hex}/get_gpio", b'{"number": 3, "value": 1}', qos=1)
    assert (await refused(waiting)).code == "device_timeout"


async def test_a_device_is_not_asked_to_notify_itself(world: World) -> None:
    device, gateway = await world.device(), await world.gateway()
    arguments = {"recipient": device.device.hex, "message": "Are you there?"}
    problem = await refused(gateway.send(Caller(world.user.pk), device.device.hex, "trigger_notification", arguments))
    assert list(problem.errors) == ["recipient"]
    assert device.heard == []
