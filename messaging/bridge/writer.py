"""A batch into the tables: history, commands, presence, readings, pins and the journal, in one transaction."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any
from uuid import UUID

from django.conf import settings

from iotportal.uuid7 import time_of
from messaging import events
from messaging.bridge import tables
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
    RefusalFact,
    Said,
    as_text,
    read_link,
    read_refusal,
    read_topic,
    understand,
)
from messaging.bridge.source import Incoming
from messaging.bridge.tables import Answered, Heard, Status
from messaging.hooks import DeviceMessage, FailedCommand, NotificationRequest
from messaging.models import Direction, Outcome
from messaging.protocol import topics

logger = logging.getLogger(__name__)

HEARD_EVERY = timedelta(seconds=1)  # how fine "last message" is kept: one update a second for a device that never stops talking
RECENTLY = timedelta(minutes=1)
CLOCK_STEP_S = 5.0  # a wall clock that moves by so much against the monotonic one was set
MAX_REMEMBERED = 50_000

_FAILURES = {Outcome.TIMEOUT, Outcome.MALFORMED, Outcome.DEVICE_ERROR}


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
    failed: list[FailedCommand] = field(default_factory=list)
    said: list[DeviceMessage] = field(default_factory=list)  # by devices, and could be read
    links: dict[UUID, bool] = field(default_factory=dict)  # devices that came (True) or went
    heard: dict[UUID, Heard] = field(default_factory=dict)
    pins: list[tuple[UUID, int]] = field(default_factory=list)
    received: int = 0
    rows: int = 0
    commands: int = 0
    duplicates: int = 0
    malformed: int = 0
    dropped: int = 0


@dataclass(slots=True)
class _Work:
    """A batch while it is taken apart."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    readings: dict[tuple[UUID, str], ReadingFact] = field(default_factory=dict)
    links: dict[UUID, list[LinkFact]] = field(default_factory=dict)
    refusals: dict[UUID, RefusalFact] = field(default_factory=dict)
    heard: dict[UUID, Heard] = field(default_factory=dict)
    statuses: dict[UUID, Status] = field(default_factory=dict)

    def reading(self, device: UUID, fact: ReadingFact) -> None:
        known = self.readings.get((device, fact.key))
        self.readings[device, fact.key] = fact if known is None else known.merged(fact)

    def hear(self, device: UUID, sign: Heard) -> None:
        known = self.heard.get(device)
        self.heard[device] = sign if known is None else known.followed_by(sign)

    def status(self, device: UUID) -> Status:
        return self.statuses.setdefault(device, Status())


class Writer:
    """Writes batches; used from one thread, with the lock held."""

    def __init__(self, database: Database, journal: Journal, directory: Directory) -> None:
        self._database = database
        self._journal = journal
        self._directory = directory
        self._pins: OrderedDict[tuple[UUID, int], None] = OrderedDict()  # those that surely have a row
        self._heard: OrderedDict[UUID, datetime] = OrderedDict()  # what is written of when a device was heard
        self._unsaid: dict[UUID, Heard] = {}  # newer than that, not yet written
        self._watch = 0
        self._clocks = (0.0, 0.0)  # wall and monotonic, when the watch was last moved on
        self._answered: OrderedDict[UUID, datetime] = OrderedDict()  # the last answer to get_status
        self._limit = settings.MAX_PAYLOAD_BYTES  # looked up once a batch: Django's settings are slow to ask for each message

    # --- transactions ----------------------------------------------------------------------------------------------------

    def claim(self) -> bool:
        """Take the journal over; False when another bridge wrote since our last claim. Raises DatabaseAway."""
        with self._database.transaction() as cursor:
            ours = self._journal.claim(cursor)
        if not ours:
            self._heard.clear()
            self._unsaid.clear()
        return ours

    def begin_session(self) -> events.Outbox:
        """Forget what a new broker session makes void: its journal, and who was connected; returns what pages should know.

        What happened since the watch before was last moved on is not known. Raises DatabaseAway.
        """
        outbox, now = events.Outbox(), utc_now()
        with self._database.transaction() as cursor:
            self._journal.forget(cursor)
            tables.tell_presence(cursor, tables.disconnect_all(cursor, now), outbox)
            watch = tables.begin_watch(cursor, now)
        self._note_watch(watch)
        return outbox

    def resume_watch(self) -> None:
        """Go on with the last watch: the broker has kept for us whoever came and went meanwhile. Raises DatabaseAway."""
        with self._database.transaction() as cursor:
            last = tables.last_watch(cursor)
            watch = last[0] if last else tables.begin_watch(cursor, utc_now())
        self._note_watch(watch)

    def move_watch(self) -> None:
        """Enter that everything until now was heard; begin a new watch where the wall clock was set. Raises DatabaseAway."""
        now, (wall, monotonic) = utc_now(), self._clocks
        stepped = abs(now.timestamp() - wall - (time.monotonic() - monotonic)) > CLOCK_STEP_S
        with self._database.transaction() as cursor:
            watch = self._watch
            if stepped or not tables.extend_watch(cursor, watch, now):
                watch = tables.begin_watch(cursor, now)
        if watch != self._watch:
            logger.warning("the clock was set: presence is watched anew from %s on", now.isoformat(timespec="seconds"))
        self._note_watch(watch)

    def lose_watch(self) -> None:
        """Enter that the broker is not heard, until the watch is moved on or a new one begins. Raises DatabaseAway."""
        if self._watch:
            with self._database.transaction() as cursor:
                tables.lose_watch(cursor, self._watch)

    def _note_watch(self, watch: int) -> None:
        self._watch = watch
        self._clocks = (time.time(), time.monotonic())

    def presence(self) -> dict[str, bool]:
        """Return whether each device, by hex id, is connected. Raises DatabaseAway."""
        with self._database.transaction() as cursor:
            return tables.all_presence(cursor)

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
        self._wrote(written.heard)

    def _wrote(self, heard: Mapping[UUID, Heard]) -> None:
        for device, sign in heard.items():
            if sign.at is not None:
                _remember(self._heard, device, sign.at)
            if self._unsaid.get(device) == sign:
                del self._unsaid[device]

    def write_heard(self, now: datetime) -> None:
        """Write when devices were heard that was put off. Raises DatabaseAway."""
        due = {device: sign for device, sign in self._unsaid.items() if sign.at and abs(now - sign.at) >= HEARD_EVERY}
        if not due:
            return
        with self._database.transaction() as cursor:
            cursor.execute(tables.status(cursor, due, {}))
        self._wrote(due)

    # --- one batch -------------------------------------------------------------------------------------------------------

    def _write(self, cursor: Cursor, batch: Batch, care: Care, written: Written) -> None:
        self._limit = settings.MAX_PAYLOAD_BYTES
        known = self._journal.known(cursor, batch.messages)
        fresh = [message for message in batch.messages if message.delivery not in known or not message.redelivered]
        work = _Work()
        statements: list[bytes] = []
        if care is not Care.NONE:
            new = self._write_commands(cursor, batch, written)
            self._take_apart(cursor, self._journal.resolve(cursor, batch.messages), care, known, work, written)
            if care is Care.FULL:
                self._take_commands(cursor, new, work)
            written.failed.extend(_failed(fact) for fact in new if fact.outcome in _FAILURES)
            written.rows += len(work.rows)
            statements += tables.messages(cursor, work.rows)
            self._write_presence(cursor, work, written, statements)
            tables.readings(cursor, work.readings, written.outbox)
            written.pins = tables.pins(cursor, work.readings, self._pins)
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
        at = time_of(message.id)
        link = refusal = None
        if device_id := topics.parse_connection(message.topic):
            link = read_link(message.payload, at)
        elif device_id := topics.parse_refusal(message.topic):
            refusal = read_refusal(message.payload, at)
        if device_id and link:
            work.links.setdefault(UUID(device_id), []).append(link)
        elif device_id and refusal:
            work.refusals[UUID(device_id)] = refusal
        else:
            written.dropped += 1
            logger.warning("dropped a message on a topic that is not the protocol's: %.80r", message.topic)

    def _drop(self, message: Incoming, place: Place, written: Written) -> None:
        written.dropped += 1
        logger.info("dropped message %s of unknown or deleted device %s", message.id, place.device.hex)

    def _remind(self, message: Incoming, place: Place, device: KnownDevice, row: UUID | None, written: Written) -> None:
        """Tell of a message again that is in the history: we may have died before we told of it."""
        if place.direction is Direction.FROM and row is not None:
            said = self._understand(message, place, device, time_of(message.id))
            self._notify(row, device, said, written)
            text = as_text(message.payload, self._limit)
            if not said.malformed and text.intact:
                written.said.append(DeviceMessage(row, time_of(row), device.account_id, device.id, place.api, text.payload))

    def _understand(self, message: Incoming, place: Place, device: KnownDevice, at: datetime) -> Said:
        """Read what a device said; whatever goes wrong with it, its history row is written."""
        try:
            return understand(device.profile, place, message.payload, at, self._limit)
        except Exception:
            logger.exception("message %s of device %s could not be read", message.id, device.id.hex)
            return Said(malformed=True)

    def _take_message(
        self, message: Incoming, place: Place, device: KnownDevice, care: Care, work: _Work, written: Written
    ) -> None:
        at = time_of(message.id)
        text = as_text(message.payload, self._limit)
        payload = text.payload
        said = Said(malformed=not place.proper or not text.intact)
        if care is Care.PLAIN:
            payload = payload.encode("ascii", "backslashreplace").decode("ascii")
            said = Said(malformed=True)
        elif place.direction is Direction.FROM:
            said = self._understand(message, place, device, at)
            self._take_facts(device, said, at, work)
            self._notify(message.id, device, said, written)
        malformed = said.malformed or not text.intact
        written.malformed += malformed
        if place.direction is Direction.FROM and not malformed:
            written.said.append(DeviceMessage(message.id, at, device.account_id, device.id, place.api, payload))
        key, moment, direction = message.id.hex, events.timestamp(at), place.direction.value
        who = (device.account_hex, device.hex, direction, place.api)
        work.rows.append((key, moment, *who, payload, text.raw, text.size_bytes, malformed))
        event = events.message_event(
            id=key,
            time=moment,
            device=device.hex,
            direction=direction,
            api=place.api,
            payload=payload,
            malformed=malformed,
        )
        written.outbox.add(device.account_id, device.id, event)

    def _take_facts(self, device: KnownDevice, said: Said, at: datetime, work: _Work) -> None:
        if said.alive:
            work.hear(device.id, Heard(message_at=at))
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
        if fact.answered_ms is not None:
            work.hear(device.id, Heard(answer=Answered(fact.ended, fact.api, fact.answered_ms)))
        if fact.running is not None:
            status = work.status(device.id)
            if fact.running or not self._has_answered_since(device.id, fact.ended):
                status.running = fact.running
            status.asked_at = fact.time
            if fact.answered_ms is not None:
                status.answered_ms = fact.answered_ms
        reading = fact.reading(device.profile)
        if reading is not None:
            work.reading(device.id, reading)

    def _has_answered_since(self, device: UUID, silent_until: datetime) -> bool:
        """Say whether the device has answered, and only now we read of the silence before; never after the clock was set back."""
        answered = self._answered.get(device)
        return answered is not None and timedelta(0) < answered - silent_until < RECENTLY

    def _write_commands(self, cursor: Cursor, batch: Batch, written: Written) -> list[CommandFact]:
        """Write finished commands and late answers; return the commands that were not there before."""
        facts = [record.fact for record in batch.records]
        commands = {fact.id: fact for fact in facts if isinstance(fact, CommandFact)}
        new = tables.commands(cursor, list(commands.values()))
        answered = tables.late_answers(cursor, [fact for fact in facts if isinstance(fact, LateFact)])
        written.dropped += facts.count(None)
        written.commands += len(new) + len(answered)
        users = {fact.user_id for fact in new} | {row["user_id"] for row in answered}
        name_of = self._directory.users(cursor, [user for user in users if user is not None])
        for fact in new:
            user = None if fact.user_id is None else name_of(fact.user_id)
            written.outbox.add(fact.account, fact.device, _event(fact, user))
        for row in answered:
            account_id, user_id = row.pop("account_id"), row.pop("user_id")
            user = None if user_id is None else name_of(user_id)
            written.outbox.add(account_id, row["device_id"], events.command_event(**row, user=user))
        return new

    def _write_presence(self, cursor: Cursor, work: _Work, written: Written, statements: list[bytes]) -> None:
        written.links = tables.links(cursor, work.links)
        refused = tables.refusals(cursor, work.refusals)
        written.heard = self._due(work.heard)
        if written.heard or work.statuses:
            statement = tables.status(cursor, written.heard, work.statuses)
            if work.statuses:
                cursor.execute(statement)  # now, for what pages are told is read back below
            else:
                statements.append(statement)
        tables.tell_presence(cursor, work.statuses.keys() | written.links.keys() | set(refused), written.outbox)

    def _due(self, heard: Mapping[UUID, Heard]) -> dict[UUID, Heard]:
        """Return of what was heard what is to be written now; the rest is kept for `write_heard`."""
        due = {}
        for device, sign in heard.items():
            if (unsaid := self._unsaid.get(device)) is not None:
                sign = unsaid.followed_by(sign)
            self._unsaid[device] = sign
            before = self._heard.get(device)
            if before is None or sign.at is None or abs(sign.at - before) >= HEARD_EVERY:
                due[device] = sign
        return due


class Uncommitted(CommitUnknown):
    """It is not known whether `written` is in the database."""

    def __init__(self, written: Written) -> None:
        super().__init__("the connection broke during COMMIT")
        self.written = written


def _event(fact: CommandFact, user: str | None) -> events.CommandEvent:
    return events.command_event(
        id=fact.id, time=fact.time, device_id=fact.device, api=fact.api, payload=fact.payload, outcome=fact.outcome.value,
        answer=fact.answer, timeout_s=fact.timeout_s, attempts=fact.attempts, sent_ms=fact.sent_ms, broker_ms=fact.broker_ms,
        answered_ms=fact.answered_ms, delivered_ms=fact.delivered_ms, late_ms=None, user=user,
    )  # fmt: skip


def _failed(fact: CommandFact) -> FailedCommand:
    return FailedCommand(fact.id, fact.ended, fact.account, fact.device, fact.api, str(fact.outcome))


def _remember(memory: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > MAX_REMEMBERED:
        memory.popitem(last=False)


def utc_now() -> datetime:
    """Return the moment."""
    return datetime.fromtimestamp(time.time(), UTC)
