"""The bridge's loop: take what waits, write it, tell of it, acknowledge it; and find the way back from every outage.

    standing by ──lock──▶ in office: source closed ──connected──▶ source open ──▶ batch after batch
         ▲                        ▲                                   │
         └── overtaken ───────────┴──── connection to the broker lost ┘       PostgreSQL lost: stay, reconnect, go on

In office means holding the advisory lock on the database session that writes. Whoever loses that session must win the lock again,
and find that nobody wrote meanwhile, before it goes on; else it closes everything and stands by.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from django.conf import settings
from django.db import Error as DjangoError
from django.db import InterfaceError, OperationalError, connection

from iotportal.hooks import Hook
from messaging import hooks, metrics
from messaging.bridge.aftermath import Aftermath
from messaging.bridge.commands import CommandReader
from messaging.bridge.database import CommitUnknown, Database, DatabaseAway, PartitionMissing, Poison
from messaging.bridge.directory import Directory
from messaging.bridge.inbox import Batch, Inbox
from messaging.bridge.journal import Journal, Overtaken
from messaging.bridge.source import Source, SourceLost
from messaging.bridge.writer import Care, Uncommitted, Writer, Written, utc_now
from messaging.partitions import make_partitions

if TYPE_CHECKING:
    from messaging.bridge.tracing import Traces

logger = logging.getLogger(__name__)

STANDBY_S = 1.0  # how often the lock is tried for
RETRY_S = (0.05, 0.1, 0.25, 0.5, 1.0)
GRACE_S = 3.0  # how long PostgreSQL may take to notice that our old session is gone
IDLE_S = 0.5
FIRST_IDLE_S = 0.05
CAUGHT_UP_S = 5.0  # at the latest then, what had waited for us is taken as written
BUSY_PER_S = 200.0
TICK_S = 1.0
WATCH_S = 5.0  # how often it is entered that everything was heard so far
REPORT_S = 60.0
MAKE_PARTITIONS_S = 10.0

Result = TypeVar("Result")
Told = TypeVar("Told", hooks.NotificationRequest, hooks.DeviceMessage, hooks.FailedCommand)


class _Stopping(Exception):
    """The bridge is told to stop."""


class Bridge:
    """One bridge; `start` and `stop` from any thread, everything else in its own."""

    def __init__(self, source: Source, journal: Journal | None = None, *, database: Database | None = None) -> None:
        self._source = source
        self._inbox = Inbox()
        self._database = database or Database()
        self._writer = Writer(self._database, journal or Journal(source.session), Directory())
        self._aftermath = Aftermath(settings.VALKEY_URL)
        self._reader = CommandReader(settings.VALKEY_URL, self._inbox.put_records)
        self._traces = _make_traces()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.serving = threading.Event()  # in office, with the source open
        self._lost_link = 0
        self._link = 0
        self._caught_up = False
        self._opened = self._watched = self._ticked = self._reported = self._partitions_made = 0.0
        self._rate = 0.0
        self._since_report = Written()

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread = threading.Thread(target=self.run, name="bridge", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> bool:
        """Finish the batch under way, acknowledge it, and leave the rest to the broker; False if that takes too long."""
        self._stop.set()
        self._inbox.wake()
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def lives(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def run(self) -> None:
        """Work until told to stop."""
        while not self._stop.is_set():
            overtaken = False
            try:
                self._take_office()
                self._serve()
            except _Stopping:
                pass
            except Overtaken as reason:
                overtaken = True
                logger.warning("the bridge steps back: %s", reason)
            except Exception:
                logger.exception("the bridge failed and begins again")
                self._stop.wait(RETRY_S[-1])
            finally:
                self._leave_office(overtaken=overtaken)
        if self._traces is not None:
            self._traces.close()

    # --- office ----------------------------------------------------------------------------------------------------------

    def _take_office(self) -> None:
        """Wait for the lock and take the journal over."""
        announced, failures = False, 0
        while True:
            try:
                self._database.connect()
                while not self._database.take_lock():
                    if not announced:
                        logger.info("standing by: another bridge is writing")
                        announced = True
                    self._pause(STANDBY_S)
                self._writer.claim()
            except (DatabaseAway, CommitUnknown) as error:
                self._complain("PostgreSQL is away", error, failures)
                self._back_off(failures)
                failures += 1
            else:
                break
        logger.info("the bridge is in office")
        self._inbox.open()
        self._reader.start()

    def _leave_office(self, *, overtaken: bool) -> None:
        was_serving = self.serving.is_set()
        self.serving.clear()
        self._inbox.close()
        self._reader.stop()
        self._source.close()
        self._aftermath.end(alive=was_serving and not overtaken)
        self._database.close()
        connection.close()

    def _serve(self) -> None:
        failures = 0
        while True:
            try:
                self._open_source()
                failures = 0
                while True:
                    self._turn()
            except SourceLost as error:
                self.serving.clear()
                self._complain("no connection to the broker", error, failures)
                self._inbox.clear()  # first, so that its thread does not wait for room
                self._source.close()
                self._inbox.clear()
                if not failures:
                    self._insist(self._writer.lose_watch)
                self._back_off(failures)
                failures += 1

    def _open_source(self) -> None:
        """Connect to the broker, having made sure that we are still in office: its connection is not ours to take otherwise."""
        self._insist(self._database.ping)
        self._link += 1
        resumed = self._source.connect(self._inbox.put, partial(self._on_lost, self._link))
        if not resumed:
            logger.info("the broker has begun a new session")
            self._aftermath.publish(self._insist(self._writer.begin_session))
        else:
            self._insist(self._writer.resume_watch)
        self._source.begin()
        self._aftermath.in_step = False
        self._caught_up = False
        self._watched = 0.0
        self._opened = time.monotonic()
        self.serving.set()
        logger.info("the bridge is connected to the broker")

    def _on_lost(self, link: int) -> None:
        self._lost_link = link
        self._inbox.wake()

    # --- work ------------------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Take and write one batch, or look after the house."""
        if self._stop.is_set():
            raise _Stopping
        if self._lost_link == self._link:
            raise SourceLost("the connection broke")
        began = time.monotonic()
        batch = self._inbox.take(IDLE_S if self._caught_up else FIRST_IDLE_S, busy=self._rate > BUSY_PER_S)
        if batch:
            self._write(batch)
        now = time.monotonic()
        self._rate += 0.2 * (len(batch.messages) / max(now - began, 1e-4) - self._rate)
        if not self._caught_up and (not batch or now - self._opened >= CAUGHT_UP_S):
            self._caught_up = True
            self._ticked = 0.0
        if now - self._ticked >= TICK_S:
            self._ticked = now
            self._tick(now, idle=not batch)

    def _tick(self, now: float, *, idle: bool) -> None:
        """Do what has to be done once a second."""
        if idle:
            self._insist(self._database.ping)
        self._insist(partial(self._writer.write_heard, utc_now()))
        if self._caught_up:
            if now - self._watched >= WATCH_S:
                self._watched = now
                self._insist(self._writer.move_watch)
            if not self._aftermath.in_step:
                self._aftermath.write_presence(self._insist(self._writer.presence))
            self._aftermath.live()
        if overflowed := self._inbox.overflowed:
            self._inbox.overflowed -= overflowed
            self._aftermath.count("dropped", overflowed)
        if now - self._reported >= REPORT_S and self._since_report.received:
            self._report(now)

    def _report(self, now: float) -> None:
        total = self._since_report
        logger.info(
            "bridge: %d messages received, %d written, %d commands, %d duplicates, %d malformed, %d dropped",
            total.received, total.rows, total.commands, total.duplicates, total.malformed, total.dropped,
        )  # fmt: skip
        self._since_report = Written()
        self._reported = now

    def _write(self, batch: Batch) -> None:
        """Write a batch; what the database refuses is halved until it stands alone, and then written with less and less."""
        todo = deque([(batch, Care.FULL)])
        while todo:
            part, care = todo.popleft()
            try:
                written = self._commit(part, care)
            except Poison as poison:
                if care is Care.NONE:
                    logger.critical("%s cannot even be entered into the journal; it is dropped", _name(part), extra=_about(part))
                    self._aftermath.count("dropped", 1)
                    self._source.ack(part.messages)
                elif len(part) > 1:
                    todo.extendleft((half, care) for half in reversed(part.halves()))
                else:
                    logger.error("the database refuses %s (%s)", _name(part), poison, extra=_about(part))
                    todo.appendleft((part, Care.PLAIN if care is Care.FULL else Care.NONE))
                continue
            self._finish(part, written)

    def _commit(self, batch: Batch, care: Care) -> Written:
        """Write a batch once, whatever happens to PostgreSQL meanwhile. Raises Poison."""
        failures = 0
        while True:
            try:
                return self._writer.write(batch, care)
            except Uncommitted as unknown:
                self._regain(failures)
                if self._writer.was_committed(unknown.written):
                    self._writer.committed(unknown.written)
                    return unknown.written
            except PartitionMissing as error:
                if not self._make_partitions():
                    raise Poison("no partition for its time") from error
            except Overtaken:
                raise
            except DatabaseAway as error:
                self._complain("PostgreSQL is away", error, failures)
                self._regain(failures)
            failures += 1

    def _finish(self, batch: Batch, written: Written) -> None:
        """Tell of a committed batch, then acknowledge it."""
        self._aftermath.follow(written, [record.entry for record in batch.records])
        if written.notifications:
            self._tell(hooks.notifications_requested, written.notifications)
        if written.failed:
            self._tell(hooks.commands_failed, written.failed)
        if written.said:
            self._tell(hooks.devices_spoke, written.said)
        self._source.ack(batch.messages)
        metrics.batch_written(batch, written)
        if self._traces is not None and batch.records:
            self._traces.written(batch.records)
        total = self._since_report
        for name in ("received", "rows", "commands", "duplicates", "malformed", "dropped"):
            setattr(total, name, getattr(total, name) + getattr(written, name))

    def _tell(self, hook: Hook[Sequence[Told]], subjects: Sequence[Told]) -> None:
        """Tell of all that a batch brought; should that fail, of one after the other, so that one keeps nobody else from theirs.

        Django's connection stays open between batches; one that PostgreSQL has closed meanwhile is found so, and made anew.
        """
        try:
            hook(subjects)
        except Exception as error:
            connection.close()
            if len(subjects) > 1 or isinstance(error, (InterfaceError, OperationalError)):
                self._tell_singly(hook, subjects)
            else:
                logger.exception("a handler of message %s failed", subjects[0].message_id)

    def _tell_singly(self, hook: Hook[Sequence[Told]], subjects: Sequence[Told]) -> None:
        for subject in subjects:
            try:
                hook([subject])
            except Exception:
                logger.exception("a handler of message %s failed", subject.message_id)
                connection.close()  # should it be why

    def _make_partitions(self) -> bool:
        """Make missing partitions; False if that was done a moment ago and cannot help."""
        if time.monotonic() - self._partitions_made < MAKE_PARTITIONS_S and self._partitions_made:
            return False
        self._partitions_made = time.monotonic()
        try:
            made = make_partitions(settings.PARTITION_MONTHS_AHEAD)
        except DjangoError as error:
            self._partitions_made = 0.0
            self._complain("cannot make partitions", error, 0)
            self._pause(RETRY_S[-1])
            return True
        finally:
            connection.close()
        logger.warning("the history had no partition for this month; made %s", ", ".join(made) or "none")
        return bool(made)

    # --- outages ---------------------------------------------------------------------------------------------------------

    def _insist(self, operation: Callable[[], Result]) -> Result:
        """Do something that can be done twice, however often PostgreSQL goes away."""
        failures = 0
        while True:
            try:
                return operation()
            except Overtaken:
                raise
            except (DatabaseAway, CommitUnknown) as error:
                self._complain("PostgreSQL is away", error, failures)
                self._regain(failures)
                failures += 1

    def _regain(self, failures: int) -> None:
        """Come back to a usable session with the lock.

        Raises:
            Overtaken: another bridge has it, or had it.
        """
        self._back_off(failures)
        try:
            self._database.ping()
        except (DatabaseAway, CommitUnknown):
            pass
        else:
            return
        seen_alive = 0.0
        attempt = 0
        while True:
            try:
                self._database.connect()
                seen_alive = seen_alive or time.monotonic()
                while not self._database.take_lock():
                    if time.monotonic() - seen_alive > GRACE_S:
                        raise Overtaken("another bridge has taken the lock")
                    self._pause(RETRY_S[1])
                if not self._writer.claim():
                    raise Overtaken("another bridge has written meanwhile")
            except Overtaken:
                raise
            except (DatabaseAway, CommitUnknown):
                self._back_off(attempt)
                attempt += 1
            else:
                logger.info("PostgreSQL is back")
                return

    def _complain(self, what: str, error: Exception, failures: int) -> None:
        if failures in {0, 30}:
            logger.warning("%s (%s), trying again", what, error)

    def _back_off(self, failures: int) -> None:
        self._pause(RETRY_S[min(failures, len(RETRY_S) - 1)] * random.uniform(0.8, 1.2))  # noqa: S311

    def _pause(self, seconds: float) -> None:
        """Wait. Raises _Stopping when told to stop."""
        if self._stop.wait(seconds):
            raise _Stopping


def _make_traces() -> Traces | None:
    """Return what traces commands, where a collector is named; else nothing of OpenTelemetry is loaded."""
    if not settings.TRACES:
        return None
    from messaging.bridge.tracing import Traces

    return Traces()


def _about(batch: Batch) -> dict[str, str]:
    """Return the fields of a log line about the one entry of a batch."""
    fact = batch.records[0].fact if batch.records else None
    return {} if fact is None else {"command": fact.id.hex, "device": fact.device.hex}


def _name(batch: Batch) -> str:
    """Name the one entry of a batch for the log."""
    if batch.messages:
        return f"message {batch.messages[0].id}"
    return f"command record {batch.records[0].entry}"
