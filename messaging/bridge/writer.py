"""A batch into the tables: history, commands, presence, readings, pins and the journal, in one transaction."""

from __future__ import annotations

import io
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any
from uuid import UUID

from django.conf import settings
from psycopg2.extras import execute_values

from iotportal.uuid7 import time_of
from messaging import events
from messaging.bridge import sql
from messaging.bridge.database import CommitUnknown, Cursor, Database
from messaging.bridge.directory import Directory, KnownDevice
from messaging.bridge.inbox import Batch
from messaging.bridge.journal import Journal, Move
from messaging.bridge.meaning import (
    CommandFact,
    LateFact,
    LinkFact,
    Place,
    ReadingFact,
    Said,
    as_text,
    pin_number,
    read_link,
    read_topic,
    understand,
)
from messaging.bridge.source import Incoming
from messaging.hooks import NotificationRequest
from messaging.models import Direction
from messaging.protocol import topics

logger = logging.getLogger(__name__)

SEEN_EVERY = timedelta(seconds=1)  # how fine `last_seen_at` is kept: one update a second for a device that never stops talking
MAX_REMEMBERED = 50_000
COPY_FROM = 100  # rows; below, an INSERT that travels with the other statements is faster: one trip in place of three


class Care(Enum):
    """How much is done with a batch."""

    FULL = auto()
    PLAIN = auto()  # the history rows alone, their text in ASCII: for what the database refused
    NONE = auto()  # only the journal, for what it refused even so


@dataclass(slots=True)
class Written:
    """What a batch came to; complete before its commit, true after it."""

    move: Move = field(default_factory=lambda: Move(0, 0))
    outbox: events.Outbox = field(default_factory=events.Outbox)
    notifications: list[NotificationRequest] = field(default_factory=list)
    links: dict[UUID, bool] = field(default_factory=dict)  # devices that came (True) or went
    seen: dict[UUID, datetime] = field(default_factory=dict)
    pins: list[tuple[UUID, int]] = field(default_factory=list)
    received: int = 0
    rows: int = 0
    commands: int = 0
    duplicates: int = 0
    malformed: int = 0
    dropped: int = 0


@dataclass(slots=True)
class _Status:
    """What a batch says about whether a device answers."""

    running: bool | None = None
    asked_at: datetime | None = None
    answered_ms: float | None = None


@dataclass(slots=True)
class _Work:
    """A batch while it is taken apart."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    readings: dict[tuple[UUID, str], ReadingFact] = field(default_factory=dict)
    links: dict[UUID, LinkFact] = field(default_factory=dict)
    seen: dict[UUID, datetime] = field(default_factory=dict)
    statuses: dict[UUID, _Status] = field(default_factory=dict)

    def reading(self, device: UUID, fact: ReadingFact) -> None:
        known = self.readings.get((device, fact.key))
        self.readings[device, fact.key] = fact if known is None else known.merged(fact)

    def link(self, device: UUID, fact: LinkFact) -> None:
        known = self.links.get(device)
        self.links[device] = fact if known is None else known.followed_by(fact)

    def status(self, device: UUID) -> _Status:
        return self.statuses.setdefault(device, _Status())


class Writer:
    """Writes batches; used from one thread, with the lock held."""

    def __init__(self, database: Database, journal: Journal, directory: Directory) -> None:
        self._database = database
        self._journal = journal
        self._directory = directory
        self._pins: OrderedDict[tuple[UUID, int], None] = OrderedDict()  # those that surely have a row
        self._seen: OrderedDict[UUID, datetime] = OrderedDict()  # what `last_seen_at` says
        self._unsaid: dict[UUID, datetime] = {}  # newer than that, not yet written
        self._answered: OrderedDict[UUID, datetime] = OrderedDict()  # the last answer to get_status

    # --- transactions ----------------------------------------------------------------------------------------------------

    def claim(self) -> bool:
        """Take the journal over; False when another bridge wrote since our last claim. Raises DatabaseAway."""
        with self._database.transaction() as cursor:
            ours = self._journal.claim(cursor)
        if not ours:
            self._seen.clear()
            self._unsaid.clear()
        return ours

    def begin_session(self) -> events.Outbox:
        """Forget what a new broker session makes void: its journal, and who was connected; returns what pages should know.

        Raises DatabaseAway.
        """
        outbox = events.Outbox()
        with self._database.transaction() as cursor:
            self._journal.forget(cursor)
            cursor.execute(sql.DISCONNECT_ALL)
            self._tell_presence(cursor, [row[0] for row in cursor.fetchall()], outbox)
        return outbox

    def presence(self) -> dict[str, bool]:
        """Return whether each device, by hex id, is connected. Raises DatabaseAway."""
        with self._database.transaction() as cursor:
            cursor.execute(sql.ALL_PRESENCE)
            return {row[0].hex: row[1] for row in cursor}

    def write(self, batch: Batch, care: Care = Care.FULL) -> Written:
        """Write a batch in one transaction.

        Raises:
            DatabaseAway, Poison, PartitionMissing: nothing was written.
            Uncommitted: the connection broke during COMMIT; it carries what is written if it did commit.
        """
        written = Written(received=len(batch.messages))
        try:
            with self._database.transaction() as cursor:
                self._write(cursor, batch, care, written)
        except CommitUnknown as error:
            self._database.close()  # only a new session, with the lock won again, can tell
            raise Uncommitted(written) from error
        self.committed(written)
        return written

    def was_committed(self, written: Written) -> bool:
        """Say, on a new connection after `claim` said that nobody else wrote, whether that batch is in."""
        return self._journal.is_at(written.move)

    def committed(self, written: Written) -> None:
        """Take note of a commit."""
        self._journal.moved(written.move)
        for pin in written.pins:
            _remember(self._pins, pin, None)
        for device, at in written.seen.items():
            _remember(self._seen, device, at)
            if self._unsaid.get(device, at) <= at:
                self._unsaid.pop(device, None)

    def write_seen(self, now: datetime) -> None:
        """Write the `last_seen_at` that were put off. Raises DatabaseAway."""
        due = {device: at for device, at in self._unsaid.items() if now - at >= SEEN_EVERY}
        if not due:
            return
        with self._database.transaction() as cursor:
            cursor.execute(_status(cursor, due, {}))
        for device, at in due.items():
            _remember(self._seen, device, at)
            del self._unsaid[device]

    # --- one batch -------------------------------------------------------------------------------------------------------

    def _write(self, cursor: Cursor, batch: Batch, care: Care, written: Written) -> None:
        known = self._journal.known(cursor, batch.messages)
        fresh = [message for message in batch.messages if message.delivery not in known or not message.redelivered]
        work = _Work()
        statements: list[bytes] = []
        if care is not Care.NONE:
            new = self._write_commands(cursor, batch, written)
            self._take_apart(cursor, batch.messages, care, known, work, written)
            if care is Care.FULL:
                self._take_commands(cursor, new, work)
            written.rows += len(work.rows)
            self._write_messages(cursor, work.rows, statements)
            self._write_presence(cursor, work, written, statements)
            self._write_readings(cursor, work, written)
        else:
            written.dropped += len(fresh) + len(batch.records)
        written.duplicates += len(batch.messages) - len(fresh)
        written.move = self._journal.record(cursor, fresh, statements)

    def _take_apart(
        self, cursor: Cursor, messages: list[Incoming], care: Care, known: dict[int, UUID | None], work: _Work, written: Written
    ) -> None:
        """Turn messages into rows and facts."""
        places = [(message, read_topic(message.topic)) for message in messages]
        device_of = self._directory.devices(cursor, {place.device for _, place in places if place is not None})
        for message, place in places:
            again = message.redelivered and message.delivery in known
            if place is None:
                if not again:
                    self._take_link(message, work, written)
                continue
            device = device_of(place.device)
            if device is None:
                self._drop(message, place, written)
            elif again:
                self._remind(message, place, device, known[message.delivery], written)
            else:
                self._take_message(message, place, device, care, work, written)

    def _take_link(self, message: Incoming, work: _Work, written: Written) -> None:
        """Take a message that is no device's: the broker's about a connection, or something to drop."""
        device_id = topics.parse_connection(message.topic)
        fact = read_link(message.payload, time_of(message.id)) if device_id else None
        if device_id is None or fact is None:
            written.dropped += 1
            logger.warning("dropped a message on a topic that is not the protocol's: %.80r", message.topic)
            return
        work.link(UUID(device_id), fact)

    def _drop(self, message: Incoming, place: Place, written: Written) -> None:
        written.dropped += 1
        logger.info("dropped message %s of unknown or deleted device %s", message.id, place.device.hex)

    def _remind(self, message: Incoming, place: Place, device: KnownDevice, row: UUID | None, written: Written) -> None:
        """Tell of a notification again whose message is in the history: we may have died before we told of it."""
        if place.direction is Direction.FROM and row is not None:
            said = self._understand(message, place, device)
            self._notify(row, device, said, written)

    def _understand(self, message: Incoming, place: Place, device: KnownDevice) -> Said:
        """Read what a device said; whatever goes wrong with it, its history row is written."""
        try:
            return understand(device.profile, place, message.payload, time_of(message.id), settings.MAX_PAYLOAD_BYTES)
        except Exception:
            logger.exception("message %s of device %s could not be read", message.id, device.id.hex)
            return Said(malformed=True)

    def _take_message(
        self, message: Incoming, place: Place, device: KnownDevice, care: Care, work: _Work, written: Written
    ) -> None:
        at = time_of(message.id)
        text = as_text(message.payload, settings.MAX_PAYLOAD_BYTES)
        payload = text.payload
        said = Said(malformed=not place.proper or not text.intact)
        if care is Care.PLAIN:
            payload = payload.encode("ascii", "backslashreplace").decode("ascii")
            said = Said(malformed=True)
        elif place.direction is Direction.FROM:
            said = self._understand(message, place, device)
            self._take_facts(device, said, at, work)
            self._notify(message.id, device, said, written)
        malformed = said.malformed or not text.intact
        written.malformed += malformed
        who = (device.account_id, device.id, str(place.direction), place.api)
        work.rows.append((message.id, at, *who, payload, text.raw, text.size_bytes, malformed))
        event = events.message_event(
            id=message.id,
            time=at,
            device_id=device.id,
            direction=str(place.direction),
            api=place.api,
            payload=payload,
            malformed=malformed,
        )
        written.outbox.add(device.account_id, device.id, event)

    def _take_facts(self, device: KnownDevice, said: Said, at: datetime, work: _Work) -> None:
        if said.alive:
            self._unsaid[device.id] = at
            written_at = self._seen.get(device.id)
            if written_at is None or at - written_at >= SEEN_EVERY:
                work.seen[device.id] = at
        if said.running:
            work.status(device.id).running = True
            _remember(self._answered, device.id, at)
        if said.reading is not None:
            work.reading(device.id, said.reading)

    def _notify(self, row: UUID, device: KnownDevice, said: Said, written: Written) -> None:
        if said.notification is not None:
            recipient, text = said.notification
            request = NotificationRequest(row, time_of(row), device.account_id, device.id, recipient, text)
            written.notifications.append(request)

    def _take_commands(self, cursor: Cursor, facts: list[CommandFact], work: _Work) -> None:
        device_of = self._directory.devices(cursor, {fact.device for fact in facts})
        for fact in facts:
            self._take_command(fact, device_of(fact.device), work)

    def _take_command(self, fact: CommandFact, device: KnownDevice | None, work: _Work) -> None:
        """Take what a finished command says about its device."""
        if device is None:
            return
        if fact.running is not None:
            status = work.status(device.id)
            answered = self._answered.get(device.id)
            if fact.running or answered is None or answered <= fact.ended:
                status.running = fact.running  # else it has answered since, and we only read of the silence before now
            status.asked_at = fact.time if status.asked_at is None else max(status.asked_at, fact.time)
            if fact.answered_ms is not None:
                status.answered_ms = fact.answered_ms
        reading = fact.reading(device.profile)
        if reading is not None:
            work.reading(device.id, reading)

    # --- tables ----------------------------------------------------------------------------------------------------------

    def _write_messages(self, cursor: Cursor, rows: list[tuple[Any, ...]], statements: list[bytes]) -> None:
        if len(rows) >= COPY_FROM:
            cursor.copy_expert(sql.COPY_MESSAGES, io.StringIO("".join(map(_copy_line, rows))))
        elif rows:
            statements.append(sql.INSERT_MESSAGES + b",".join(cursor.mogrify(sql.MESSAGE_TEMPLATE, row) for row in rows))

    def _write_commands(self, cursor: Cursor, batch: Batch, written: Written) -> list[CommandFact]:
        """Insert finished commands and enter late answers; return the commands that were not there before."""
        facts = [record.fact for record in batch.records]
        written.dropped += facts.count(None)
        told: list[tuple[Any, ...]] = []
        commands = {fact.id: fact for fact in facts if isinstance(fact, CommandFact)}
        if commands:
            values = [_command_row(fact) for fact in commands.values()]
            told += execute_values(cursor, sql.INSERT_COMMANDS, values, page_size=len(values), fetch=True)
        for late in facts:
            if isinstance(late, LateFact):
                cursor.execute(sql.ENTER_LATE, [late.late_ms, late.id, late.time])
                told += cursor.fetchall()
        written.commands += len(told)
        if told:
            self._tell_commands(cursor, told, written.outbox)
        return [commands[row[0]] for row in told if row[0] in commands and row[-1] is None]

    def _tell_commands(self, cursor: Cursor, rows: Iterable[tuple[Any, ...]], outbox: events.Outbox) -> None:
        commands = [dict(zip(sql.COMMAND_COLUMNS, row, strict=True)) for row in rows]
        name_of = self._directory.users(cursor, [row["user_id"] for row in commands if row["user_id"] is not None])
        for row in commands:
            account_id, user_id = row.pop("account_id"), row.pop("user_id")
            user = None if user_id is None else name_of(user_id)
            outbox.add(account_id, row["device_id"], events.command_event(**row, user=user))

    def _write_presence(self, cursor: Cursor, work: _Work, written: Written, statements: list[bytes]) -> None:
        changed: set[UUID] = set(work.statuses)
        if work.links:
            rows = [
                (key, one.connected, one.connected_at, one.disconnected_at, one.reason, one.address, one.protocol, one.tls)
                for key, one in sorted(work.links.items())
            ]
            found = execute_values(cursor, sql.UPSERT_LINKS, rows, template=sql.LINK_TEMPLATE, page_size=len(rows), fetch=True)
            written.links = dict(found)
            changed |= set(written.links)
        if work.seen or work.statuses:
            statement = _status(cursor, work.seen, work.statuses)
            written.seen = work.seen
            if work.statuses:
                cursor.execute(statement)
            else:
                statements.append(statement)
        self._tell_presence(cursor, changed, written.outbox)

    def _tell_presence(self, cursor: Cursor, devices: Iterable[UUID], outbox: events.Outbox) -> None:
        wanted = list(devices)
        if not wanted:
            return
        cursor.execute(sql.READ_PRESENCE, [wanted])
        for account_id, *values in cursor:
            row = dict(zip(sql.PRESENCE_COLUMNS, values, strict=True))
            outbox.add(account_id, row["device_id"], events.presence_event(**row))

    def _write_readings(self, cursor: Cursor, work: _Work, written: Written) -> None:
        if not work.readings:
            return
        rows = [
            (device, key, json.dumps(fact.value), fact.at, fact.elapsed_ms)
            for (device, key), fact in sorted(work.readings.items(), key=lambda item: item[0])
        ]
        changed = execute_values(
            cursor, sql.UPSERT_READINGS, rows, template=sql.READING_TEMPLATE, page_size=len(rows), fetch=True
        )
        for account_id, device_id, key, value, at, elapsed_ms in changed:
            event = events.reading_event(device_id=device_id, key=key, value=value, at=at, elapsed_ms=elapsed_ms)
            written.outbox.add(account_id, device_id, event)
        self._make_pins(cursor, work.readings, written)

    def _make_pins(self, cursor: Cursor, readings: Iterable[tuple[UUID, str]], written: Written) -> None:
        """Let pins that are used for the first time appear."""
        pins = {(device, number) for device, key in readings if (number := pin_number(key)) is not None}
        new = sorted(pin for pin in pins if pin not in self._pins)
        if new:
            execute_values(cursor, sql.INSERT_PINS, new, template="(%s::uuid, %s::int)", page_size=len(new))
            written.pins = new


class Uncommitted(CommitUnknown):
    """It is not known whether `written` is in the database."""

    def __init__(self, written: Written) -> None:
        super().__init__("the connection broke during COMMIT")
        self.written = written


def _status(cursor: Cursor, seen: dict[UUID, datetime], statuses: dict[UUID, _Status]) -> bytes:
    """Return the statement that enters when devices were heard and whether they answered."""
    devices = sorted(seen.keys() | statuses.keys())
    none = _Status()
    ordered = [statuses.get(key, none) for key in devices]
    columns = (
        [seen.get(key) for key in devices],
        [one.running for one in ordered],
        [one.asked_at for one in ordered],
        [one.answered_ms for one in ordered],
    )
    return cursor.mogrify(sql.UPDATE_STATUS, [devices, *columns])


def _command_row(fact: CommandFact) -> tuple[Any, ...]:
    return (
        fact.id, fact.time, fact.account, fact.device, fact.user_id, fact.api, fact.payload, str(fact.outcome), fact.answer,
        fact.attempts, fact.timeout_s, fact.sent_ms, fact.broker_ms, fact.answered_ms, fact.delivered_ms,
    )  # fmt: skip


# COPY's text format (PostgreSQL, "COPY", section "Text Format").
_COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _copy_line(row: tuple[Any, ...]) -> str:
    key, at, account, device, direction, api, payload, raw, size, malformed = row
    escaped = "\\N" if raw is None else "\\\\x" + raw.hex()
    return (
        f"{key}\t{at.isoformat()}\t{account}\t{device}\t{direction}\t{api.translate(_COPY_ESCAPES)}\t"
        f"{payload.translate(_COPY_ESCAPES)}\t{escaped}\t{size}\t{'t' if malformed else 'f'}\n"
    )


def _remember(memory: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > MAX_REMEMBERED:
        memory.popitem(last=False)


def utc_now() -> datetime:
    """Return the moment."""
    return datetime.fromtimestamp(time.time(), UTC)
