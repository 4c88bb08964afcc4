"""What the writer does to each table: rows in, events out."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg2.extras import execute_values

from iotportal.fast_json import encode
from iotportal.uuid7 import uuid7
from messaging import events
from messaging.bridge import sql
from messaging.bridge.database import Cursor
from messaging.bridge.meaning import CommandFact, LateFact, LinkFact, ReadingFact, RefusalFact, news, pin_number, state_after

COPY_FROM = 100  # rows; below, an INSERT that travels with the other statements is faster: one trip in place of three

# COPY's text format (PostgreSQL, "COPY", section "Text Format").
_COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class Answered(NamedTuple):
    """An answer of a device to a command."""

    at: datetime
    api: str
    ms: float | None


class Heard(NamedTuple):
    """The latest signs of life of a device: a message of any kind, an answer to a command."""

    message_at: datetime | None = None
    answer: Answered | None = None

    def followed_by(self, later: Heard) -> Heard:
        """Return what is known after `later` too; what comes later is the later."""
        return Heard(later.message_at or self.message_at, later.answer or self.answer)

    @property
    def at(self) -> datetime | None:
        """When it was heard last."""
        if self.message_at is None or self.answer is None:
            return self.answer.at if self.answer else self.message_at
        return max(self.message_at, self.answer.at)


@dataclass(slots=True)
class Status:
    """What a batch says about whether a device runs."""

    running: bool | None = None
    asked_at: datetime | None = None
    answered_ms: float | None = None


# --- history -------------------------------------------------------------------------------------------------------------


def messages(cursor: Cursor, rows: list[tuple[Any, ...]]) -> list[bytes]:
    """Write history rows (ids in hex, times as ISO 8601), or return the statement that will: a few travel better with others."""
    if len(rows) >= COPY_FROM:
        cursor.copy_expert(sql.COPY_MESSAGES, io.StringIO("".join(map(_copy_line, rows))))
    elif rows:
        return [sql.INSERT_MESSAGES + b",".join(cursor.mogrify(sql.MESSAGE_TEMPLATE, row) for row in rows)]
    return []


def _copy_line(row: tuple[Any, ...]) -> str:
    key, at, account, device, direction, api, payload, raw, size, malformed = row
    escaped = "\\N" if raw is None else "\\\\x" + raw.hex()
    return (
        f"{key}\t{at}\t{account}\t{device}\t{direction}\t{api.translate(_COPY_ESCAPES)}\t"
        f"{payload.translate(_COPY_ESCAPES)}\t{escaped}\t{size}\t{'t' if malformed else 'f'}\n"
    )


def commands(cursor: Cursor, facts: list[CommandFact]) -> list[CommandFact]:
    """Insert finished commands; return those that were not there before."""
    if not facts:
        return []
    cursor.execute(sql.INSERT_COMMANDS, [encode(list(map(_command_row, facts))).decode()])
    if cursor.rowcount == len(facts):
        return facts
    new = {key for (key,) in cursor.fetchall()}
    return [fact for fact in facts if str(fact.id) in new]


def late_answers(cursor: Cursor, facts: Iterable[LateFact]) -> list[dict[str, Any]]:
    """Enter late answers; return the rows of their commands."""
    found: list[dict[str, Any]] = []
    for fact in facts:
        cursor.execute(sql.ENTER_LATE, [fact.late_ms, fact.answer, fact.id, fact.time])
        found += map(_command, cursor.fetchall())
    return found


def _command(row: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(sql.COMMAND_COLUMNS, row, strict=True))


def _command_row(fact: CommandFact) -> dict[str, Any]:
    return {
        "id": fact.id.hex, "time": fact.time.isoformat(), "account_id": fact.account.hex, "device_id": fact.device.hex,
        "user_id": fact.user_id, "api": fact.api, "payload": fact.payload, "outcome": fact.outcome, "answer": fact.answer,
        "attempts": fact.attempts, "timeout_s": fact.timeout_s, "sent_ms": fact.sent_ms, "broker_ms": fact.broker_ms,
        "answered_ms": fact.answered_ms, "delivered_ms": fact.delivered_ms,
    }  # fmt: skip


# --- presence ------------------------------------------------------------------------------------------------------------


def links(cursor: Cursor, facts: Mapping[UUID, Sequence[LinkFact]]) -> dict[UUID, bool]:
    """Enter who came and who went, each time, and where that leaves them.

    Returns the devices for which there was news, and whether they are connected.
    """
    if not facts:
        return {}
    cursor.execute(sql.KNOWN_LINKS, [list(facts)])
    known = {row[0]: (row[1], row[2]) for row in cursor}
    fresh = {device: found for device, told in sorted(facts.items()) if (found := news(told, *known.get(device, (0, 0))))}
    if not fresh:
        return {}
    rows = [(device, *astuple(state_after(told))) for device, told in fresh.items()]
    changed = dict(execute_values(cursor, sql.UPSERT_LINKS, rows, template=sql.LINK_TEMPLATE, page_size=len(rows), fetch=True))
    changes = [
        (device, fact.at, "connected" if fact.connected else "disconnected", fact.reason, fact.address)
        for device in changed  # those that still have a row in the registry
        for fact in fresh[device]
    ]
    if changes:
        execute_values(cursor, sql.INSERT_CHANGES, changes, page_size=len(changes))
    return changed


def refusals(cursor: Cursor, facts: Mapping[UUID, RefusalFact]) -> list[UUID]:
    """Enter who was not let in; return those that the registry knows."""
    if not facts:
        return []
    rows = [(device, one.at, one.reason, one.address, uuid7()) for device, one in sorted(facts.items())]
    entered = execute_values(cursor, sql.ENTER_REFUSALS, rows, template=sql.REFUSAL_TEMPLATE, page_size=len(rows), fetch=True)
    return [row[0] for row in entered]


def status(cursor: Cursor, heard: Mapping[UUID, Heard], statuses: Mapping[UUID, Status]) -> bytes:
    """Return the statement that enters when devices were heard and whether they run."""
    devices = sorted(heard.keys() | statuses.keys())
    nothing, none = Heard(), Status()
    signs = [heard.get(key, nothing) for key in devices]
    answers = [sign.answer for sign in signs]
    ordered = [statuses.get(key, none) for key in devices]
    columns = (
        [sign.message_at for sign in signs],
        [answer and answer.at for answer in answers],
        [answer and answer.api for answer in answers],
        [answer and answer.ms for answer in answers],
        [one.running for one in ordered],
        [one.asked_at for one in ordered],
        [one.answered_ms for one in ordered],
    )
    return cursor.mogrify(sql.UPDATE_STATUS, [devices, *columns])


def disconnect_all(cursor: Cursor, now: datetime) -> list[UUID]:
    """Enter that nobody is connected since the broker was last heard of; return who was."""
    cursor.execute(sql.DISCONNECT_ALL, {"now": now})
    return [row[0] for row in cursor.fetchall()]


def last_watch(cursor: Cursor) -> tuple[int, datetime] | None:
    """Return the newest watch and until when it goes."""
    cursor.execute(sql.LAST_WATCH)
    row = cursor.fetchone()
    return (row[0], row[1]) if row else None


def begin_watch(cursor: Cursor, now: datetime) -> int:
    """Begin a new watch; return its number."""
    cursor.execute(sql.BEGIN_WATCH, {"now": now})
    row = cursor.fetchone()
    return int(row[0]) if row else 0


def extend_watch(cursor: Cursor, watch: int, now: datetime) -> bool:
    """Let a watch go until now; False if it went further already, which the clock must have been too."""
    cursor.execute(sql.EXTEND_WATCH, {"id": watch, "now": now})
    return bool(cursor.rowcount)


def lose_watch(cursor: Cursor, watch: int) -> None:
    """Enter that nothing is heard for now."""
    cursor.execute(sql.LOSE_WATCH, {"id": watch})


def all_presence(cursor: Cursor) -> dict[str, bool]:
    """Return whether each device, by hex id, is connected."""
    cursor.execute(sql.ALL_PRESENCE)
    return {row[0].hex: row[1] for row in cursor}


def tell_presence(cursor: Cursor, devices: Collection[UUID], outbox: events.Outbox) -> None:
    """Tell pages how things are with these devices."""
    if not devices:
        return
    cursor.execute(sql.READ_PRESENCE, [list(devices)])
    for account_id, *values in cursor:
        row = dict(zip(sql.PRESENCE_COLUMNS, values, strict=True))
        outbox.add(account_id, row["device_id"], events.presence_event(**row))


# --- readings ------------------------------------------------------------------------------------------------------------


def readings(cursor: Cursor, facts: Mapping[tuple[UUID, str], ReadingFact], outbox: events.Outbox) -> None:
    """Enter readings that are newer than what is known, and tell pages."""
    if not facts:
        return
    rows = [
        (device.hex, key, encode(fact.value).decode(), fact.at, fact.elapsed_ms)
        for (device, key), fact in sorted(facts.items(), key=lambda item: item[0])
    ]
    cursor.execute(sql.UPSERT_READINGS, list(map(list, zip(*rows, strict=True))))
    for account_id, device_id, key, value, at, elapsed_ms in cursor.fetchall():
        event = events.reading_event(device_id=device_id, key=key, value=value, at=at, elapsed_ms=elapsed_ms)
        outbox.add(account_id, device_id, event)


def pins(cursor: Cursor, keys: Iterable[tuple[UUID, str]], known: Collection[tuple[UUID, int]]) -> list[tuple[UUID, int]]:
    """Let pins that are used for the first time appear; return those that are not `known` to have a row."""
    used = {(device, number) for device, key in keys if (number := pin_number(key)) is not None}
    new = sorted(pin for pin in used if pin not in known)
    if new:
        execute_values(cursor, sql.INSERT_PINS, new, template="(%s::uuid, %s::int)", page_size=len(new))
    return new
