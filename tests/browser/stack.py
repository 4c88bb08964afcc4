"""A whole portal for the browser: every process that `make run` has, on free ports, with a database and a Valkey of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import psycopg2
import redis
from playwright.sync_api import BrowserContext

from iotportal.embedded import children
from iotportal.embedded.children import Child
from iotportal.embedded.ports import free_port
from iotportal.embedded.pytest_database import as_migrated
from iotportal.embedded.stack import listens, page_answers
from iotportal.embedded.throwaway import ThrowawayServers

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 30.0
# Of every command from a page: long enough for a busy machine, short enough to wait for when a device says nothing.
COMMAND_TIMEOUT_S = 3
REBOOT_S = 0.6
_numbers = count(1)


def until(condition: Callable[[], Any], what: str, told: Callable[[], str] = str) -> Any:
    """Wait for a condition and return what it returned; after the deadline fail with `what` and what is `told` then."""
    end = time.monotonic() + DEADLINE_S
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {DEADLINE_S:g} s: {what}\n{told()}")
        time.sleep(0.02)


class Portal:
    """The processes, and an API client of Alice's; `stop` ends everything."""

    def __init__(self) -> None:
        self._servers = ThrowawayServers()
        self._database = f"browser_{secrets.token_hex(6)}"
        self._processes: dict[str, tuple[subprocess.Popen[bytes], Child]] = {}
        self._asked = 0
        self.folder = self._servers.state.root
        self.web_port, self.mqtt_port, self.site_port, self._smtp_port, self._mail_port = (free_port() for _ in range(5))
        self.paypal_port = free_port()
        self.url = f"http://localhost:{self.web_port}"  # a name: passkeys do not belong to numbers
        try:
            self._begin()
        except BaseException:
            self.stop()
            raise

    def _begin(self) -> None:
        self._sql(f'CREATE DATABASE {self._database} TEMPLATE "{as_migrated()}"')
        valkey = self._servers.start_valkey()
        self._env = {
            **os.environ,  # with the secrets of the tests
            "PORTAL_ADMIN_REQUIRES_FACTOR": "true",  # which most tests do without
            "DJANGO_SETTINGS_MODULE": "iotportal.settings",
            "DATABASE_URL": urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{self._database}").geturl(),
            "VALKEY_URL": valkey,
            "MQTT_HOST": "localhost",
            "MQTT_PORT": str(self.mqtt_port),
            "PORTAL_URL": self.url,
            "PORTAL_STATE_DIR": str(self.folder),
            "PORTAL_PKI_DIR": str(self.folder / "pki"),
            "PORTAL_DEVICE_PORT": str(self.mqtt_port),
            "PORTAL_EMAIL_HOST": "127.0.0.1",
            "PORTAL_EMAIL_PORT": str(self._smtp_port),
            "PORTAL_PUSH_CATCHER": f"http://127.0.0.1:{self._mail_port}/push",
            "PORTAL_OUTWARD_ORIGINS": f"http://127.0.0.1:{self._mail_port}",
            "PORTAL_LOGIN_OIDC_URL": f"http://localhost:{self.site_port}",  # where a test may run a provider
            "PORTAL_LOGIN_OIDC_ID": "portal",
            "PORTAL_LOGIN_OIDC_SECRET": "not a secret",
            "PORTAL_LOGIN_OIDC_NAME": "Home SSO",
            "PORTAL_LOGIN_OIDC_TRUST_EMAIL": "true",
            "PORTAL_PAYMENTS": "paypal_standard",
            "PORTAL_PAYPAL_URL": f"http://127.0.0.1:{self.paypal_port}",  # where a test may run one
            "PORTAL_PAYPAL_RECEIVER": "seller@example.com",
            "PORTAL_COMMAND_TIMEOUT": str(COMMAND_TIMEOUT_S),
            "PORTAL_THROTTLE_USER": "100000/min",
            "PORTAL_THROTTLE_TOKEN": "100000/min",
            "PORTAL_LOG_LEVEL": "WARNING",
        }
        self.token = self._run("tests.browser.seed")
        self.start_broker()
        mail = ("--smtp-port", str(self._smtp_port), "--page-port", str(self._mail_port))
        self._start("mail", "-m", "iotportal.embedded.mailcatcher", *mail)
        self.start_worker()
        self.start_web()
        until(lambda: listens("127.0.0.1", self.mqtt_port), "the broker listens")
        until(lambda: listens("127.0.0.1", self._mail_port), "the mail catcher listens")
        with redis.Redis.from_url(valkey) as link:
            until(lambda: link.exists("bridge:alive"), "the bridge has begun")

    # --- processes -----------------------------------------------------------------------------------------------------------

    def start_broker(self) -> None:
        """Start the broker."""
        self._start("broker", "manage.py", "run_broker", "--host", "127.0.0.1", "--port", str(self.mqtt_port))

    def start_worker(self) -> None:
        """Start the worker with the bridge."""
        worker = ("-P", "threads", "-c", "8", "-Q", "celery,bridge", "--without-mingle", "--without-gossip", "-l", "WARNING")
        self._start("worker", "-m", "celery", "-A", "iotportal", "worker", *worker, PORTAL_BRIDGE="1")

    def start_web(self) -> None:
        """Start the web server and wait for its first page."""
        self._start("web", "-m", "iotportal.web", "--port", str(self.web_port))
        until(lambda: page_answers("127.0.0.1", self.web_port), "the first page", told=lambda: self.log("web")[-2000:])

    def kill(self, name: str) -> None:
        """End a process as a crash does."""
        process, _ = self._processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    @contextlib.contextmanager
    def without_web(self) -> Iterator[None]:
        """Let the web server crash, and start it again at the end."""
        self.kill("web")
        try:
            yield
        finally:
            self.start_web()

    def run_simulator(self, name: str, archive: Path, *options: str) -> subprocess.Popen[bytes]:
        """Run a device's zip as its owner does; what it prints goes to the log of this name."""
        return self._start(name, str(archive), "--reboot-s", str(REBOOT_S), *options)

    @contextlib.contextmanager
    def paypal(self) -> Iterator[str]:
        """Run the PayPal to try with; returns its address."""
        url = f"http://127.0.0.1:{self.paypal_port}"
        self._start("paypal", "-m", "simulators.paypal", "--portal", self.url, "--port", str(self.paypal_port), "--delay", "1")
        until(lambda: listens("127.0.0.1", self.paypal_port), "the PayPal listens", told=lambda: self.log("paypal")[-2000:])
        try:
            yield url
        finally:
            self.stop_process("paypal")

    def stop_process(self, name: str) -> None:
        """End a process in order."""
        process, child = self._processes.pop(name)
        children.stop(process, child)

    def log(self, name: str) -> str:
        """Return what a process has printed."""
        return (self.folder / "log" / f"{name}.log").read_text(errors="replace")

    def _run(self, module: str, *argv: str) -> str:
        command = [sys.executable, "-m", module, *argv]
        return subprocess.run(command, env=self._env, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout

    def _start(self, name: str, *argv: str, **more: str) -> subprocess.Popen[bytes]:
        env = {**self._env, **more, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        child = Child(name=name, argv=(sys.executable, *argv), env=env, grace_s=10.0)
        output: IO[bytes]
        with (self.folder / "log" / f"{name}.log").open("ab") as output, contextlib.chdir(ROOT):
            process = children.spawn(child, output)
        self._processes[name] = (process, child)
        return process

    def stop(self) -> None:
        """End all processes, the last first, and take the database away."""
        for name in reversed(list(self._processes)):
            self.stop_process(name)
        self._sql(f"DROP DATABASE IF EXISTS {self._database} WITH (FORCE)")
        self._servers.stop()

    def _sql(self, statement: str) -> None:
        with contextlib.closing(psycopg2.connect(os.environ["DATABASE_URL"])) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)

    def start_beat(self) -> None:
        """Start what has periodic work done."""
        self._start("beat", "-m", "celery", "-A", "iotportal", "beat", "-l", "WARNING", "--pidfile=")

    def start_emulators(self) -> None:
        """Start what plays people's devices."""
        self._start("emulators", "manage.py", "run_emulators")

    def execute(self, statements: str) -> None:
        """Change something in the portal's database that no service would."""
        with contextlib.closing(psycopg2.connect(self._env["DATABASE_URL"])) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statements)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Return what the portal's database says."""
        with contextlib.closing(psycopg2.connect(self._env["DATABASE_URL"])) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    # --- the world outside of the browser ------------------------------------------------------------------------------------

    def api(self, method: str, path: str, body: object = None, *, token: str | None = None) -> tuple[int, Any]:
        """Ask the API as a program does; return status and body (bytes unless it is JSON)."""
        request = urllib.request.Request(self.url + "/api/v1" + path, method=method)
        request.add_header("Authorization", f"Bearer {token or self.token}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            answer = urllib.request.urlopen(request, timeout=DEADLINE_S)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            content = answer.read()
        return answer.status, json.loads(content) if "json" in (answer.headers["Content-Type"] or "") else content

    @property
    def catcher(self) -> str:
        """Where the mail catcher is."""
        return f"http://127.0.0.1:{self._mail_port}"

    def caught(self, path: str) -> Any:
        """Return a JSON of the mail catcher."""
        with urllib.request.urlopen(self.catcher + path, timeout=DEADLINE_S) as answer:
            return json.load(answer)

    def mails(self, to: str) -> list[dict[str, Any]]:
        """Return what was sent to an address, the newest first, as the mail catcher's JSON has it."""
        return [self.caught(f"/messages/{mail['id']}.json") for mail in self.caught(f"/messages.json?to={to}")]

    def mailed_code(self, to: str) -> str:
        """Return the six digits of the newest mail to an address, once it is there."""
        mail = until(lambda: self.mails(to), f"a mail to {to}")[0]
        found = re.search(r"\b\d{6}\b", mail["text"])
        assert found, mail["text"]
        return found[0]

    def mailed(self, to: str, subject: str) -> dict[str, Any]:
        """Return the newest mail to an address that has these words in its subject, once it is there."""
        found: list[dict[str, Any]] = until(
            lambda: [mail for mail in self.mails(to) if subject in mail["subject"]], f"a mail to {to}: {subject}"
        )
        return found[0]

    def let_sign_ins_grow_old(self, context: BrowserContext) -> None:
        """Have what is signed in in a browser have signed in an hour earlier."""
        self._run("tests.browser.grow_old", next(one["value"] for one in context.cookies() if one["name"] == "sessionid"))

    def register(self, name: str = "", profile: str = "standard") -> Board:
        """Register a device of Alice's; it is not started yet."""
        name = name or f"Board {next(_numbers)}"
        status, body = self.api("POST", "/devices", {"name": name, "profile": profile})
        assert status == 201, body
        archive = self.folder / f"{body['id']}.zip"
        archive.write_bytes(self.api("GET", f"/devices/{body['id']}/files/device.zip")[1])
        return Board(self, body["id"], name, archive)


@dataclass
class Board:
    """One device, and the simulator that is it."""

    portal: Portal
    hex: str
    name: str
    archive: Path
    _runs: bool = field(default=False, init=False)
    _started: bool = field(default=False, init=False)

    def start(self, *options: str) -> Board:
        """Start it and wait until the portal has noticed."""

        def log() -> str:
            return self.portal.log(self.hex)

        starts = log().count("listens to") if self._started else 0
        self.portal.run_simulator(self.hex, self.archive, *options)
        self._runs = self._started = True
        until(lambda: self.connected, f"{self.name} connects", log)
        # The broker tells of the connection a moment before the device listens.
        until(lambda: log().count("listens to") > starts, f"{self.name} listens", log)
        return self

    def stop(self) -> None:
        """Have it say goodbye, and wait until the portal has noticed."""
        self.close()
        until(lambda: not self.connected, f"{self.name} goes")

    def kill(self) -> None:
        """Take its power away, and wait until the portal has noticed."""
        self._runs = False
        self.portal.kill(self.hex)
        until(lambda: not self.connected, f"{self.name} is missed")

    def close(self) -> None:
        """End its simulator, if it has one."""
        if self._runs:
            self._runs = False
            self.portal.stop_process(self.hex)

    @property
    def connected(self) -> bool:
        """Whether the portal shows it as connected."""
        presence = self.portal.api("GET", f"/devices/{self.hex}")[1].get("presence")
        return bool(presence and presence["connected"])

    def command(self, api: str, **arguments: object) -> tuple[int, Any]:
        """Send a command through the API."""
        return self.portal.api("POST", f"/devices/{self.hex}/commands", {"api": api, "arguments": arguments})
