"""A whole portal for tests that speak HTTP: the web server, the broker and one simulated device, each a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import Account, ApiToken, User
from accounts.services import create_token, create_user, personal_account
from devices.downloads import device_zip
from devices.models import Device
from devices.services import register_device
from iotportal.uuid7 import uuid7
from messaging.models import Command, Direction, Message, Outcome

DEADLINE_S = 30.0


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for a condition; fail with `what` after the deadline."""
    end = time.monotonic() + DEADLINE_S
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {DEADLINE_S:g} s: {what}")
        time.sleep(0.02)


@dataclass
class LivePortal:
    """A running portal with one user, whose device answers, and a stranger."""

    url: str
    user: User
    secret: str  # of a token that may do everything
    stranger: User
    stranger_secret: str
    device: Device
    unknown: str = "0123456789abcdef" * 2
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def device_path(self) -> str:
        """The device's path in the API."""
        return f"/api/v1/devices/{self.device.hex}"

    def ask(self, method: str, path: str, secret: str | None = None, **options: Any) -> requests.Response:
        """Send a request with a token (the user's unless given)."""
        headers = {"Authorization": f"Bearer {secret or self.secret}", **options.pop("headers", {})}
        return requests.request(method, self.url + path, headers=headers, timeout=DEADLINE_S, **options)

    def session(self, user: User | None = None) -> requests.Session:
        """Return a client that is signed in as a browser is, with the CSRF token in its headers."""
        browser = Client()
        browser.force_login(user or self.user, backend="allauth.account.auth_backends.AuthenticationBackend")
        session = requests.Session()
        session.cookies.set(settings.SESSION_COOKIE_NAME, browser.cookies[settings.SESSION_COOKIE_NAME].value)
        session.cookies.set(settings.CSRF_COOKIE_NAME, "c" * 32)
        session.headers["X-CSRFToken"] = "c" * 32
        return session


def _environment(broker_port: int, url: str) -> dict[str, str]:
    # The database of the tests is another than the one of the settings.
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "iotportal.settings",
        "DATABASE_URL": database.geturl(),
        "MQTT_HOST": "localhost",
        "MQTT_PORT": str(broker_port),
        "PORTAL_URL": url,
        "PORTAL_THROTTLE_ANON": "100000/min",
        "PORTAL_THROTTLE_USER": "100000/min",
        "PORTAL_LOG_LEVEL": "WARNING",
    }


def add_history(device: Device) -> None:
    """Write a few messages and commands as the bridge does."""
    now = timezone.now()
    for number in range(3):
        about = {"time": now, "account_id": device.account_id, "device_id": device.pk, "api": "get_gpio"}
        asked, answered = json.dumps({"number": number}), json.dumps({"number": number, "value": 0})
        Message.objects.create(id=uuid7(), direction=Direction.TO, payload=asked, size_bytes=len(asked), **about)
        Message.objects.create(id=uuid7(), direction=Direction.FROM, payload=answered, size_bytes=len(answered), **about)
        Command.objects.create(
            id=uuid7(), payload=asked, outcome=Outcome.ANSWERED, answer=answered, timeout_s=5, sent_ms=0.3, broker_ms=0.9,
            answered_ms=4.2, delivered_ms=4.4, **about,
        )  # fmt: skip
    Command.objects.create(id=uuid7(), payload="{}", outcome=Outcome.TIMEOUT, timeout_s=5, sent_ms=0.3, **about)


@contextlib.contextmanager
def live_portal(pki: Path, folder: Path) -> Iterator[LivePortal]:
    """Run a portal until the end of the block. The database must be open and what is written must be committed."""
    web_port, broker_port = free_port(), free_port()
    url = f"http://127.0.0.1:{web_port}"
    user = _person("alice")
    stranger = _person("mallory")
    with _settings(DEVICE_HOST="localhost", DEVICE_PORT=broker_port):
        device = register_device(account=personal_account(user), name="Pump").device
        (folder / "pump.zip").write_bytes(device_zip(device))
    add_history(device)
    secrets = [create_token(user=one, name="live", scope=ApiToken.Scope.MANAGE)[1] for one in (user, stranger)]
    portal = LivePortal(url, user, secrets[0], stranger, secrets[1], device)
    environment = _environment(broker_port, url)

    def run(*command: str) -> None:
        with (folder / f"{len(portal.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *command], cwd=settings.BASE_DIR, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        portal.processes.append(process)

    try:
        run("manage.py", "run_broker", "--host", "127.0.0.1", "--port", str(broker_port))
        run("-m", "iotportal.web", "--port", str(web_port))
        run("-m", "simulators.mqtt", "--zip", str(folder / "pump.zip"), "-q", "--reboot-s", "0.05")
        until(lambda: _answers(portal), f"an answer of the device (see {folder}/*.log)")
        yield portal
    finally:
        for process in portal.processes:
            process.terminate()
        for process in portal.processes:
            process.wait(10)
        _forget(portal)


def _answers(portal: LivePortal) -> bool:
    if any(process.poll() is not None for process in portal.processes):
        raise AssertionError("a process of the portal ended")
    try:
        return portal.ask("GET", f"{portal.device_path}/status?timeout=1").status_code == 200
    except requests.ConnectionError:
        return False


def _person(name: str) -> User:
    return create_user(
        username=name, email=f"{name}@example.com", password="correct horse battery", first_name=name.title(), last_name="Example"
    )


@contextlib.contextmanager
def _settings(**values: object) -> Iterator[None]:
    from django.test import override_settings

    with override_settings(**values):
        yield


def _forget(portal: LivePortal) -> None:
    """Take everything out of the database again."""
    Message.objects.all().delete()
    Command.objects.all().delete()
    Device.objects.all().delete()
    Account.objects.all().delete()
    User.objects.filter(pk__in=[portal.user.pk, portal.stranger.pk]).delete()
