"""Answer RabbitMQ's questions who may do what."""

import asyncio
import logging
import signal
from argparse import ArgumentParser
from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from iotportal import watch
from messaging.rabbitmq.auth_server import AuthServer
from messaging.rabbitmq.names import auth_path

logger = logging.getLogger(__name__)


async def serve(host: str, port: int) -> None:
    """Answer until SIGTERM or SIGINT."""
    server, stop = AuthServer(auth_path()), asyncio.Event()
    await server.start(host, port)
    logger.info("answers RabbitMQ on %s port %d", host, server.port)
    loop = asyncio.get_running_loop()
    watch.start(alive={"loop": watch.turns(loop)}, without="broker")
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    await stop.wait()
    await server.stop()


class Command(BaseCommand):
    """`manage.py run_broker_auth`."""

    help = "Answer RabbitMQ's questions who may connect and which topics are whose, until told to stop."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take where to listen: where RabbitMQ reaches it and nobody else does."""
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=settings.BROKER_AUTH_PORT)

    def handle(self, *args: Any, **options: Any) -> None:
        """Listen, or say which port is taken."""
        try:
            uvloop.run(serve(options["host"], options["port"]))
        except OSError as error:
            raise CommandError(f"cannot listen on {options['host']} port {options['port']}: {error}") from error
