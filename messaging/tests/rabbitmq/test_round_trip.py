"""A command through a real RabbitMQ: gateway on AMQP, device on MQTT, history and presence by the stream."""

from __future__ import annotations

from asgiref.sync import sync_to_async

from messaging.gateway.admission import Caller
from messaging.models import Command, Message, Presence
from messaging.tests.gateway.world import until
from messaging.tests.rabbitmq.broker import RabbitWorld
from messaging.tests.rabbitmq.conftest import StartBridge


async def test_a_command_reaches_the_device_and_the_history(world: RabbitWorld, start_bridge: StartBridge) -> None:
    await sync_to_async(start_bridge)()
    device, gateway = await world.device(), await world.gateway()
    await until(lambda: Presence.objects.filter(device=device.device, connected=True).aexists(), "presence")
    result = await gateway.send(Caller(world.user.pk), device.device.hex, "set_gpio", {"number": "10", "value": 1})
    assert device.heard == [("set_gpio", b'{"number": 10, "value": 1}')]
    assert result.answer == {"number": 10, "value": 1}
    assert result.timeline["broker"] is not None
    await until(lambda: sync_to_async(lambda: Message.objects.count() == 2)(), "both messages in the history")
    await until(lambda: Command.objects.filter(outcome="answered").aexists(), "the command in the history")
    assert {row.direction async for row in Message.objects.all()} == {"to", "from"}
    device.close()
    await until(lambda: Presence.objects.filter(device=device.device, connected=False).aexists(), "absence")
