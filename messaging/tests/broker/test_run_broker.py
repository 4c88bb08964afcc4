"""`manage.py run_broker` as a process, with the portal's own certificates, database and Valkey."""

import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import redis
from django.conf import settings
from django.db import connection

from devices import pki as authority
from messaging.broker.valkey import DISCONNECT_CHANNEL, REFUSED_HASH
from messaging.tests.broker.wire import Wire, wait_until

Start = Callable[[int], "subprocess.Popen[str]"]
Connect = Callable[[int, ssl.SSLContext], Wire]
STRANGER = "5" * 32


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture
def start() -> Iterator[Start]:
    processes: list[subprocess.Popen[str]] = []

    def begin(port: int) -> "subprocess.Popen[str]":
        command = [sys.executable, "manage.py", "run_broker", "--host", "127.0.0.1", "--port", str(port)]
        # The database of the tests is another than the one of the settings.
        database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "iotportal.settings", "DATABASE_URL": database.geturl()}
        process = subprocess.Popen(
            command, cwd=settings.BASE_DIR, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def connect() -> Iterator[Connect]:
    with ExitStack() as sockets:

        def begin(port: int, context: ssl.SSLContext) -> Wire:
            wire = Wire.open(port, context)
            sockets.callback(wire.die)
            return wire

        yield begin


def _context(pki: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(pki / "root-ca.pem")
    context.load_cert_chain(certificate, key)
    return context


def _stranger(pki: Path, folder: Path) -> ssl.SSLContext:
    """Return the context of a device with a certificate of our CA that is in no registry."""
    key = authority.new_private_key(authority.KeyAlgorithm.EC)
    certificate = authority.issue_device_certificate(UUID(hex=STRANGER), key.public_key())
    (folder / "device.pem").write_bytes(authority.to_pem(certificate) + (pki / "issuing-ca.pem").read_bytes())
    (folder / "device.key").write_bytes(authority.private_key_pem(key))
    return _context(pki, folder / "device.pem", folder / "device.key")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("clean_valkey")
def test_it_serves_the_portal_refuses_strangers_and_stops_when_told(
    start: Start, connect: Connect, pki: Path, tmp_path: Path
) -> None:
    port = _free_port()
    process = start(port)
    wait_until(lambda: _listens(port) or process.poll() is not None, "broker")
    gateway = connect(port, _context(pki, pki / "gateway.pem", pki / "gateway.key"))
    assert gateway.connect("portal.gateway.1") == 0
    bridge = connect(port, _context(pki, pki / "bridge.pem", pki / "bridge.key"))
    assert bridge.connect("portal.bridge", clean=False) == 0
    gateway.publish(f"{STRANGER}/get_gpio", b"?")
    assert bridge.receive().payload == b"?"
    stranger = connect(port, _stranger(pki, tmp_path))
    assert stranger.connect(STRANGER) == 5
    with redis.Redis.from_url(settings.VALKEY_URL) as valkey:
        wait_until(lambda: bool(valkey.hget(REFUSED_HASH, STRANGER) == b"1"), "count")
        valkey.publish(DISCONNECT_CHANNEL, "portal.gateway.1")
    assert gateway.is_closed()
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0, output
    assert "Traceback" not in output


def test_it_says_which_port_is_taken(start: Start, pki: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start(port)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"127.0.0.1 port {port}" in output
    assert "Traceback" not in output
