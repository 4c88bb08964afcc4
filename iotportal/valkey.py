"""A small pipelining Valkey client for the hot path.

A command leaves at once where none is under way; else those of one event-loop turn leave in one write, and their answers are read
in one go. What is not urgent waits a moment for more of its kind: each write wakes the server up, and its answer us. That is most
of what a command needs from Valkey, and about a third of the cost of a general client. Everything else uses `redis`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import hiredis

logger = logging.getLogger(__name__)

Reply = Any
Kept = tuple[Any, ...]  # the words of a command that must not be lost
RECONNECT_S = (0.05, 0.1, 0.25, 0.5, 1.0)
MAX_PENDING = 20_000  # beyond this the server is not keeping up and callers are told so
ANSWER_S = 2.0  # a server that owes an answer and says nothing for so long is given up, with everybody who waits for it
LOOK_S = 0.5
LINGER_S = 0.002  # how long what is not urgent may wait
MAX_KEPT = 20_000
LONGEST_WAIT_S = ANSWER_S + LOOK_S


class ValkeyUnavailable(Exception):
    """There is no connection, or it broke before the answer came."""


class Script:
    """A Lua script, called by its SHA-1 and loaded when a connection is made."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


class Answer(asyncio.Future[Reply]):
    """The answer to one command, which Valkey carries out whether anybody waits for it or not."""

    _missed: list[Reply] | None = None
    _take_back: Callable[[Reply], None] | None = None

    def miss(self, reply: Reply) -> None:
        """Take the answer that nobody waits for any more."""
        if self._take_back is not None:
            self._take_back(reply)
        else:
            self._missed = [reply]

    def undo(self, take_back: Callable[[Reply], None]) -> None:
        """Have `take_back` told what the answer was, or will be; for a waiter who was cancelled."""
        if not self.cancelled():  # it had come in the very turn of the cancellation
            if self.exception() is None:
                take_back(self.result())
        elif self._missed is not None:
            take_back(self._missed[0])
        else:
            self._take_back = take_back


class _Link(asyncio.Protocol):
    """One connection: writes what is queued, hands answers to the futures in order."""

    def __init__(self, on_lost: Callable[[_Link, list[Kept]], None], on_push: Callable[[Reply], None]) -> None:
        self._on_lost = on_lost
        self._on_push = on_push
        self._reader = hiredis.Reader(notEnoughData=self)
        self._waiting: deque[Answer | Kept | None] = deque()
        self._out: list[tuple[Any, ...]] = []
        self._flushing = False  # at the end of this turn
        self._posting = False  # a turn later
        self._lingering = False  # within LINGER_S
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._silent_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._silent_since = 0.0
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not self:
            if isinstance(reply, hiredis.PushNotification):
                self._on_push(reply)
                continue
            answer = self._waiting.popleft()
            refused = isinstance(reply, hiredis.ReplyError)
            if answer is None or isinstance(answer, tuple):
                if refused:
                    logger.warning("valkey refused a command: %s", reply)
            elif answer.done():
                if not refused:
                    answer.miss(reply)
            elif refused:  # a full disk, a read-only replica: it is there and does not serve
                answer.set_exception(ValkeyUnavailable(str(reply)))
            else:
                answer.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        kept: list[Kept] = []
        while self._waiting:
            answer = self._waiting.popleft()
            if isinstance(answer, tuple):
                kept.append(answer)
            elif answer is not None and not answer.done():
                answer.set_exception(ValkeyUnavailable("the connection broke"))
        self._on_lost(self, kept)

    @property
    def pending(self) -> int:
        return len(self._waiting)

    def queue(self, arguments: tuple[Any, ...], answer: Answer, *, urgent: bool = True) -> None:
        """Send a command that somebody waits for, now or within LINGER_S."""
        self._put(arguments, answer)
        if not urgent:
            self._linger()
        elif len(self._waiting) == 1:
            self._flush()
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def post(self, arguments: tuple[Any, ...], *, keep: bool = False) -> None:
        """Send what nobody awaits the answer of, a turn later: what belongs to one event is posted in two turns of the loop.

        One to `keep` is handed back if the connection breaks before it is answered.
        """
        self._put(arguments, arguments if keep else None)
        if not self._flushing and not self._posting:
            self._posting = True
            self._loop.call_soon(self._loop.call_soon, self._flush)

    def _put(self, arguments: tuple[Any, ...], waiting: Answer | Kept | None) -> None:
        if self._transport is None:
            raise ValkeyUnavailable("not connected")
        self._out.append(arguments)
        self._waiting.append(waiting)

    def _linger(self) -> None:
        if not self._lingering:
            self._lingering = True
            self._loop.call_later(LINGER_S, self._flush)

    def _flush(self) -> None:
        self._flushing = self._posting = self._lingering = False
        if self._transport is not None and self._out:
            self._transport.write(b"".join(map(hiredis.pack_command, self._out)))
        self._out.clear()

    def look(self, now: float) -> None:
        """Give up a server that owes an answer and does not say anything."""
        if not self._waiting:
            self._silent_since = 0.0
        elif not self._silent_since:
            self._silent_since = now
        elif now - self._silent_since >= ANSWER_S and self._transport is not None:
            logger.warning("valkey does not answer")
            self._transport.abort()

    def close(self) -> None:
        self._flush()
        if self._transport is not None:
            self._transport.close()


class Valkey:
    """A reconnecting connection to Valkey, used from one event loop.

    `on_changed`, set before the start, is told of each key that this connection has read and that was changed by another since,
    once until it is read again; and None where that is not known any more: the connection broke, or all was deleted. Valkey calls
    this client-side caching (CLIENT TRACKING, RESP3).
    """

    def __init__(self, url: str, scripts: tuple[Script, ...] = (), about: Callable[[Kept], dict[str, str]] | None = None) -> None:
        """Take the server's URL and the scripts that will be run; `about`: a dropped command's fields in the log."""
        self._url = urlsplit(url)
        self._about = about
        self._scripts = scripts
        self._link: _Link | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._kept: deque[Kept] = deque()
        self._closed = False
        self._watch: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop
        self.on_changed: Callable[[str | None], None] | None = None

    async def start(self) -> None:
        """Begin to connect, and wait a moment for it."""
        self._loop = asyncio.get_running_loop()
        self._look()
        self._connecting = self._loop.create_task(self._connect())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._connecting), 2)

    async def stop(self) -> None:
        """Close the connection for good."""
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._link is not None:
            self._link.close()

    def call(self, *arguments: Any, urgent: bool = True) -> Answer:
        """Send a command; the future has its answer. One that is not `urgent` leaves within LINGER_S, with others.

        Raises:
            ValkeyUnavailable: there is no connection (also from the future), or too much is waiting already.
        """
        answer = Answer(loop=self._loop)
        self._usable().queue(arguments, answer, urgent=urgent)
        return answer

    def post(self, *arguments: Any) -> None:
        """Send a command whose answer nobody waits for; without a connection it is dropped and logged."""
        try:
            self._usable().post(arguments)
        except ValkeyUnavailable as error:
            logger.warning("dropped %s: %s", arguments[0], error)

    def keep(self, *arguments: Any) -> None:
        """Post a command that must not be lost; it may be carried out twice.

        Without a connection it waits for one, and it is sent again if the connection breaks before it is answered.
        """
        self._kept.append(arguments)
        if len(self._kept) > MAX_KEPT:
            dropped = self._kept.popleft()
            logger.error(
                "dropped %s: %d wait for valkey already", dropped[0], MAX_KEPT, extra=self._about and self._about(dropped)
            )
        self._send_kept()

    def _send_kept(self) -> None:
        with contextlib.suppress(ValkeyUnavailable):  # then with the next connection
            while self._kept:
                self._usable().post(self._kept[0], keep=True)
                self._kept.popleft()

    def run(self, script: Script, keys: tuple[str, ...], arguments: tuple[Any, ...], *, urgent: bool = True) -> Answer:
        """Run a script that was given to the constructor, as `call` does a command."""
        return self.call("EVALSHA", script.sha, len(keys), *keys, *arguments, urgent=urgent)

    def keep_run(self, script: Script, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> None:
        """Run a script as `keep` does a command."""
        self.keep("EVALSHA", script.sha, len(keys), *keys, *arguments)

    def _usable(self) -> _Link:
        link = self._link
        if link is None:
            raise ValkeyUnavailable("not connected")
        if link.pending > MAX_PENDING:
            raise ValkeyUnavailable("too many commands are waiting")
        return link

    def _look(self) -> None:
        if self._link is not None:
            self._link.look(self._loop.time())
        self._watch = self._loop.call_later(LOOK_S, self._look)

    async def _connect(self) -> None:
        """Connect, trying again for ever with growing pauses."""
        attempt = 0
        while not self._closed:
            try:
                await asyncio.wait_for(self._open(), 5)
            except (OSError, TimeoutError, ValkeyUnavailable, hiredis.HiredisError) as error:
                pause = RECONNECT_S[min(attempt, len(RECONNECT_S) - 1)]
                if attempt in {0, 20}:
                    logger.warning("cannot reach valkey (%s), trying again", error)
                attempt += 1
                await asyncio.sleep(pause)
            else:
                return

    async def _open(self) -> None:
        """Open one connection, sign in, load the scripts, then let it be used."""
        url = self._url
        tls = ssl.create_default_context() if url.scheme == "rediss" else None
        _, link = await self._loop.create_connection(
            lambda: _Link(self._lost, self._pushed), url.hostname or "localhost", url.port or 6379, ssl=tls
        )
        setup: list[tuple[str, ...]] = []
        if url.password:
            setup.append(("AUTH", unquote(url.username or "default"), unquote(url.password)))
        if url.path.strip("/"):
            setup.append(("SELECT", url.path.strip("/")))
        if self.on_changed is not None:
            setup += [("HELLO", "3"), ("CLIENT", "TRACKING", "ON", "NOLOOP")]
        setup.extend(("SCRIPT", "LOAD", script.source) for script in self._scripts)
        answers = []
        for arguments in setup:
            answers.append(Answer(loop=self._loop))
            link.queue(arguments, answers[-1])
        try:
            await asyncio.gather(*answers)
        except BaseException:
            link.close()
            raise
        self._link = link
        self._send_kept()

    def _pushed(self, push: Reply) -> None:
        """Take what the server says unasked: which keys have changed, None for all of them."""
        kind, keys = push
        if self.on_changed is not None and kind == b"invalidate":
            for key in (None,) if keys is None else keys:
                self.on_changed(key and key.decode())

    def _lost(self, link: _Link, kept: list[Kept]) -> None:
        """Connect again, unless this connection never got as far as being used."""
        if link is not self._link:
            return
        self._link = None
        if self.on_changed is not None:
            self.on_changed(None)
        self._kept.extendleft(reversed(kept))
        if not self._closed:
            logger.warning("lost the connection to valkey")
            self._connecting = self._loop.create_task(self._connect())
