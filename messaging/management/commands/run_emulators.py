"""Run the emulators that people have started."""

import asyncio
import signal
from datetime import timedelta
from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand

from iotportal import watch
from messaging.emulators.keeper import Keeper


async def serve() -> None:
    """Run until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    watch.start(alive={"loop": watch.turns(loop)})
    await Keeper(settings.VALKEY_URL, timedelta(minutes=settings.EMULATOR_IDLE_MINUTES)).run(stop)


class Command(BaseCommand):
    """`manage.py run_emulators`."""

    help = "Run the emulators that people have started, until it is told to stop."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run them."""
        uvloop.run(serve())
