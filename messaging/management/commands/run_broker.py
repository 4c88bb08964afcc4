"""Run the embedded MQTT broker."""

import asyncio
import logging
import resource
import signal
from argparse import ArgumentParser
from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from iotportal import watch
from messaging.broker.limits import Limits
from messaging.broker.server import Broker, PasswordDoor
from messaging.broker.tls import password_context, server_context
from messaging.broker.valkey import ValkeyLink
from messaging.services.admission_threads import AdmissionThreads
from messaging.services.broker_access import password_proof

logger = logging.getLogger(__name__)

# The bridge's session exists from the start, so what devices say before the first bridge comes is kept for it.
STANDING = {"portal.bridge": ("#", "$SYS/portal/#")}
OPEN_FILES = 16_384


async def serve(host: str, port: int) -> None:
    """Run the broker until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    pki = settings.PKI_DIR
    tls = server_context(pki / "server.pem", pki / "server.key", [pki / "clients-ca.pem"])
    with AdmissionThreads() as threads:
        broker = Broker(
            tls=tls, admit=threads.admit, tell_shared=threads.tell_shared, passwords=_password_door(), host=host, port=port,
            standing=STANDING, sockets=settings.BROKER_SOCKETS,
            limits=Limits(connections=settings.BROKER_CONNECTIONS, sessions=2 * settings.BROKER_CONNECTIONS),
        )  # fmt: skip
        await broker.start()
        watch.start(alive={"loop": watch.turns(loop)}, without="broker")
        logger.info("broker listens on %s port %d", host, broker.port)
        if broker.password_port is not None:
            logger.info("devices with a password are let in on %s port %d", host, broker.password_port)
        if settings.BROKER_SOCKETS is not None:
            logger.info("gateway and bridge are let in by their sockets in %s", settings.BROKER_SOCKETS)
        link = loop.create_task(ValkeyLink(broker, settings.VALKEY_URL).run())
        stop = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stop.set)
        # If the line to Valkey breaks in a way it does not mend, ending is better than never cutting a revoked device.
        stopped = loop.create_task(stop.wait())
        await asyncio.wait([link, stopped], return_when=asyncio.FIRST_COMPLETED)
        failure = link.exception() if link.done() else None
        link.cancel()
        stopped.cancel()
        await broker.stop()
        if failure is not None:
            raise failure


def _password_door() -> PasswordDoor | None:
    """Return the port for devices without a certificate, if the operator wants one."""
    if not settings.DEVICE_PASSWORDS:
        return None
    tls = password_context(settings.PKI_DIR / "server.pem", settings.PKI_DIR / "server.key")
    return PasswordDoor(tls, password_proof, settings.DEVICE_PASSWORD_PORT)


def _allow_sockets() -> None:
    """Raise the number of open files, which is often 1,024, as far as the system lets an ordinary user."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(most, OPEN_FILES)
    if wanted > now:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


class Command(BaseCommand):
    """`manage.py run_broker`."""

    help = "Run the embedded MQTT broker until it is told to stop."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Let a call override where to listen."""
        parser.add_argument("--host", default=settings.BROKER_BIND)
        parser.add_argument("--port", type=int, default=settings.DEVICE_PORT)

    def handle(self, *args: Any, **options: Any) -> None:
        """Listen, or say which port is taken."""
        _allow_sockets()
        try:
            uvloop.run(serve(options["host"], options["port"]))
        except OSError as error:
            raise CommandError(f"the broker cannot run on {options['host']} port {options['port']}: {error}") from error
