"""Reads of the history, for the pages and the API.

Everything here is scoped to the accounts of which the user is a member, deleted devices included: their history stays theirs.

Pages are cut by key set on (time, id), newest first: page 1,000 costs what page 1 costs. A filter that no index serves (api,
direction, text) looks at `SCAN` messages at most and then says how far it came: a page may hold fewer rows than asked for and
still have a `next`. So no request takes longer because somebody kept more.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from django.db import connection

from accounts.models import User
from accounts.selectors import standings
from devices.models import Device
from iotportal.rows import rows
from messaging.models import Command, Direction, Message, Outcome

SCAN = 20_000  # messages that one request looks at, at most (about 15 ms)
COUNT = 10_000  # counted exactly up to here, "10,000+" above; figures are of this many at most
RECENT = timedelta(minutes=30)
RECENT_POINTS = 44  # of a sparkline
_CLOCKS = timedelta(seconds=1)  # the portal's and the bridge's clock may differ by this much
_LATEST_ANSWER = timedelta(seconds=35)  # the longest timeout and the time in which a late answer is still recorded

Model = TypeVar("Model", Message, Command)
_Params = list[Any]
_Key = tuple[UUID, str, str, str]  # device, direction, api, payload


class Named(NamedTuple):
    """A device, as far as it is named beside its messages."""

    id: UUID
    name: str
    deleted_at: datetime | None


class Sent(NamedTuple):
    """A command, as far as it says which messages were its question and its answer, and what came of them."""

    id: UUID
    time: datetime
    account_id: UUID
    device_id: UUID
    api: str
    payload: str
    answer: str | None
    outcome: str
    timeout_s: float
    answered_ms: float | None
    delivered_ms: float | None
    late_ms: float | None


class Line(NamedTuple):
    """A message as it is read for a file, a column after the other: making a model of it would take longer than all else."""

    id: UUID
    time: datetime
    device_id: UUID
    direction: str
    api: str
    payload: str
    size_bytes: int
    malformed: bool


Row = TypeVar("Row", Message, Command, Line)


class BadCursor(ValueError):
    """The text is no cursor that the portal gave out."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place between two rows, and the way to go on from it."""

    time: datetime
    id: UUID
    newer: bool = False

    def __str__(self) -> str:
        """Return it as it stands in a URL."""
        micros = (self.time - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
        return base64.urlsafe_b64encode(struct.pack(">?q16s", self.newer, micros, self.id.bytes)).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read a cursor back. Raises BadCursor."""
        try:
            packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            newer, micros, key = struct.unpack(">?q16s", packed)
            return cls(datetime.fromtimestamp(0, UTC) + timedelta(microseconds=micros), UUID(bytes=key), newer)
        except (struct.error, binascii.Error, ValueError, OverflowError) as error:
            raise BadCursor("This is no cursor.") from error


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """What to show: times are [since, until), empty means any. `text` is looked for in api and message, whatever its case."""

    device_id: UUID | None = None
    api: str = ""
    direction: str = ""
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows, newest first, and the cursors to what is older (`next`) and newer (`previous`).

    `scanned_to`: the search stopped here because it had looked at enough; older rows were not looked at yet.
    """

    rows: list[Row] = field(default_factory=list)
    next: str | None = None
    previous: str | None = None
    scanned_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """How many rows there are: exactly, or at least."""

    number: int
    at_least: bool = False

    def __str__(self) -> str:
        return f"{self.number:,}{'+' if self.at_least else ''}"


def account_ids(user: User) -> list[UUID]:
    """Return the accounts whose history the user may read; asked once per user object, which lives as long as its request."""
    return [one.account_id for one in standings(user)]


def history_device(user: User, device_id: UUID) -> Device | None:
    """Return the device, deleted or not, if the user may read its history."""
    return Device.objects.filter(pk=device_id, account_id__in=account_ids(user)).first()


def device_names(user: User, ids: Iterable[UUID]) -> dict[UUID, Named]:
    """Return those of these devices that the user may read, deleted ones included; one that was claimed is another's to name."""
    sql = "SELECT id, name, deleted_at FROM devices_device WHERE id = ANY(%s) AND account_id = ANY(%s)"
    return {one.id: one for one in rows(Named, sql, [list(set(ids)), account_ids(user)])}


def other_devices(user: User, device: Device, limit: int) -> list[tuple[str, str]]:
    """Return id (32 hex digits) and name of live devices that the user may see besides this one, by name."""
    sql = """
        SELECT replace(id::text, '-', ''), name FROM devices_device
        WHERE account_id = ANY(%s) AND deleted_at IS NULL AND id <> %s ORDER BY name LIMIT %s
    """
    return rows(lambda key, name: (key, name), sql, [account_ids(user), device.pk, limit])


def messages(
    user: User, wanted: MessageFilter, cursor: str | None = None, limit: int = 50, scan: int | None = None
) -> Page[Message]:
    """Return one page of the user's messages, looking at `scan` of them at most. Raises BadCursor."""
    return _page(Message, user, wanted, cursor, limit, scan or SCAN, _models(Message))


def lines(user: User, wanted: MessageFilter, cursor: str | None, limit: int) -> Page[Line]:
    """Return one page of the user's messages for a file. Raises BadCursor."""
    return _page(Message, user, wanted, cursor, limit, SCAN, _lines)


def commands(
    user: User, wanted: MessageFilter, cursor: str | None = None, limit: int = 50, scan: int | None = None
) -> Page[Command]:
    """Return one page of the user's commands; `direction` says nothing here. Raises BadCursor."""
    return _page(Command, user, wanted, cursor, limit, scan or SCAN, _models(Command))


def newest(model: type[Model], user: User, wanted: MessageFilter, *, limit: int, scan: int) -> list[Model]:
    """Return the newest of the user's rows, looking at `scan` of them at most: a page that is not gone on from."""
    return _newest(scopes(model, user, wanted), _models(model), limit, scan)


def newest_lines(user: User, wanted: MessageFilter, *, limit: int, scan: int) -> list[Line]:
    """Return the newest of the user's messages as `newest` does, without models."""
    return _newest(scopes(Message, user, wanted), _lines, limit, scan)


def count_messages(user: User, wanted: MessageFilter) -> Count:
    """Count the messages of a filter, up to `COUNT` and looking at `SCAN` at most."""
    total, looked_at_all = 0, True
    for scope in scopes(Message, user, wanted):
        sql, params = scope.inner("DESC", SCAN if scope.narrow else COUNT + 1)
        sql = f"SELECT count(*), count(*) FILTER (WHERE {scope.outer}) FROM ({sql}) m"  # noqa: S608  # made of constants
        with connection.cursor() as db:
            db.execute(sql, [*scope.outer_params, *params])
            seen, matching = db.fetchone() or (0, 0)
        total += matching
        looked_at_all = looked_at_all and seen < (SCAN if scope.narrow else COUNT + 1)
    if total > COUNT:
        return Count(COUNT, at_least=True)
    return Count(total, at_least=not looked_at_all)


def first_message(user: User, wanted: MessageFilter) -> datetime | None:
    """Return when the oldest message of the filter's device (or of all) passed."""
    times = []
    for scope in scopes(Message, user, MessageFilter(device_id=wanted.device_id)):
        sql, params = scope.inner("ASC", 1)
        times += [row.time for row in Message.objects.raw(sql, params)]
    return min(times, default=None)


def last_message(user: User, device_id: UUID | None = None) -> Message | None:
    """Return the newest message of all, or of one device: what an empty page can point to."""
    return next(iter(newest(Message, user, MessageFilter(device_id=device_id), limit=1, scan=1)), None)


# --- how a page is read ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scope:
    """The rows of one index: of one device, or of one account."""

    table: str
    where: str  # what the index serves
    params: _Params
    outer: str  # what is looked at row by row
    outer_params: _Params

    @property
    def narrow(self) -> bool:
        """Whether rows of the index range are left out."""
        return self.outer != "TRUE"

    def inner(self, order: str, limit: int) -> tuple[str, _Params]:
        """Return the SQL of the newest (or oldest) `limit` rows of the index range."""
        sql = f"SELECT * FROM {self.table} WHERE {self.where} ORDER BY time {order}, id {order} LIMIT %s"  # noqa: S608  # constants
        return sql, [*self.params, limit]

    def place(self, order: str, number: int) -> tuple[str, _Params]:
        """Return the SQL of where the `number`th newest (or oldest) row of the index range is: its time and id."""
        sql = f"SELECT time, id FROM {self.table} WHERE {self.where} ORDER BY time {order}, id {order} OFFSET %s LIMIT 1"  # noqa: S608  # constants
        return sql, [*self.params, number - 1]

    def page(self, order: str, limit: int, scan: int) -> tuple[str, _Params]:
        """Return the SQL of the newest (or oldest) `limit` rows that match, among `scan`."""
        sql, params = self.inner(order, scan if self.narrow else limit)
        if self.narrow:
            sql = f"SELECT * FROM ({sql}) m WHERE {self.outer} ORDER BY time {order}, id {order} LIMIT %s"  # noqa: S608  # constants
            params = [*params, *self.outer_params, limit]
        return sql, params


def scopes(model: type[Message | Command], user: User, wanted: MessageFilter, cursor: Cursor | None = None) -> list[Scope]:
    """Return where the rows of a filter are: of the device that it names, else of each account that the user may read."""
    where: list[str] = ["TRUE"]
    params: _Params = []
    if wanted.since:
        where.append("time >= %s")
        params.append(wanted.since)
    if wanted.until:
        where.append("time < %s")
        params.append(wanted.until)
    if cursor:  # the first half lets PostgreSQL leave out partitions, the second is the exact place
        sign = ">" if cursor.newer else "<"
        where.append(f"time {sign}= %s AND (time, id) {sign} (%s, %s)")
        params += [cursor.time, cursor.time, cursor.id]
    outer, outer_params = _row_by_row(model, wanted)
    table, rest = model._meta.db_table, " AND ".join(where)
    accounts = account_ids(user)
    if wanted.device_id:
        starts: list[tuple[str, _Params]] = [("device_id = %s AND account_id = ANY(%s)", [wanted.device_id, accounts])]
    else:
        starts = [("account_id = %s", [account]) for account in accounts]
    return [Scope(table, f"{start} AND {rest}", [*first, *params], outer, outer_params) for start, first in starts]


def _row_by_row(model: type[Message | Command], wanted: MessageFilter) -> tuple[str, _Params]:
    clauses: list[str] = []
    params: _Params = []
    if wanted.api:
        clauses.append("api = %s")
        params.append(wanted.api)
    if wanted.direction and issubclass(model, Message):
        clauses.append("direction = %s")
        params.append(wanted.direction)
    if wanted.text:
        columns = ["api", "payload"] if issubclass(model, Message) else ["api", "payload", "answer"]
        like = "LIKE" if wanted.text.lower() == wanted.text.upper() else "ILIKE"  # twenty times as fast, where no case is
        clauses.append("(" + " OR ".join(f"{column} {like} %s" for column in columns) + ")")
        params += [f"%{_escaped(wanted.text)}%"] * len(columns)
    return " AND ".join(clauses) or "TRUE", params


def _escaped(text: str) -> str:
    """Take the meaning from LIKE's own characters."""
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")


def _models(model: type[Model]) -> Callable[[str, _Params], list[Model]]:
    return lambda sql, params: list(model._default_manager.raw(sql, params))


def _lines(sql: str, params: _Params) -> list[Line]:
    return rows(Line, f"SELECT {', '.join(Line._fields)} FROM ({sql}) f", params)  # noqa: S608  # constants; its order is kept


def _newest(found: Iterable[Scope], read: Callable[[str, _Params], list[Row]], limit: int, scan: int) -> list[Row]:
    return list(islice(heapq.merge(*(read(*scope.page("DESC", limit, scan)) for scope in found), key=_key, reverse=True), limit))


def _page(
    model: type[Message | Command],
    user: User,
    wanted: MessageFilter,
    cursor: str | None,
    limit: int,
    scan: int,
    read: Callable[[str, _Params], list[Row]],
) -> Page[Row]:
    place = Cursor.parse(cursor) if cursor else None
    backwards = place is not None and place.newer
    order = "ASC" if backwards else "DESC"
    found: list[list[Row]] = []
    stops: list[Cursor] = []
    for scope in scopes(model, user, wanted, place):
        rows = read(*scope.page(order, limit + 1, scan))
        found.append(rows)
        if scope.narrow and len(rows) <= limit and (stop := _end_of_scan(scope, order, scan)):
            stops.append(stop)
    return _cut(found, stops, place, limit)


def _end_of_scan(scope: Scope, order: str, scan: int) -> Cursor | None:
    """Return the place at which a scan had looked at `scan` rows, or None where it saw them all."""
    with connection.cursor() as db:
        db.execute(*scope.place(order, scan))
        row = db.fetchone()
    return Cursor(row[0], row[1], newer=order == "ASC") if row else None


def _cut(found: list[list[Row]], stops: list[Cursor], place: Cursor | None, limit: int) -> Page[Row]:
    """Merge what the accounts gave into one page."""
    backwards = place is not None and place.newer
    merged: Iterable[Row] = heapq.merge(*found, key=_key, reverse=not backwards)
    stop = None
    if stops:  # rows beyond the first place where a scan stopped may have neighbours that nobody looked at
        stop = (min if backwards else max)(stops, key=_key)
        sign, end_of_scan = (1, _key(stop)) if backwards else (-1, _key(stop))
        merged = [row for row in merged if _key(row) == end_of_scan or (_key(row) < end_of_scan) == (sign > 0)]
    taken = list(islice(merged, limit + 1))
    more, rows = len(taken) > limit, taken[:limit]
    end = Cursor(rows[-1].time, rows[-1].id) if more else stop
    start = Cursor(rows[0].time, rows[0].id) if rows else place
    scanned_to = stop.time if stop and not more else None
    if backwards:
        older = start and Cursor(start.time, start.id)
        return Page(rows[::-1], _text(older), _text(end and Cursor(end.time, end.id, newer=True)), scanned_to)
    newer = start and Cursor(start.time, start.id, newer=True)
    return Page(rows, _text(end), _text(newer if place else None), scanned_to)


def _key(row: Message | Command | Line | Cursor) -> tuple[datetime, UUID]:
    return row.time, row.id


def _text(cursor: Cursor | None) -> str | None:
    return str(cursor) if cursor else None


# --- which answer belongs to which question --------------------------------------------------------------------------------


@dataclass(slots=True)
class HistoryRow:
    """A message with what is known of the command it was part of.

    On the answer: `elapsed_ms` since the command was accepted, and whether it came `late`. On the question: `silent_s`, the
    timeout after which nothing had come, or the `outcome` that kept it from being answered well.
    """

    message: Message
    paired: bool = False
    elapsed_ms: float | None = None
    late: bool = False
    silent_s: float | None = None
    outcome: str = ""
    device: Named | None = None

    @property
    def flag(self) -> tuple[str, str] | None:
        """What is worth saying about it, with the kind of flag to say it on."""
        if self.message.malformed:
            return "bad", "malformed, text kept"
        if self.late:
            return "warn", "late"
        if self.silent_s is not None:
            return "bad", f"no answer in {self.silent_s:g} s"
        if self.outcome == Outcome.DEVICE_ERROR and self.message.direction == Direction.FROM:
            return "bad", "error"
        if self.outcome == Outcome.DISCONNECTED:
            return "warn", "portal lost the broker"
        return None


def pair(messages: Sequence[Message], commands: Iterable[Sent]) -> list[HistoryRow]:
    """Attach to each message the command whose question or answer it is.

    Nothing on the wire links the two, so a row is the command's when device, api and text are the same and it lies in the time in
    which the command was open; every row is used once, the earliest that fits.
    """
    found = [HistoryRow(message) for message in messages]
    waiting: dict[_Key, list[HistoryRow]] = {}
    for row in reversed(found):  # oldest first
        m = row.message
        waiting.setdefault((m.device_id, m.direction, m.api, m.payload), []).append(row)
    for command in sorted(commands, key=lambda one: (one.time, one.id)):
        asked = _take(waiting, (command.device_id, Direction.TO, command.api, command.payload), command)
        if asked:
            asked.paired = True
            asked.outcome = command.outcome
            asked.silent_s = command.timeout_s if command.outcome == Outcome.TIMEOUT else None
        if command.answer is None:
            continue
        answered = _take(waiting, (command.device_id, Direction.FROM, command.api, command.answer), command)
        if answered:
            answered.paired, answered.late = True, command.late_ms is not None
            answered.elapsed_ms = command.late_ms if command.late_ms is not None else command.delivered_ms or command.answered_ms
            answered.outcome = command.outcome
    return found


def _take(waiting: dict[_Key, list[HistoryRow]], key: _Key, command: Sent) -> HistoryRow | None:
    left = waiting.get(key, [])
    for index, row in enumerate(left):
        if command.time - _CLOCKS <= row.message.time <= command.time + _LATEST_ANSWER:
            return left.pop(index)
    return None


def commands_around(messages: Sequence[Message]) -> list[Sent]:
    """Return the commands that the questions and answers among `messages` (of one user, newest first) can belong to."""
    if not messages:
        return []
    accounts = {message.account_id for message in messages}  # a device that was claimed has commands of another, too
    devices = {message.device_id for message in messages}
    span = messages[-1].time - _LATEST_ANSWER, messages[0].time + _CLOCKS
    sql = f"""
        SELECT {", ".join(Sent._fields)} FROM messaging_command
        WHERE account_id = ANY(%s) AND device_id = ANY(%s) AND time BETWEEN %s AND %s ORDER BY time DESC, id DESC LIMIT %s
    """  # noqa: S608  # made of constants
    return rows(Sent, sql, [list(accounts), list(devices), *span, 4 * len(messages) + 50])


def history_rows(user: User, messages: Sequence[Message]) -> list[HistoryRow]:
    """Return the rows of a page of the user's messages: paired, and with their devices."""
    return _named(user, pair(messages, commands_around(messages)))


def feed_rows(user: User, limit: int) -> list[HistoryRow]:
    """Return the newest of the user's messages with their devices; what became of a question is not asked."""
    return _named(user, [HistoryRow(message) for message in newest(Message, user, MessageFilter(), limit=limit, scan=limit)])


def _named(user: User, found: list[HistoryRow]) -> list[HistoryRow]:
    devices = device_names(user, (row.message.device_id for row in found))
    for row in found:
        row.device = devices.get(row.message.device_id)
    return found


# --- what a device did lately ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """The latest commands of a device within `RECENT`, oldest first; None is one that was not answered."""

    points: tuple[float | None, ...] = ()

    @property
    def answered(self) -> list[float]:
        """The times of those that were answered, in ms, sorted."""
        return sorted(point for point in self.points if point is not None)

    def percentile(self, share: float) -> float | None:
        """Return the time within which `share` (0–1) of the answered commands were delivered."""
        times = self.answered
        return times[min(len(times) - 1, int(share * len(times)))] if times else None

    @property
    def median(self) -> float | None:
        """The time in the middle, in ms."""
        return self.percentile(0.5)


def recent_round_trips(device_ids: Sequence[UUID], now: datetime) -> dict[UUID, RoundTrips]:
    """Return the last round trips of each device, at most `RECENT_POINTS` and `RECENT` old: one index probe a device.

    What was before the device came to its account is another's.
    """
    if not device_ids:
        return {}
    sql = """
        SELECT d.id, array_agg(c.ms ORDER BY c.time)
        FROM devices_device d CROSS JOIN LATERAL (
            SELECT time, CASE WHEN outcome <> 'timeout' THEN coalesce(delivered_ms, answered_ms) END AS ms
            FROM messaging_command WHERE device_id = d.id AND time BETWEEN %s AND %s AND time >= coalesce(d.moved_at, '-infinity')
                AND outcome NOT IN ('abandoned', 'disconnected')
            ORDER BY time DESC, id DESC LIMIT (SELECT %s)
        ) c WHERE d.id = ANY(%s) GROUP BY d.id
    """  # the latest time leaves out partitions to come, the limit as a SELECT is not weighed against the average device's few
    with connection.cursor() as db:
        db.execute(sql, [now - RECENT, now + RECENT, RECENT_POINTS, list(device_ids)])
        return {row[0]: RoundTrips(tuple(row[1])) for row in db.fetchall()}
