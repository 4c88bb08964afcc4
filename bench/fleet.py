"""A throw-away portal with its web processes and simulated devices: everything that `make run` starts."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from bench.portal import DEADLINE_S, Portal, wait_until
from iotportal.embedded.ports import free_port

if TYPE_CHECKING:
    from messaging.gateway.amqp import AmqpTransport
    from messaging.gateway.mqtt import MqttTransport

# A bench asks for more than any person: the checks stay on, their limits are out of reach.
LIMITS = {"PORTAL_FREE_MESSAGES": "100000000", "PORTAL_COMMANDS_PER_MINUTE": "10000000", "PORTAL_LOG_LEVEL": "WARNING"}


class FleetPortal(Portal):
    """`Portal` with a user, web processes and simulators."""

    def _begin(self) -> None:
        super()._begin()
        self.env |= LIMITS
        os.environ.update(LIMITS)
        self._make_user()

    def _make_user(self) -> None:
        from accounts.services import create_token, create_user, personal_account

        self.user = create_user(
            username="bench", email="bench@example.org", password=secrets.token_urlsafe(), first_name="Bench", last_name="Mark"
        )
        self.account = personal_account(self.user)
        self.token = create_token(user=self.user, name="bench", scopes=["manage"])[1]

    def cookie(self) -> str:
        """Sign the user in; return the Cookie header."""
        from django.conf import settings
        from django.test import Client

        browser = Client()
        browser.force_login(self.user)
        return f"{settings.SESSION_COOKIE_NAME}={browser.cookies[settings.SESSION_COOKIE_NAME].value}"

    def start_web(self, name: str = "web", *command: str) -> int:
        """Start a web process and wait for its first answer; return its port. `command`: what starts it, before the port."""
        port = free_port()
        self._start_django(name, *(command or ("-m", "iotportal.web", "--port")), str(port))

        def answers() -> bool:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/none", timeout=2)
            except urllib.error.HTTPError:
                return True
            except OSError:
                return False
            return True

        wait_until(answers, f"the start of {name}")
        return port

    def make_folders(self, count: int, profile: str) -> tuple[Path, list[str]]:
        """Register devices; return the folder that holds one for each, as unpacked from its zip, and their ids."""
        from django.db import transaction

        fleet, ids = self.state.root / f"fleet-{profile}", list[str]()
        while len(ids) < count:
            with transaction.atomic():  # so many wait for the disk once
                ids += [self._make_folder(fleet, number, profile) for number in range(len(ids), min(len(ids) + 100, count))]
        return fleet, ids

    def _make_folder(self, fleet: Path, number: int, profile: str) -> str:
        from devices.downloads import device_config, device_files
        from devices.services import register_device

        device = register_device(account=self.account, name=f"{profile} {number}", profile=profile).device
        files = device_files(device)
        folder = fleet / device.hex
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({**device_config(device), "port": self.mqtt_port}))
        (folder / "root-ca.pem").write_bytes(files.root_ca)
        (folder / "device.crt").write_bytes(files.certificate)
        (folder / "device.key").write_bytes(files.private_key or b"")
        (folder / "device.key").chmod(0o600)
        return device.hex

    def start_simulators(self, count: int, profile: str = "standard", *options: str) -> list[str]:
        """Register devices, run them in one simulator process and wait until all answer; return their ids."""
        fleet, ids = self.make_folders(count, profile)
        self._start_django(f"simulators-{profile}", "-m", "simulators.mqtt", "--fleet", str(fleet), "-q", *options)
        asyncio.run(self._until_they_answer(ids))
        return ids

    def start_churn(self, fleet: Path, *options: str) -> int:
        """Start the devices of a folder in as many processes as they take, coming and going; return the process id."""
        self._start_django("fleet", "-m", "simulators.fleet", str(fleet), *options)
        return self.processes["fleet"][0].pid

    async def _until_they_answer(self, ids: list[str]) -> None:
        """Ask every device for its status until it has answered once."""
        missing = set(ids)
        transport = self.transport()
        transport.on_answer = lambda topic, payload: missing.discard(topic.split("/")[1])
        await transport.start()
        await transport.wait_connected(DEADLINE_S)
        for device in ids:
            await transport.bind(device)
        for _ in range(round(DEADLINE_S * 4)):
            for device in missing:
                transport.publish(f"{device}/get_status", b"{}", lambda: None)
            await asyncio.sleep(0.25)
            if not missing:
                break
        await transport.stop()
        if missing:
            raise TimeoutError(f"{len(missing)} devices did not answer")

    def transport(self) -> MqttTransport | AmqpTransport:
        """Return what a gateway would speak to the broker with."""
        from django.conf import settings

        from messaging.gateway.mqtt import MqttTransport

        return MqttTransport(settings.MQTT_HOST, settings.MQTT_PORT, settings.PKI_DIR)
