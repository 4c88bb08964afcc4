"""What the writer does to each table: rows in, events out."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg2.extras import execute_values

from messaging import events
from messaging.bridge import sql
from messaging.bridge.database import Cursor
from messaging.bridge.meaning import CommandFact, LateFact, LinkFact, ReadingFact, pin_number

COPY_FROM = 100  # rows; below, an INSERT that travels with the other statements is faster: one trip in place of three

# COPY's text format (PostgreSQL, "COPY", section "Text Format").
_COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(slots=True)
class Status:
    """What a batch says about whether a device answers."""

    running: bool | None = None
    asked_at: datetime | None = None
    answered_ms: float | None = None


# --- history -------------------------------------------------------------------------------------------------------------


def messages(cursor: Cursor, rows: list[tuple[Any, ...]]) -> list[bytes]:
    """Write history rows, or return the statement that will: a few travel better with others."""
    if len(rows) >= COPY_FROM:
        cursor.copy_expert(sql.COPY_MESSAGES, io.StringIO("".join(map(_copy_line, rows))))
    elif rows:
        return [sql.INSERT_MESSAGES + b",".join(cursor.mogrify(sql.MESSAGE_TEMPLATE, row) for row in rows)]
    return []


def _copy_line(row: tuple[Any, ...]) -> str:
    key, at, account, device, direction, api, payload, raw, size, malformed = row
    escaped = "\\N" if raw is None else "\\\\x" + raw.hex()
    return (
        f"{key}\t{at.isoformat()}\t{account}\t{device}\t{direction}\t{api.translate(_COPY_ESCAPES)}\t"
        f"{payload.translate(_COPY_ESCAPES)}\t{escaped}\t{size}\t{'t' if malformed else 'f'}\n"
    )


def commands(cursor: Cursor, facts: list[CommandFact]) -> list[dict[str, Any]]:
    """Insert finished commands; return the rows of those that were not there before."""
    if not facts:
        return []
    rows = execute_values(cursor, sql.INSERT_COMMANDS, list(map(_command_row, facts)), page_size=len(facts), fetch=True)
    return list(map(_command, rows))


def late_answers(cursor: Cursor, facts: Iterable[LateFact]) -> list[dict[str, Any]]:
    """Enter late answers; return the rows of their commands."""
    found: list[dict[str, Any]] = []
    for fact in facts:
        cursor.execute(sql.ENTER_LATE, [fact.late_ms, fact.answer, fact.id, fact.time])
        found += map(_command, cursor.fetchall())
    return found


def _command(row: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(sql.COMMAND_COLUMNS, row, strict=True))


def _command_row(fact: CommandFact) -> tuple[Any, ...]:
    return (
        fact.id, fact.time, fact.account, fact.device, fact.user_id, fact.api, fact.payload, str(fact.outcome), fact.answer,
        fact.attempts, fact.timeout_s, fact.sent_ms, fact.broker_ms, fact.answered_ms, fact.delivered_ms,
    )  # fmt: skip


# --- presence ------------------------------------------------------------------------------------------------------------


def links(cursor: Cursor, facts: Mapping[UUID, LinkFact]) -> dict[UUID, bool]:
    """Enter who came and who went; return the devices for which that was news, and whether they are connected."""
    if not facts:
        return {}
    rows = [
        (key, one.connected, one.connected_at, one.disconnected_at, one.reason, one.address, one.protocol, one.tls)
        for key, one in sorted(facts.items())
    ]
    return dict(execute_values(cursor, sql.UPSERT_LINKS, rows, template=sql.LINK_TEMPLATE, page_size=len(rows), fetch=True))


def status(cursor: Cursor, seen: Mapping[UUID, datetime], statuses: Mapping[UUID, Status]) -> bytes:
    """Return the statement that enters when devices were heard and whether they answered."""
    devices = sorted(seen.keys() | statuses.keys())
    none = Status()
    ordered = [statuses.get(key, none) for key in devices]
    columns = (
        [seen.get(key) for key in devices],
        [one.running for one in ordered],
        [one.asked_at for one in ordered],
        [one.answered_ms for one in ordered],
    )
    return cursor.mogrify(sql.UPDATE_STATUS, [devices, *columns])


def disconnect_all(cursor: Cursor) -> list[UUID]:
    """Enter that nobody is connected; return who was."""
    cursor.execute(sql.DISCONNECT_ALL)
    return [row[0] for row in cursor.fetchall()]


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
        (device, key, json.dumps(fact.value), fact.at, fact.elapsed_ms)
        for (device, key), fact in sorted(facts.items(), key=lambda item: item[0])
    ]
    changed = execute_values(cursor, sql.UPSERT_READINGS, rows, template=sql.READING_TEMPLATE, page_size=len(rows), fetch=True)
    for account_id, device_id, key, value, at, elapsed_ms in changed:
        event = events.reading_event(device_id=device_id, key=key, value=value, at=at, elapsed_ms=elapsed_ms)
        outbox.add(account_id, device_id, event)


def pins(cursor: Cursor, keys: Iterable[tuple[UUID, str]], known: Collection[tuple[UUID, int]]) -> list[tuple[UUID, int]]:
    """Let pins that are used for the first time appear; return those that are not `known` to have a row."""
    used = {(device, number) for device, key in keys if (number := pin_number(key)) is not None}
    new = sorted(pin for pin in used if pin not in known)
    if new:
        execute_values(cursor, sql.INSERT_PINS, new, template="(%s::uuid, %s::int)", page_size=len(new))
    return new
