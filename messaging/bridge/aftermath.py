"""What follows a commit, in Valkey: live events, presence keys, acknowledged commands, counters, the sign of life.

None of it may hold the bridge up or fail it. When Valkey is away events are lost (pages also poll) and the presence keys are no
longer true: `in_step` is then False, the sign of life runs out, and the keys are written anew before it is given again.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping

import redis

from messaging import cache
from messaging.bridge.commands import GROUP
from messaging.bridge.writer import Written
from messaging.events import Outbox

logger = logging.getLogger(__name__)

STATS = "bridge:stats"
ALIVE_S = 10
ALIVE_EVERY_S = 3.0
COUNT_EVERY_S = 1.0
TRIM_EVERY_S = 5.0
AWAY_S = 0.5  # how long Valkey is not asked again after it failed
KEYS_AT_ONCE = 1_000


class Aftermath:
    """The bridge's writes to Valkey; used from one thread."""

    def __init__(self, url: str) -> None:
        self._valkey = redis.Redis.from_url(url, decode_responses=True, socket_connect_timeout=1, socket_timeout=2)
        self.in_step = False
        self._away_until = 0.0
        self._counts: Counter[str] = Counter()
        self._counted = self._trimmed = self._alive = 0.0
        self._unacknowledged: list[str] = []

    def follow(self, written: Written, entries: Iterable[str]) -> None:
        """Do what follows a commit; `entries` are the command records that are written now."""
        self._count(written)
        self._unacknowledged.extend(entries)
        if not self._reachable():
            self.in_step = self.in_step and not written.links
            return
        now = time.monotonic()
        with self._valkey.pipeline(transaction=False) as pipe:
            # Keys before events: a page that is told "connected" may send a command at once.
            for device, connected in written.links.items():
                pipe.set(cache.presence_key(device.hex), int(connected))
            written.outbox.queue(pipe)
            if self._unacknowledged:
                pipe.xack(cache.COMMAND_STREAM, GROUP, *self._unacknowledged)
                if now - self._trimmed >= TRIM_EVERY_S:
                    # Everything before these has been written, so it can go; what waits unread never does.
                    pipe.xtrim(cache.COMMAND_STREAM, minid=self._unacknowledged[0], approximate=True)
                    self._trimmed = now
            self._queue_counts(pipe, now)
            if self._execute(pipe):
                self._unacknowledged.clear()
            else:
                # The records stay pending in the group and come again; they are the same rows then.
                self._unacknowledged = self._unacknowledged[-KEYS_AT_ONCE:]

    def publish(self, outbox: Outbox) -> None:
        """Send events that no batch brought."""
        if outbox and self._reachable():
            with self._valkey.pipeline(transaction=False) as pipe:
                outbox.queue(pipe)
                self._execute(pipe)

    def write_presence(self, devices: Mapping[str, bool]) -> None:
        """Write every device's presence key."""
        if not self._reachable():
            return
        keys = [(cache.presence_key(device), int(connected)) for device, connected in devices.items()]
        for start in range(0, len(keys), KEYS_AT_ONCE):
            with self._valkey.pipeline(transaction=False) as pipe:
                pipe.mset(dict(keys[start : start + KEYS_AT_ONCE]))
                if not self._execute(pipe):
                    return
        self.in_step = True

    def live(self) -> None:
        """Give the sign of life when it is time, if the presence keys are true; bring the counters up to date."""
        now = time.monotonic()
        if not self._reachable():
            return
        with self._valkey.pipeline(transaction=False) as pipe:
            if self.in_step and now - self._alive >= ALIVE_EVERY_S:
                pipe.set(cache.BRIDGE_ALIVE, int(time.time()), ex=ALIVE_S)
                self._alive = now
            self._queue_counts(pipe, now)
            if len(pipe):
                self._execute(pipe)

    def end(self, *, alive: bool) -> None:
        """Say a last word; `alive`: the sign of life is ours to take back."""
        self.in_step = False
        self._alive = self._counted = self._away_until = 0.0
        with self._valkey.pipeline(transaction=False) as pipe:
            if alive:
                pipe.delete(cache.BRIDGE_ALIVE)
            self._queue_counts(pipe, time.monotonic())
            if len(pipe):
                self._execute(pipe)
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

    def _queue_counts(self, pipe: redis.client.Pipeline, now: float) -> None:
        if not self._counts or now - self._counted < COUNT_EVERY_S:
            return
        for name, number in self._counts.items():
            if number:
                pipe.hincrby(STATS, name, number)
        if self._counts["batches"]:
            pipe.hset(STATS, "last_commit_at", f"{time.time():.3f}")
        self._counts.clear()
        self._counted = now

    def _reachable(self) -> bool:
        return time.monotonic() >= self._away_until

    def _execute(self, pipe: redis.client.Pipeline) -> bool:
        try:
            pipe.execute()
        except redis.RedisError as error:
            if self.in_step:
                logger.warning("Valkey is away, live events are lost until it is back: %s", error)
            self.in_step = False
            self._away_until = time.monotonic() + AWAY_S
            return False
        except Exception:
            # Whatever it is, it is about what is shown now; what is kept has been committed.
            logger.exception("live events could not be sent")
            return False
        return True
