"""A throw-away portal for benches: PostgreSQL, Valkey, broker and worker as real processes, and devices that talk.

Everything lies in a temporary folder and ends with the `with` block. `fsync` is on: figures without it are of no use.
"""

from __future__ import annotations

import base64
import logging
import multiprocessing
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as mqtt
import psycopg2
from paho.mqtt.enums import CallbackAPIVersion

from iotportal.embedded import children, postgres, stack, valkey
from iotportal.embedded.children import Child
from iotportal.embedded.errors import StartError
from iotportal.embedded.ports import free_port
from iotportal.embedded.state import State

ROOT = Path(__file__).resolve().parents[1]
DEADLINE_S = 60.0
spawn = multiprocessing.get_context("spawn")


def wait_until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S, every_s: float = 0.02) -> None:
    """Wait for `condition`; raises TimeoutError."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen in {deadline_s:.0f} s")
        time.sleep(every_s)


class Portal:
    """The processes; `kill` ends one as a crash does, `start_…` starts it again."""

    def __init__(self, pool: str = "threads") -> None:
        self.pool = pool
        self.state = State(Path(tempfile.mkdtemp(prefix="iotportal-bench-")).resolve())
        self.processes: dict[str, tuple[subprocess.Popen[bytes], Child]] = {}
        self.env: dict[str, str] = {}
        self.mqtt_port = free_port()
        self._postgres_port, self._valkey_port = free_port(), free_port()

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in reversed(list(self.processes)):
            process, child = self.processes.pop(name)
            children.stop(process, child)
        shutil.rmtree(self.state.root, ignore_errors=True)
        shutil.rmtree(postgres.far_folder(self.state), ignore_errors=True)

    def _begin(self) -> None:
        self.state.make()
        self._where = postgres.place(self.state)
        self._superuser, role = self.state.secret("postgres-superuser"), self.state.secret("postgres-portal")
        self.start_postgres()
        postgres.make_database(self._postgres_port, self._superuser, role)
        password = self.state.secret("valkey")
        self.start_valkey()
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PORTAL_", "CELERY_"))},
            "DJANGO_SETTINGS_MODULE": "iotportal.settings",
            "PORTAL_SECRET_KEY": secrets.token_urlsafe(50),
            "PORTAL_SEAL_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "PORTAL_STATE_DIR": str(self.state.root),
            "PORTAL_PKI_DIR": str(self.state.pki),
            "PORTAL_DEVICE_PORT": str(self.mqtt_port),
            "PORTAL_BROKER_SOCKETS": stack.broker_sockets(self.state),
            "PORTAL_BROKER_BIND": "127.0.0.1",
            "MQTT_HOST": "localhost",
            "MQTT_PORT": str(self.mqtt_port),
            "DATABASE_URL": postgres.url(self._postgres_port, role),
            "VALKEY_URL": valkey.url(self._valkey_port, password),
            **self.more_settings(),
        }
        os.environ.update(self.env)
        import django

        django.setup()
        logging.getLogger().setLevel(logging.WARNING)  # a line per device would hide the table
        self.manage("migrate")
        self.manage("setup_pki", "--name", "localhost", "--name", "127.0.0.1")
        self.start_broker()

    def more_settings(self) -> dict[str, str]:
        """Return what a portal of another kind sets besides."""
        return {}

    def manage(self, *arguments: str) -> None:
        """Run one of the portal's commands, in this process: another would read everything once more."""
        from django.core.management import call_command

        call_command(*arguments, verbosity=0)

    # --- processes -------------------------------------------------------------------------------------------------------

    def start_postgres(self) -> None:
        """Start PostgreSQL, also over what a crash left; while the old one's processes are ending it takes some tries."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            postgres.prepare(self._where, self._superuser)
            process = self._start(postgres.child(self._where, self._postgres_port, durable=True))
            while process.poll() is None:
                if postgres.answers(self._postgres_port, self._superuser):
                    return
                time.sleep(0.02)
            if time.monotonic() > deadline:
                raise StartError((self.state.log / "postgres.log").read_text()[-800:])
            time.sleep(0.1)

    def start_valkey(self) -> None:
        """Start Valkey, also over what a crash left."""
        password = self.state.secret("valkey")
        self._start(valkey.child(self.state, self._valkey_port, password))
        wait_until(lambda: valkey.answers(self._valkey_port, password), "Valkey's start")

    def start_broker(self) -> None:
        """Start the broker and wait for its port."""
        self._start_django("broker", "manage.py", "run_broker", "--host", "127.0.0.1", "--port", str(self.mqtt_port))
        try:
            wait_until(self._broker_listens, "the broker's start")
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {self.log('broker')[-2000:]}") from None

    def start_worker(self, *, name: str = "worker", wait: bool = True) -> None:
        """Start a Celery worker with the bridge, and wait until the bridge has caught up."""
        worker = ("-m", "celery", "-A", "iotportal", "worker", "-P", self.pool, "-c", "18", "-Q", "celery,bridge")
        self._start_django(name, *worker, "-l", "INFO", "-n", f"{name}@bench", PORTAL_BRIDGE="1")
        if wait:
            link = self.valkey()
            wait_until(lambda: link.exists("bridge:alive"), "the bridge's start")

    def start_emulators(self) -> int:
        """Start the process of the emulators; returns its process id."""
        self._start_django("emulators", "manage.py", "run_emulators")
        return self.processes["emulators"][0].pid

    def valkey(self) -> Any:
        """Return a client of the portal's Valkey."""
        import redis

        return redis.Redis.from_url(self.env["VALKEY_URL"], decode_responses=True)

    def valkey_raw(self) -> Any:
        """Return a client that leaves bytes as they are."""
        import redis

        return redis.Redis.from_url(self.env["VALKEY_URL"])

    def database(self) -> Any:
        """Return a connection of its own to the portal's database."""
        connection = psycopg2.connect(self.env["DATABASE_URL"].replace("postgres://", "postgresql://"))
        connection.autocommit = True
        return connection

    def kill(self, name: str) -> None:
        """Kill a process as with kill -9."""
        process, _ = self.processes.pop(name)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self, name: str) -> None:
        """End a process in order."""
        process, child = self.processes.pop(name)
        children.stop(process, child)

    def log(self, name: str) -> str:
        """Return what a process has printed."""
        return (self.state.log / f"{name}.log").read_text(errors="replace")

    def _start_django(self, name: str, *argv: str, **more: str) -> None:
        env = {**self.env, **more, "PYTHONPATH": str(ROOT)}
        self._start(Child(name=name, argv=(sys.executable, *argv), env=env, grace_s=15.0))

    def _start(self, child: Child) -> subprocess.Popen[bytes]:
        with (self.state.log / f"{child.name}.log").open("ab") as output:
            process = children.spawn(child, output)
        self.processes[child.name] = (process, child)
        return process

    def _broker_listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.mqtt_port), timeout=1).close()
        except OSError:
            return False
        return True

    # --- devices ---------------------------------------------------------------------------------------------------------

    def register(self, number: int, profile: str = "standard", account: Any = None) -> list[str]:
        """Register devices, of a new user if no account is named; leave certificates and keys in `devices/`, return the ids."""
        from accounts.services import create_user, personal_account
        from devices.services import register_device

        if account is None:
            name = f"bench{secrets.token_hex(3)}"
            user = create_user(username=name, email=f"{name}@example.org", password="x", first_name="Bench", last_name="T")
            account = personal_account(user)
        folder = self.state.root / "devices"
        folder.mkdir(exist_ok=True)
        ids = []
        for index in range(number):
            made = register_device(account=account, name=f"Device {index}", profile=profile)
            (folder / f"{made.device.hex}.pem").write_text(made.certificate.pem)
            (folder / f"{made.device.hex}.key").write_bytes(made.private_key_pem or b"")
            ids.append(made.device.hex)
        return ids

    def device(self, device: str) -> Talker:
        """Return a connected device."""
        return Talker(self.state.root, device, self.mqtt_port)


class Talker:
    """A device over mutual TLS that publishes with QoS 1 and waits while `window` messages are not acknowledged."""

    def __init__(self, root: Path, device: str, port: int, window: int = 20) -> None:
        context = ssl.create_default_context(cafile=str(root / "pki" / "root-ca.pem"))
        context.load_cert_chain(root / "devices" / f"{device}.pem", root / "devices" / f"{device}.key")
        self.device = device
        self._room = threading.BoundedSemaphore(window)
        self._window = window
        connected = threading.Event()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, device, clean_session=True)
        client.tls_set_context(context)
        client.max_inflight_messages_set(window)
        client.on_connect = lambda *_: connected.set()
        client.on_publish = lambda *_: self._room.release()
        client.connect("localhost", port)
        sock: Any = client.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.loop_start()
        if not connected.wait(DEADLINE_S):
            raise TimeoutError("the broker does not let the device in")
        self._client = client

    def say(self, api: str, payload: bytes) -> None:
        """Publish one message."""
        self._room.acquire()
        self._client.publish(f"server/{self.device}/{api}", payload, qos=1)

    def finish(self) -> None:
        """Wait until everything is acknowledged and disconnect."""
        for _ in range(self._window):
            if not self._room.acquire(timeout=DEADLINE_S):
                raise TimeoutError("the broker does not acknowledge")
        self._client.disconnect()
        self._client.loop_stop()


def talk(root: Path, port: int, devices: list[str], messages: int, rate: float, first: int, said: Any) -> None:
    """Be `devices`: say `messages` numbered messages in turn, at most `rate` a second; runs in a process of its own.

    `said`: a shared counter of what was published.
    """
    talkers = [Talker(root, device, port) for device in devices]
    began = time.monotonic()
    for number in range(messages):
        if rate and (ahead := number / rate - (time.monotonic() - began)) > 0:
            time.sleep(ahead)
        talkers[number % len(talkers)].say("write_uart", b'{"value": "%d"}' % (first + number))
        said.value = number + 1
    for talker in talkers:
        talker.finish()
