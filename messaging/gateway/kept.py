"""A connection to the broker that is kept: made anew with back-off, and what is bound on it. MQTT and AMQP add how they speak.

A connection that breaks takes everything with it: nothing is published again by the next one, for a command must never run a
second time or an hour later. Who waits on it is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Generic, Protocol, TypeVar

from messaging.gateway.transport import BrokerUnavailable

logger = logging.getLogger(__name__)

HANDSHAKE_S = 5.0
BIND_TIMEOUT_S = 5.0
RECONNECT_S = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0)  # ± 30 %, so that many processes do not come back at the same instant
MAX_BINDINGS = 5_000

Answer = Callable[[str, bytes], None]


class Closable(Protocol):
    """One connection, from its first packet to its end."""

    def close(self) -> None:
        """End it; safe to repeat."""


LinkT = TypeVar("LinkT", bound=Closable)


class KeptTransport(ABC, Generic[LinkT]):
    """The part of a `Transport` that does not depend on the protocol."""

    broker: ClassVar[str]  # what the log calls it

    def __init__(self, host: str, port: int, pki: Path) -> None:
        self.on_answer: Answer = lambda topic, payload: None
        self.on_lost: Callable[[], None] = lambda: None
        self._host, self._port, self._pki = host, port, pki
        self._link: LinkT | None = None
        self._connected = asyncio.Event()
        self._bindings: OrderedDict[str, asyncio.Future[None]] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    # --- what a protocol adds -----------------------------------------------------------------------------------------------

    @abstractmethod
    async def _connect(self) -> LinkT:
        """Return a connection on which all else can be asked. Raises OSError or BrokerUnavailable; then nothing is left open."""

    @abstractmethod
    async def _last(self, link: LinkT) -> None:
        """Return when the connection has ended, or is none any more."""

    @abstractmethod
    def _bind(self, link: LinkT, device: str, done: asyncio.Future[None]) -> None:
        """Ask for the answers of a device; `done` gets its result when the broker has agreed."""

    @abstractmethod
    def _unbind(self, link: LinkT, device: str) -> None:
        """Ask for its answers no more."""

    @abstractmethod
    async def _leave(self, link: LinkT) -> None:
        """Say goodbye and close."""

    # --- Transport ----------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to connect and keep connected."""
        self._task = asyncio.get_running_loop().create_task(self._keep_connected())

    async def stop(self) -> None:
        """Disconnect for good."""
        if self._link is not None:
            await self._leave(self._link)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._connected.clear()

    async def wait_connected(self, timeout_s: float) -> None:
        """Return when connected."""
        if self._connected.is_set():
            return
        try:
            await asyncio.wait_for(self._connected.wait(), timeout_s)
        except TimeoutError:
            raise BrokerUnavailable("no connection to the broker") from None

    def is_bound(self, device: str) -> bool:
        """Say whether the answers of `device` come in."""
        binding = self._bindings.get(device)
        if binding is None or not binding.done() or not self._connected.is_set():
            return False
        self._bindings.move_to_end(device)
        return not binding.cancelled() and binding.exception() is None

    async def bind(self, device: str) -> None:
        """Have the answers of `device` come in, asked for once however many wait for it."""
        if self.is_bound(device):
            return
        binding = self._bindings.get(device)
        if binding is None:
            binding = self._bindings[device] = asyncio.get_running_loop().create_future()
            binding.add_done_callback(lambda future: self._forget_failed(device, future))
            if self._link is None:
                binding.set_exception(BrokerUnavailable("no connection to the broker"))
            else:
                self._bind(self._link, device, binding)
                self._forget_oldest(self._link)
        try:
            await asyncio.wait_for(asyncio.shield(binding), BIND_TIMEOUT_S)
        except TimeoutError:
            self._bindings.pop(device, None)
            raise BrokerUnavailable("the broker did not agree in time") from None

    def _forget_failed(self, device: str, binding: asyncio.Future[None]) -> None:
        if (binding.cancelled() or binding.exception() is not None) and self._bindings.get(device) is binding:
            del self._bindings[device]

    def _forget_oldest(self, link: LinkT) -> None:
        while len(self._bindings) > MAX_BINDINGS:
            device, _ = self._bindings.popitem(last=False)
            self._unbind(link, device)

    # --- the connection -----------------------------------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        attempt = 0
        while True:
            try:
                # Not wait_for: before Python 3.12 it forgets that it is cancelled where what it waits for ends in the same turn,
                # as a connection does when broker and web server are stopped together; `stop` would then wait for ever.
                async with asyncio.timeout(HANDSHAKE_S):
                    link = await self._connect()
            except (OSError, TimeoutError, BrokerUnavailable) as error:
                if attempt in {0, 10}:
                    logger.warning("cannot reach %s at %s:%s (%s), trying again", self.broker, self._host, self._port, error)
            else:
                attempt = 0
                logger.info("connected to %s", self.broker)
                await self._while_connected(link)
                logger.warning("lost the connection to %s", self.broker)
            pause = RECONNECT_S[min(attempt, len(RECONNECT_S) - 1)]
            attempt += 1
            await asyncio.sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311 - no secret

    async def _while_connected(self, link: LinkT) -> None:
        """Serve one connection until it ends, and tell everyone who waits on it."""
        self._link = link
        self._connected.set()
        try:
            await self._last(link)
        finally:
            link.close()
            self._connected.clear()
            self._link = None
            waiting = list(self._bindings.values())
            self._bindings.clear()
            for binding in waiting:
                if not binding.done():
                    binding.set_exception(BrokerUnavailable("lost the broker"))
            self.on_lost()
