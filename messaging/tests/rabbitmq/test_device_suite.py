"""What the gateway's tests say of devices holds on RabbitMQ as well, over MQTT and over AMQP: the same tests, run there.

What is about people, quotas and the portal's own parts alone is not run again.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from asgiref.sync import sync_to_async

from messaging.gateway.admission import Caller
from messaging.models import Message, Presence
from messaging.tests.gateway.test_gateway import (  # noqa: F401 - collected here, with this module's world
    test_a_caller_who_goes_away_frees_the_lane,
    test_a_deleted_device_is_unknown_at_once,
    test_a_device_that_repeats_ids_answers_in_any_order,
    test_a_device_that_reports_an_error_is_quoted,
    test_every_caller_gets_its_own_pin,
    test_it_brings_the_answer_back_with_a_timeline,
    test_silence_is_a_timeout_and_the_late_answer_is_nobodys,
    test_two_processes_share_a_lane_without_mixing_answers,
)
from messaging.tests.gateway.world import obedient, until
from messaging.tests.rabbitmq.broker import RabbitWorld, RunningRabbit
from messaging.tests.rabbitmq.conftest import StartBridge
from simulators.device import Device as SimulatedDevice


@pytest.fixture(params=["mqtt", "amqp"])
async def world(rabbit: RunningRabbit, request: pytest.FixtureRequest) -> AsyncIterator[RabbitWorld]:
    opened = RabbitWorld(rabbit, request.param)
    await opened.open()
    yield opened
    await opened.close()


async def test_a_simulated_device_answers_every_api_and_its_keyword_raises_a_notification(
    world: RabbitWorld, start_bridge: StartBridge
) -> None:
    await sync_to_async(start_bridge)()
    device, gateway = await world.device(), await world.gateway()
    mind = SimulatedDevice(device.device.hex)
    device.script = lambda api, said: [(message.after_s, message.api, message.payload) for message in mind.handle(api, said)]
    await until(lambda: Presence.objects.filter(device=device.device, connected=True).aexists(), "presence")
    asked: dict[str, dict[str, object]] = {
        "get_status": {}, "set_gpio": {"number": 10, "value": 1}, "get_gpio": {"number": 10}, "set_rtc": {"value": 1574000000},
        "get_rtc": {}, "get_mac": {}, "get_ip": {}, "get_subnet": {}, "get_gateway": {}, "write_uart": {"value": "hello"},
    }  # fmt: skip
    for api, fields in asked.items():
        answer = (await gateway.send(Caller(world.user.pk), device.device.hex, api, fields)).answer
        assert "value" in answer, api
    for message in mind.type_line('iot send message "The door is open" recipient "guard@example.com"'):
        device.say(message.api, message.payload)
    told = Message.objects.filter(device_id=device.device.pk, api="trigger_notification", direction="from")
    await until(told.aexists, "the notification in the history")
    assert "The door is open" in (await told.aget()).payload
    device.close()
    await until(lambda: Presence.objects.filter(device=device.device, connected=False).aexists(), "absence")


@pytest.mark.parametrize("world", ["mqtt"], indirect=True)  # no such firmware speaks AMQP
async def test_a_device_that_is_deaf_while_it_works_gets_every_command(world: RabbitWorld) -> None:
    def deaf(api: str, payload: bytes) -> list[tuple[float, str, bytes]]:
        topics = f"{device.device.hex}/#"
        device.client.unsubscribe(topics)
        device.loop.call_soon_threadsafe(lambda: device.loop.call_later(0.05, lambda: device.client.subscribe(topics, 1)))
        return obedient(api, payload)

    device, gateway = await world.device(profile="ft900", script=deaf), await world.gateway()
    for pin in range(5):
        answer = await gateway.send(Caller(world.user.pk), device.device.hex, "get_gpio", {"number": pin})
        assert answer.answer == {"number": pin, "value": pin % 2}
    assert [json.loads(said)["number"] for _, said in device.heard] == list(range(5))
