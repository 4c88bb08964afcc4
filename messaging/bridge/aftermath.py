"""What follows a commit, in Valkey: live events, presence keys, acknowledged commands, counters, the sign of life.

None of it may hold the bridge up or fail it. When Valkey is away events are lost (pages also poll) and the presence keys are no
longer true: `in_step` is then False, the sign of life runs out, and the keys are written anew before it is given again.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from operator import methodcaller
from typing import Any

import redis
from redis.client import Pipeline

from messaging import cache
from messaging.bridge.commands import GROUP, connect
from messaging.bridge.writer import Written
from messaging.events import Outbox

logger = logging.getLogger(__name__)

STATS = "bridge:stats"
MARK = "bridge:mark"  # written with the presence keys: gone if they are
ALIVE_S = 10
ALIVE_EVERY_S = 3.0
COUNT_EVERY_S = 1.0
TRIM_EVERY_S = 5.0
AWAY_S = 0.5  # how long Valkey is not asked again after it failed
KEYS_AT_ONCE = 1_000


class Aftermath:
    """The bridge's writes to Valkey; used from one thread."""

    def __init__(self, url: str) -> None:
        self._valkey = connect(url, socket_timeout=2)
        self.in_step = False
        self._away_until = 0.0
        self._counts: Counter[str] = Counter()
        self._counted = self._trimmed = self._alive = 0.0
        self._unacknowledged: list[str] = []
        self._server = self._mark = ""

    def follow(self, written: Written, entries: Iterable[str]) -> None:
        """Do what follows a commit; `entries` are the command records that are written now."""
        self._count(written)
        self._unacknowledged.extend(entries)
        done, now = self._unacknowledged, time.monotonic()
        trim = bool(done) and now - self._trimmed >= TRIM_EVERY_S

        def fill(pipe: Pipeline) -> None:
            # Keys before events: a page that is told "connected" may send a command at once.
            for device, connected in written.links.items():
                pipe.set(cache.presence_key(device.hex), int(connected))
            written.outbox.queue(pipe)
            if done:
                pipe.xack(cache.COMMAND_STREAM, GROUP, *done)
            if trim:
                # Everything before these has been written, so it can go; what waits unread never does.
                pipe.xtrim(cache.COMMAND_STREAM, minid=done[0], approximate=True)

        if self._send(fill):
            self._unacknowledged = []
            self._trimmed = now if trim else self._trimmed
        else:
            # The records stay pending in the group and come again; they are the same rows then.
            self._unacknowledged = done[-KEYS_AT_ONCE:]
            self.in_step = self.in_step and not written.links

    def publish(self, outbox: Outbox) -> None:
        """Send events that no batch brought."""
        if outbox:
            self._send(outbox.queue)

    def write_presence(self, devices: Mapping[str, bool]) -> None:
        """Write every device's presence key."""
        keys = [(cache.presence_key(device), int(connected)) for device, connected in devices.items()]
        self._server, self._mark = self._run_id(), secrets.token_hex(8)
        self.in_step = bool(self._server) and self._send(lambda pipe: pipe.set(MARK, self._mark))
        for start in range(0, len(keys), KEYS_AT_ONCE):
            part = dict(keys[start : start + KEYS_AT_ONCE])
            if not self._send(methodcaller("mset", part)):
                self.in_step = False

    def live(self) -> None:
        """Give the sign of life when it is time, if the presence keys are true; bring the counters up to date."""
        now = time.monotonic()
        if now - self._alive >= ALIVE_EVERY_S and self.in_step and self._is_the_same():
            self._send(lambda pipe: pipe.set(cache.BRIDGE_ALIVE, int(time.time()), ex=ALIVE_S))
            self._alive = now
        if now - self._counted >= COUNT_EVERY_S:
            self._write_counts(now)

    def end(self, *, alive: bool) -> None:
        """Say a last word; `alive`: the sign of life is ours to take back."""
        self.in_step = False
        self._alive = self._away_until = 0.0
        if alive:
            self._send(lambda pipe: pipe.delete(cache.BRIDGE_ALIVE))
        self._write_counts(0.0)
        self._valkey.close()

    def count(self, name: str, number: int) -> None:
        """Add to a counter."""
        self._counts[name] += number

    def _count(self, written: Written) -> None:
        self._counts.update(
            received=written.received,
            written=written.rows,
            commands=written.commands,
            duplicates=written.duplicates,
            malformed=written.malformed,
            dropped=written.dropped,
            batches=1,
        )

    def _is_the_same(self) -> bool:
        """Make sure that Valkey is the one that has our keys: the client connects again without a word to one that lost them."""
        kept: list[str | None] = []
        if self._send(lambda pipe: pipe.get(MARK), kept) and (kept != [self._mark] or self._run_id() != self._server):
            self.in_step = False
        return self.in_step

    def _run_id(self) -> str:
        """Return what is new with every start of the server."""
        replies: list[Any] = []
        self._send(lambda pipe: pipe.info("server"), replies)
        return str(replies[0]["run_id"]) if replies else ""

    def _write_counts(self, now: float) -> None:
        counts = Counter({name: number for name, number in self._counts.items() if number})
        self._counted = now

        def fill(pipe: Pipeline) -> None:
            for name, number in counts.items():
                pipe.hincrby(STATS, name, number)
            if counts["batches"]:
                pipe.hset(STATS, "last_commit_at", f"{time.time():.3f}")

        if counts and self._send(fill):
            self._counts.clear()

    def _send(self, fill: Callable[[Pipeline], object], replies: list[Any] | None = None) -> bool:
        """Send what `fill` queues, and append what is answered to `replies`; False if that failed."""
        if time.monotonic() < self._away_until:
            return False
        for attempt in (1, 2):
            try:
                with self._valkey.pipeline(transaction=False) as pipe:
                    fill(pipe)
                    answered = pipe.execute()
            except redis.RedisError as error:
                was_in_step, self.in_step = self.in_step, False
                if attempt == 1 and isinstance(error, redis.ConnectionError):
                    continue
                if was_in_step or attempt == 2 and not self._away_until:
                    logger.warning("Valkey is away, live events are lost until it is back: %s", error)
                self._away_until = time.monotonic() + AWAY_S
                return False
            except Exception:
                # Whatever it is, it is about what is shown now; what is kept has been committed.
                logger.exception("live events could not be sent")
                return False
            self._away_until = 0.0
            if replies is not None:
                replies.extend(answered)
            return True
        return False
