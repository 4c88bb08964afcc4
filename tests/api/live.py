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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.db import connection, connections
from django.test import Client, override_settings
from django.utils import timezone

from accounts.models import Account, ApiToken, Membership, Role, User
from accounts.services import create_token, create_user, personal_account
from devices.downloads import device_zip
from devices.models import Device
from devices.services import register_device
from iotportal.uuid7 import uuid7
from messaging.models import Command, Direction, Message, Outcome

T = TypeVar("T")

DEADLINE_S = 60.0  # a machine with other work to do starts a portal slowly


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


_outside = ThreadPoolExecutor(1, "committed")


def committed(call: Callable[[], T]) -> T:
    """Run `call` outside the test's transaction, whose changes (and locks) nobody else would see (or get by)."""
    return _outside.submit(call).result()


def _signed_in(user: User) -> str:
    """Return the key of a new session of `user`."""
    browser = Client()
    browser.force_login(user, backend="accounts.auth_backend.AuthenticationBackend")
    return browser.cookies[settings.SESSION_COOKIE_NAME].value


@dataclass
class LivePortal:
    """A running portal with one user, whose devices answer, and a stranger."""

    url: str
    user: User
    secret: str  # of a token that may do everything
    stranger: User
    stranger_secret: str
    device: Device
    modern: Device  # reports errors in words
    broken: Device  # every answer is malformed
    unknown: str = "0123456789abcdef" * 2
    folder: Path = Path()
    members: dict[str, User] = field(default_factory=dict)  # by role: who else is in the organisation that has the devices
    environment: dict[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *command: str) -> None:
        """Start one of the portal's processes; what it prints goes to a file of its name."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *command], cwd=settings.BASE_DIR, env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )

    def start_broker(self) -> None:
        """Start the broker, on the port that it had before."""
        self.start("broker", "manage.py", "run_broker", "--host", "127.0.0.1", "--port", self.environment["MQTT_PORT"])

    def stop(self, name: str) -> None:
        """Stop one of the portal's processes in order."""
        process = self.processes.pop(name)
        process.terminate()
        process.wait(DEADLINE_S)

    def wait_for_answers(self) -> None:
        """Wait until every device answers (the broken one in its way)."""
        for device in (self.device, self.modern, self.broken):
            until(partial(self._answers, device), f"an answer of {device} (see {self.folder}/*.log)")

    def _answers(self, device: Device) -> bool:
        ended = [name for name, process in self.processes.items() if process.poll() is not None]
        assert not ended, f"{ended} ended, see {self.folder}/*.log"
        with contextlib.suppress(requests.ConnectionError):
            return self.ask("GET", f"/api/v1/devices/{device.hex}/status?timeout=1").status_code in {200, 502}
        return False

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
        session = requests.Session()
        session.cookies.set(settings.SESSION_COOKIE_NAME, committed(lambda: _signed_in(user or self.user)))
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
        "PORTAL_DEVICE_PORT": str(broker_port),  # what new devices are told
        "PORTAL_URL": url,
        "PORTAL_THROTTLE_ANON": "100000/min",
        "PORTAL_THROTTLE_USER": "100000/min",
        "PORTAL_THROTTLE_TOKEN": "100000/min",
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
def live_portal(pki: Path, folder: Path, *, organisation: str = "") -> Iterator[LivePortal]:
    """Run a portal until the end of the block. The database must be open and what is written must be committed.

    The devices are the user's own or, with a name given, those of an `organisation` with `LivePortal.members` besides.
    """
    web_port, broker_port = free_port(), free_port()
    url = f"http://127.0.0.1:{web_port}"
    user, stranger = _person("alice"), _person("mallory")
    account, members = _organisation(organisation, user) if organisation else (personal_account(user), {})
    kinds = (("Pump", "standard"), ("Lamp", "modern"), ("Fan", "standard"))
    with override_settings(DEVICE_HOST="localhost", DEVICE_PORT=broker_port):
        pump, lamp, fan = (_device(account, folder, *one) for one in kinds)
    add_history(pump)
    secrets = [create_token(user=one, name="live", scopes=[ApiToken.Scope.MANAGE])[1] for one in (user, stranger)]
    portal = LivePortal(url, user, secrets[0], stranger, secrets[1], pump, lamp, fan)
    portal.folder, portal.environment, portal.members = folder, _environment(broker_port, url), members
    simulator = ("-m", "simulators.mqtt", "-q", "--reboot-s", "0.05")
    try:
        portal.start_broker()
        portal.start("web", "-m", "iotportal.web", "--port", str(web_port))
        portal.start("devices", *simulator, "--zip", str(folder / "Pump.zip"), "--zip", str(folder / "Lamp.zip"))
        portal.start("broken", *simulator, "--zip", str(folder / "Fan.zip"), "--malformed", "1")
        portal.wait_for_answers()
        yield portal
    finally:
        for name in list(portal.processes):
            portal.stop(name)
        _forget(portal)
        committed(connections.close_all)  # or the database could not be dropped


def _person(name: str) -> User:
    return create_user(
        username=name, email=f"{name}@example.com", password="correct horse battery", first_name=name.title(), last_name="Example"
    )


def _organisation(name: str, owner: User) -> tuple[Account, dict[str, User]]:
    """Make an organisation with a viewer and an operator of their names."""
    account = Account.objects.create(kind=Account.Kind.ORGANISATION, name=name)
    members = {str(role): _person(str(role)) for role in (Role.VIEWER, Role.OPERATOR)}
    for role, user in {**members, str(Role.OWNER): owner}.items():
        Membership.objects.create(account=account, user=user, role=role)
    return account, members


def _device(account: Account, folder: Path, name: str, profile: str) -> Device:
    """Register a device and put its runnable zip into `folder`."""
    device = register_device(account=account, name=name, profile=profile).device
    (folder / f"{name}.zip").write_bytes(device_zip(device))
    return device


def _forget(portal: LivePortal) -> None:
    """Take everything out of the database again."""
    Message.objects.all().delete()
    Command.objects.all().delete()
    Device.objects.all().delete()
    Account.objects.all().delete()
    people = [portal.user, portal.stranger, *portal.members.values()]
    User.objects.filter(pk__in=[user.pk for user in people]).delete()
