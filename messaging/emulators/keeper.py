"""All emulators in one event loop: what is to run is started, what is not any more is stopped, pages' orders are obeyed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import redis.asyncio as redis
from django.utils import timezone

from devices.downloads import KeyUnavailable
from iotportal.words import plural
from messaging.emulators import orders, store
from messaging.emulators.board import Dials, drift_of, faults_of, make_device, remember
from messaging.emulators.meter import COUNT_S
from messaging.models import Emulator, EmulatorState
from simulators.console import Console
from simulators.link import Link, LinkOptions, Shared
from simulators.settings import DeviceSettings, SettingsError

logger = logging.getLogger(__name__)
T = TypeVar("T")

LOOK_S = 5.0  # how often it is looked what is to run; a page's nudge makes it sooner
OFFICE_S = 2.0  # how often a second process asks whether the first is gone
GATHER_S = 0.05  # what changes within this time is written together
TICK_S = 5.0  # of the clients' keep-alive
KEEPALIVE_S = 60
RESET_S = 1.0  # what a board takes to come up
GOODBYE_S = 5.0


def why_not(error: Exception) -> str:
    """Say on a page why an emulator cannot start, and what to do."""
    do = "Renew its certificate on the device's page, or run a simulator where the key is."
    if isinstance(error, KeyUnavailable):
        return f"The emulator could not start. {error} {do}"
    if isinstance(error, SettingsError):  # which names files of ours: the log has it
        return f"The emulator could not start: what the device connects with cannot be used. {do}"
    return "The emulator could not start: its board as it was kept cannot be made again. Start it anew, with an empty board."


class Running:
    """One emulator that runs."""

    def __init__(
        self,
        row: Emulator,
        settings: DeviceSettings,
        context: ssl.SSLContext,
        shared: Shared,
        on_change: Callable[[Running], None],
    ) -> None:
        self.device_id, self.account_id = row.device_id, row.device.account_id
        self.started_at, self.used_at = row.started_at, row.used_at
        self.state, self.said = EmulatorState.STARTING, ""
        self.dials = Dials(faults_of(row.faults), seed=0, device_id=settings.device_id)
        self._on_change = on_change
        self.device = make_device(
            settings.device_id, settings.profile, row.board, lambda _: on_change(self), drift=drift_of(row.faults)
        )
        self.link = Link(settings, self.device, context, shared, self.dials)
        self.task = asyncio.create_task(self.link.run())

    def use(self) -> None:
        """Note that somebody uses it."""
        self.used_at = timezone.now()
        self._on_change(self)

    def become(self, state: EmulatorState, said: str = "") -> None:
        """Note how its connection is."""
        if (state, said) != (self.state, self.said):
            self.state, self.said = state, said
            self._on_change(self)

    def change(self) -> store.Change:
        """Return what is to be written of it."""
        return store.Change(self.device_id, self.account_id, self.state, self.said[:400], remember(self.device), self.used_at)

    async def stop(self) -> None:
        """Say goodbye and disconnect."""
        self.link.stop()
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            await asyncio.wait_for(self.task, GOODBYE_S)

    def obey(self, do: str, frame: dict[str, Any]) -> str:
        """Do what a page asks; returns why it cannot be done, or nothing."""
        match do:
            case "pin":
                number, level = int(frame["number"]), int(frame["level"])
                pin = self.device.pins.get(number)
                if pin is not None and pin.direction == "out":
                    return f"Pin {number} is an output: the device sets it."
                self.link.send(self.device.drive(number, level))
            case "type":
                self.device.uart.append(f"> {frame['line']}")
                self.link.type_line(str(frame["line"]))
            case "faults":
                self.dials.turn(faults_of(frame["faults"]))
                self.device.drift(drift_of(frame["faults"]))
            case "reset":
                if self.state != EmulatorState.RUNNING:
                    return "It is not connected, so there is nothing to reset: it begins anew by itself."
                self.link.go_away(RESET_S, goodbye=False)
            case _:
                return "The emulator does not know what to do."
        self.use()
        return ""


class Told(Console):
    """Tells the keeper what happens to a device, in place of a terminal."""

    def __init__(self, running: dict[str, Running]) -> None:
        super().__init__(quiet=True)
        self._running = running

    def came(self, name: str, api: str, payload: bytes) -> None:
        """A command: somebody uses it."""
        if name in self._running:
            self._running[name].use()

    def event(self, name: str, text: str) -> None:
        """It connected, or reboots."""
        if name in self._running:
            if text.startswith("connected"):
                self._running[name].become(EmulatorState.RUNNING)
            elif text.startswith("is away"):
                self._running[name].become(EmulatorState.STARTING, "It restarts.")

    def trouble(self, name: str, text: str) -> None:
        """It is not connected."""
        if name in self._running:
            self._running[name].become(EmulatorState.TROUBLE, text)


class Keeper:
    """Runs what is to run. `idle` is how long one may be without use; `in_office` is set once no other process keeps them."""

    def __init__(self, valkey_url: str, idle: timedelta) -> None:
        self._valkey = redis.Redis.from_url(valkey_url, decode_responses=True)
        self._idle = idle
        self._running: dict[str, Running] = {}
        self._shared = Shared(Told(self._running), LinkOptions(keepalive_s=KEEPALIVE_S))
        # One thread: one connection to the database, which holds the lock for as long as it is there.
        self._database = ThreadPoolExecutor(1, "emulators")
        self._changed: dict[str, Running] = {}
        self._news, self._look_now = asyncio.Event(), asyncio.Event()
        self.in_office = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the emulators until `stop`. Raises what the database or Valkey does: the process is to be started again."""
        try:
            if await self._wait_for_office(stop):
                await self._keep(stop)
        finally:
            await asyncio.gather(*(one.stop() for one in self._running.values()))
            await self._valkey.aclose()
            await self._in_database(store.leave_office)
            self._database.shutdown()

    async def _wait_for_office(self, stop: asyncio.Event) -> bool:
        while not stop.is_set():
            if await self._in_database(store.take_office):
                self.in_office.set()
                return True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), OFFICE_S)
        return False

    async def _keep(self, stop: asyncio.Event) -> None:
        async with self._valkey.pubsub() as heard:
            await heard.subscribe(orders.CHANNEL)
            stopped = asyncio.create_task(stop.wait())
            work: list[asyncio.Task[None]] = [
                asyncio.create_task(one)
                for one in (self._listen(heard), self._look(), self._write(), self._tick(), self._count())
            ]
            try:
                await asyncio.wait({stopped, *work}, return_when=asyncio.FIRST_COMPLETED)
                for task in work:
                    if task.done():
                        task.result()
                await self._save()
                await self._in_database(store.count, list(self._ids()))
            finally:
                stopped.cancel()
                for task in work:
                    task.cancel()

    async def _in_database(self, call: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._database, call, *arguments)

    # --- what is to run ---------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        while True:
            self._look_now.clear()
            await self._end_idle()
            rows = {row.device.hex: row for row in await self._in_database(store.wanted)}
            for name, running in list(self._running.items()):
                row = rows.get(name)
                if row is None or row.started_at != running.started_at:
                    del self._running[name]
                    self._changed.pop(name, None)
                    await running.stop()
            for name in rows.keys() - self._running.keys():
                await self._start(name, rows[name])
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look_now.wait(), LOOK_S)

    async def _start(self, name: str, row: Emulator) -> None:
        try:
            settings, context = await self._in_database(store.identity, row.device_id)
            await self._in_database(store.begin_counting, row.device_id)
            running = Running(row, settings, context, self._shared, self._note)
        except (KeyUnavailable, SettingsError, TypeError, ValueError) as error:  # the latter: a board that cannot be made again
            logger.warning("the emulator of device %s cannot start: %s", name, error)
            await self._end([row.device_id], why_not(error))
            return
        self._running[name] = running
        self._note(running)

    async def _end_idle(self) -> None:
        since = timezone.now() - self._idle
        idle = [one for one in self._running.values() if one.used_at < since]
        if idle:
            logger.info("stopping %d emulators that nobody uses", len(idle))
            unused = plural(round(self._idle.total_seconds() / 60), "minute")
            await self._end([one.device_id for one in idle], f"The emulator was stopped: nobody used it for {unused}.")

    async def _end(self, device_ids: list[UUID], why: str) -> None:
        """Have these run no more, and their pages say why; first the word, as pages look when they are told."""
        for device_id in device_ids:
            await self._valkey.set(orders.word_key(device_id), why, ex=orders.WORD_S)
        await self._in_database(store.forget, device_ids)

    def _ids(self) -> Iterator[UUID]:
        return (one.device_id for one in self._running.values())

    async def _count(self) -> None:
        """Put the time that passed on the accounts' meters; what has none left is stopped at the next look, which is now."""
        while True:
            await asyncio.sleep(COUNT_S)
            if await self._in_database(store.count, list(self._ids())):
                self._look_now.set()

    # --- what changes -----------------------------------------------------------------------------------------------------

    def _note(self, running: Running) -> None:
        self._changed[running.device.device_id] = running
        self._news.set()

    async def _write(self) -> None:
        while True:
            await self._news.wait()
            await asyncio.sleep(GATHER_S)
            await self._save()

    async def _save(self) -> None:
        self._news.clear()
        changes = [one.change() for one in self._changed.values()]
        self._changed.clear()
        await self._in_database(store.save, changes)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            for running in list(self._running.values()):
                running.link.tick()

    # --- what pages ask ----------------------------------------------------------------------------------------------------

    async def _listen(self, heard: Any) -> None:
        async for message in heard.listen():
            if message["type"] == "message":
                await self._obey(json.loads(message["data"]))

    async def _obey(self, frame: dict[str, Any]) -> None:
        if frame["do"] == "look":
            self._look_now.set()
            return
        running = self._running.get(frame["device"])
        said = running.obey(frame["do"], frame) if running is not None else "The emulator is not there yet, or stopped."
        await self._save()  # before the answer: the page that asked reads it
        async with self._valkey.pipeline(transaction=False) as pipe:
            pipe.rpush(frame["answer"], said)
            pipe.expire(frame["answer"], orders.ANSWER_S * 2)
            await pipe.execute()
