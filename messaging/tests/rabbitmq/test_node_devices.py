"""A client of the old kind, mqtt.js with MQTT 3.1, on a real RabbitMQ: with its certificate, and with a password."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async

from accounts.services import personal_account
from devices.downloads import device_zip
from devices.services import issue_secret, register_device
from messaging.gateway.admission import Caller
from messaging.models import Presence
from messaging.tests.gateway.world import until
from messaging.tests.rabbitmq.broker import RabbitWorld
from messaging.tests.rabbitmq.conftest import StartBridge
from simulators.tests.test_node import NODE, needs_node


@needs_node
@pytest.mark.parametrize("comes_with", ["certificate", "password"])
async def test_it_answers_and_raises_what_it_is_asked_to(
    world: RabbitWorld, start_bridge: StartBridge, tmp_path: Path, comes_with: str
) -> None:
    await sync_to_async(start_bridge)()

    def make() -> str:
        device = register_device(account=personal_account(world.user), name="Old").device
        (tmp_path / "old.zip").write_bytes(device_zip(device))
        if comes_with == "password":
            (tmp_path / "password").write_text(issue_secret(device=device))
        return device.hex

    id = await sync_to_async(make)()
    words = ["--zip", str(tmp_path / "old.zip"), "--port", str(world.port), "--protocol", "MQIsdp", "--host", "localhost", "-q"]
    if comes_with == "password":
        words += ["--password-file", str(tmp_path / "password")]
    process = await asyncio.create_subprocess_exec("node", str(NODE / "mqtt.js"), *words, stdin=asyncio.subprocess.DEVNULL)
    try:
        await until(lambda: Presence.objects.filter(device_id=id, connected=True).aexists(), "presence")
        assert (await Presence.objects.aget(device_id=id)).protocol == "MQTT 3.1.0"
        gateway, caller = await world.gateway(), Caller(world.user.pk)
        assert (await gateway.send(caller, id, "set_gpio", {"number": 10, "value": 1})).answer == {"number": 10, "value": 1}
        assert (await gateway.send(caller, id, "get_gpio", {"number": 10})).answer == {"number": 10, "value": 1}
        assert (await gateway.send(caller, id, "write_uart", {"value": 'say "hi"'})).answer == {"value": 'say "hi"'}
    finally:
        process.terminate()
        await process.wait()
    await until(lambda: Presence.objects.filter(device_id=id, connected=False).aexists(), "absence")
