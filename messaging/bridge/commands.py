"""The portal's own commands, from the Valkey stream that the gateways write.

The consumer group keeps every record until it is acknowledged, which happens after the commit; a record that comes twice is
the same row. Only the bridge in office reads, so whatever is pending, with whichever consumer, is ours to take over: at the
beginning, and ever again, because one that has lost its office to us (PostgreSQL died under it) reads on until it notices.
"""

from __future__ import annotations

import logging
import re
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from messaging import cache
from messaging.bridge.meaning import BadRecord, Record, read_record

logger = logging.getLogger(__name__)

GROUP = "bridge"
COUNT = 200
# After a reading that found fewer, so that the next one finds several: to ask costs as much as to read some more, and nobody
# waits for the history. A backlog fills every reading, and is read without a pause.
PAUSE_S = 0.01
FOLLOW_UP_S = 1.0  # how often it is looked whether another one has read what is ours
FORGET_MS = 3_600_000  # a consumer that has read nothing for so long is gone
BLOCK_MS = 500
_ID = re.compile(r'"(?:id|late)": ?"([0-9a-f]{32})"')  # of a record that cannot be read otherwise
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
        self._name = f"bridge-{secrets.token_hex(4)}"
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
                looked = time.monotonic()
                while not self._stop.is_set():
                    found = self._read()
                    failures = 0
                    if 0 < found < COUNT:
                        self._stop.wait(PAUSE_S)
                    if time.monotonic() - looked >= FOLLOW_UP_S:
                        self._take_from_others()
                        looked = time.monotonic()
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
            reply: Any = self._valkey.xautoclaim(cache.COMMAND_STREAM, GROUP, self._name, 0, start_id=start, count=COUNT)
            start = reply[0]
            self._hand_over(reply[1])
            if start == "0-0":
                return

    def _take_from_others(self) -> None:
        """Take what another one has read and not acknowledged, and forget those that are long gone."""
        consumers: Any = self._valkey.xinfo_consumers(cache.COMMAND_STREAM, GROUP)
        for consumer in consumers:
            if consumer["name"] == self._name:
                continue
            if not consumer["pending"] and consumer["idle"] > FORGET_MS:
                self._valkey.xgroup_delconsumer(cache.COMMAND_STREAM, GROUP, consumer["name"])
            elif consumer["pending"]:
                self._take_from(consumer["name"])

    def _take_from(self, other: str) -> None:
        while not self._stop.is_set():
            pending: Any = self._valkey.xpending_range(cache.COMMAND_STREAM, GROUP, "-", "+", COUNT, consumername=other)
            if not pending:
                return
            ids = [entry["message_id"] for entry in pending]
            logger.info("%d commands were read by another bridge and not written", len(ids))
            claimed: Any = self._valkey.xclaim(cache.COMMAND_STREAM, GROUP, self._name, 0, ids)
            self._hand_over(claimed)
            if len(claimed) < len(ids):  # the rest was cut off the stream: it is nobody's any more
                self._valkey.xack(cache.COMMAND_STREAM, GROUP, *(set(ids) - {entry for entry, _ in claimed}))

    def _read(self) -> int:
        """Read what is new, waiting for it if need be; return how much that was."""
        reply: Any = self._valkey.xreadgroup(GROUP, self._name, {cache.COMMAND_STREAM: ">"}, count=COUNT, block=BLOCK_MS)
        for _, entries in reply or ():
            self._hand_over(entries)
        return sum(len(entries) for _, entries in reply or ())

    def _hand_over(self, entries: list[tuple[str, dict[str, str] | None]]) -> None:
        records = [_record(entry, fields) for entry, fields in entries]
        if records:
            self._deliver(records)


def _record(entry: str, fields: dict[str, str] | None) -> Record:
    """Read an entry; one that cannot be read is passed on without its fact, to be counted and acknowledged."""
    try:
        return Record(entry, read_record((fields or {}).get("r", "")))
    except BadRecord as error:
        found = _ID.search((fields or {}).get("r", ""))
        logger.warning("command record %s cannot be read: %s", entry, error, extra={"command": found[1]} if found else None)
        return Record(entry, None)


def _group_is_gone(error: redis.RedisError) -> bool:
    """Tell whether Valkey has lost its data: the group is then simply made again."""
    return str(error).startswith("NOGROUP")
