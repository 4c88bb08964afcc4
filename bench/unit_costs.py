"""What one more of anything costs in memory and on the disk: a process, an idle device connection, a row of the history.

    .venv/bin/python -m bench.unit_costs [--devices 400] [--rows 200000]

Starts a portal of its own, holds idle devices over TLS with the embedded broker and, where it is installed, with RabbitMQ, and
writes history. Memory is what a process holds for itself alone (USS). docs/scaling.md has the sum; speeds are measured by
`bench.commands` and `bench.ingest`.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import psutil

from bench.fleet import FleetPortal
from bench.portal import wait_until
from iotportal import processes
from iotportal.embedded import rabbitmq
from iotportal.embedded.ports import free_port, is_free

if TYPE_CHECKING:
    from devices.models import Device

SETTLE_S = 8.0
TRIES = 5


def memory(pid: int) -> int:
    """Return the bytes that a process and its children hold for themselves, the least of some looks: garbage comes and goes."""
    process = psutil.Process(pid)
    looks = []
    for _ in range(4):
        looks.append(sum(one.memory_full_info().uss for one in [process, *process.children(recursive=True)]))
        time.sleep(SETTLE_S / 4)
    return min(looks)


def register(portal: FleetPortal, count: int) -> list[Device]:
    """Register devices."""
    from devices.services import register_device

    return [register_device(account=portal.account, name=f"Idle {number}").device for number in range(count)]


def dial(device: Device, port: int) -> ssl.SSLSocket:
    """Connect as the device with its certificate, subscribe to its topics, and wait for the answer to that."""
    from devices.downloads import device_files

    files = device_files(device)
    context = ssl.create_default_context(cadata=files.root_ca.decode())
    with tempfile.NamedTemporaryFile() as pair:
        pair.write(files.certificate + (files.private_key or b""))
        pair.flush()
        context.load_cert_chain(pair.name)
    link = context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=60), server_hostname="localhost")
    name, topics = device.hex.encode(), f"{device.hex}/#".encode()
    hello = b"\x00\x04MQTT\x04\x02\x00\x00" + len(name).to_bytes(2) + name  # 3.1.1, clean session, no keep-alive
    wish = b"\x00\x01" + len(topics).to_bytes(2) + topics + b"\x01"
    for packet, begin in ((b"\x10" + bytes([len(hello)]) + hello, 0x20), (b"\x82" + bytes([len(wish)]) + wish, 0x90)):
        link.sendall(packet)
        if link.recv(64)[:1] != bytes([begin]):
            raise ConnectionError(f"the broker refused {device.name}")
    return link


@contextlib.contextmanager
def idle(devices: list[Device], port: int) -> Iterator[None]:
    """Hold the devices connected."""
    with contextlib.ExitStack() as links:
        for device in devices:
            for left in reversed(range(TRIES)):
                try:
                    links.enter_context(dial(device, port))
                    break
                except OSError:  # as a device does on a busy machine
                    if not left:
                        raise
        yield


def start_rabbitmq(portal: FleetPortal) -> tuple[int, int]:
    """Start RabbitMQ and what it asks beside the portal; return its process and its MQTT port."""
    from django.core.management import call_command

    from messaging.rabbitmq import names

    asked, ports = free_port(), rabbitmq.Ports(*(free_port() for _ in range(6)))
    on_it = {
        "PORTAL_BROKER": "rabbitmq", "AMQP_PORT": str(ports.amqps), "RABBITMQ_URL": f"http://127.0.0.1:{ports.management}",
    }  # fmt: skip
    portal._start_django("broker-auth", "manage.py", "run_broker_auth", "--port", str(asked), **on_it)
    where = {"amqps": ports.amqps, "mqtts": ports.mqtts, "management": ports.management, "metrics": ports.metrics}
    auth = f"http://127.0.0.1:{asked}"
    call_command("broker_config", str(rabbitmq.folder(portal.state)), bind="127.0.0.1", auth=auth, verbosity=0, **where)
    epmd, server = rabbitmq.children(portal.state, ports)
    portal._start(epmd)
    wait_until(lambda: not is_free("127.0.0.1", ports.names), "epmd's start")
    process = portal._start(server)
    manager, password = names.MANAGER, names.manager_password()
    wait_until(lambda: rabbitmq.answers(ports.management, manager, password), "RabbitMQ's start", 240)
    wait_until(lambda: not is_free("127.0.0.1", asked), "the start of broker-auth")
    bridge = processes.PROCESSES["bridge"]
    portal._start_django("bridge", *bridge.argv, **bridge.env, **on_it)
    wait_until(lambda: "connected to the broker" in portal.log("bridge"), "the bridge, without which RabbitMQ lets nobody in")
    return process.pid, ports.mqtts


def brokers(portal: FleetPortal) -> Iterator[tuple[str, int, int]]:
    """Yield name, process and MQTT port of each broker, one after the other."""
    yield "embedded broker", portal.processes["broker"][0].pid, portal.mqtt_port
    if rabbitmq.program() is not None:
        portal.stop("worker")  # whose bridge listens to the embedded one
        yield "RabbitMQ", *start_rabbitmq(portal)


def per_connection(pid: int, port: int, devices: list[Device]) -> tuple[int, float]:
    """Return a broker's memory without devices, and what each of these adds."""
    with idle(devices[:20], port):  # what it needs once, for the first ones
        pass
    before = memory(pid)
    with idle(devices, port):
        return before, (memory(pid) - before) / len(devices)


def per_row(portal: FleetPortal, device: Device, rows: int) -> dict[str, float]:
    """Write a year of messages, a command to every tenth; return the bytes that one takes with its indexes."""
    from django.db import connection

    from bench.history_size import grow
    from messaging.partitions import make_partitions, month_after

    now = datetime.now(UTC)
    make_partitions(13, month_after(date(now.year, now.month, 1), -13))
    grow(portal.user, device, rows, now)
    found = {}
    with connection.cursor() as cursor:
        for table in ("messaging_message", "messaging_command"):
            size_of = f"SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('{table}')"
            cursor.execute(f"SELECT ({size_of}), (SELECT count(*) FROM {table})")
            size, count = cursor.fetchone() or (0, 1)
            found[table] = float(size) / count
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=400)
    parser.add_argument("--rows", type=int, default=200_000)
    options = parser.parse_args()
    with FleetPortal() as portal:
        portal.start_web()
        portal.start_worker()
        devices = register(portal, options.devices)
        pids = {name: process.pid for name, (process, _) in portal.processes.items()}
        for name in ("web", "worker"):
            print(f"{name + ' process, idle':40}{memory(pids[name]) / 1e6:8.0f} MB", flush=True)
        for name, pid, port in brokers(portal):
            empty, each = per_connection(pid, port, devices)
            print(f"{name + ', no device':40}{empty / 1e6:8.0f} MB")
            print(f"{name + ', an idle device more':40}{each / 1e3:8.0f} kB", flush=True)
        for table, size in per_row(portal, devices[0], options.rows).items():
            print(f"{'a row of ' + table:40}{size:8.0f} bytes", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
