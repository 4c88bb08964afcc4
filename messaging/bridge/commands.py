"""The portal's own commands, from the Valkey stream that the gateways write.

The consumer group keeps every record until it is acknowledged, which happens after the commit; a record that comes twice is
the same row. Only the bridge that holds the lock reads, so whatever is pending, with whichever consumer, is ours to take over.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from messaging import cache
from messaging.bridge.meaning import BadRecord, Record, read_record

logger = logging.getLogger(__name__)

GROUP = "bridge"
CONSUMER = "bridge"
COUNT = 200
BLOCK_MS = 500
RETRY_S = (0.1, 0.5, 1.0, 2.0)


def connect(url: str, *, socket_timeout: float) -> redis.Redis:
    """Return a Valkey client that says at once when a connection has broken."""
    never = Retry(NoBackoff(), 0)
    return redis.Redis.from_url(url, decode_responses=True, socket_connect_timeout=1, socket_timeout=socket_timeout, retry=never)


class CommandReader:
    """Reads the stream in a thread of its own and hands the records over."""

    def __init__(self, url: str, deliver: Callable[[list[Record]], None]) -> None:
        # The read blocks for BLOCK_MS; a server that says nothing for much longer is away.
        self._valkey = connect(url, socket_timeout=5)
        self._deliver = deliver
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to read."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="bridge-commands", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop reading; whoever waits for room in the inbox must be let go first."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._valkey.close()

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                self._make_group()
                self._take_over()
                while not self._stop.is_set():
                    self._read()
                    failures = 0
            except redis.RedisError as error:
                if failures == 0 and not _group_is_gone(error):
                    logger.warning("cannot read commands from Valkey (%s), trying again", error)
                self._stop.wait(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1
            except Exception:
                logger.exception("reading commands failed, trying again")
                self._stop.wait(RETRY_S[-1])

    def _make_group(self) -> None:
        """Make the group, to read from the stream's beginning: what was recorded before the first bridge counts too."""
        try:
            self._valkey.xgroup_create(cache.COMMAND_STREAM, GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def _take_over(self) -> None:
        """Take what was read by us or by a bridge before us and not acknowledged."""
        start = "0-0"
        while not self._stop.is_set():
            reply: Any = self._valkey.xautoclaim(cache.COMMAND_STREAM, GROUP, CONSUMER, 0, start_id=start, count=COUNT)
            start = reply[0]
            self._hand_over(reply[1])
            if start == "0-0":
                return

    def _read(self) -> None:
        reply: Any = self._valkey.xreadgroup(GROUP, CONSUMER, {cache.COMMAND_STREAM: ">"}, count=COUNT, block=BLOCK_MS)
        for _, entries in reply or ():
            self._hand_over(entries)

    def _hand_over(self, entries: list[tuple[str, dict[str, str] | None]]) -> None:
        records = [_record(entry, fields) for entry, fields in entries]
        if records:
            self._deliver(records)


def _record(entry: str, fields: dict[str, str] | None) -> Record:
    """Read an entry; one that cannot be read is passed on without its fact, to be counted and acknowledged."""
    try:
        return Record(entry, read_record((fields or {}).get("r", "")))
    except BadRecord as error:
        logger.warning("command record %s cannot be read: %s", entry, error)
        return Record(entry, None)


def _group_is_gone(error: redis.RedisError) -> bool:
    """Tell whether Valkey has lost its data: the group is then simply made again."""
    return str(error).startswith("NOGROUP")
