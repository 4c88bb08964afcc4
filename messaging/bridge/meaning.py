"""What a message or a command record says: pure, bytes in, facts out.

Nothing here raises for what a device sent; a command record comes from our own gateway and may be refused (`BadRecord`).
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from devices.profiles import API_NAME, Api, Profile
from iotportal.uuid7 import time_of
from messaging.models import Direction, Outcome
from messaging.protocol import codec, topics
from messaging.protocol.readings import reading_of

MAX_API = 64
REMEMBERED_TOPIC = 128  # characters; a topic of the protocol has at most 32 + 64 and its separators
REMEMBERED_ANSWER = 512  # bytes; more is rare, and would fill the memory
MAX_RECORD_TEXT = 64 * 1024
SAME_ANSWER = timedelta(seconds=2)  # an answer reaches us twice, as a message and in its command's record

_ANY_TOPIC = re.compile(r"(server/)?([0-9a-f]{32})/(.+)", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_FROM_CLOCK_OF_BROKER = timedelta(days=1)  # how far its clock may be from ours before we take our own


@lru_cache(maxsize=20_000)
def _uuid(text: str) -> UUID:
    """Read the id of a device or an account, which comes again and again."""
    return UUID(hex=text)


# --- topics --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message was published."""

    device: UUID
    direction: Direction
    api: str
    proper: bool  # the topic is one of the protocol's


def read_topic(topic: str) -> Place | None:
    """Read a device's topic liberally, so that what it says under an odd name is kept too; None: no device's topic."""
    return _remembered_topic(topic) if len(topic) <= REMEMBERED_TOPIC else _read_topic(topic)


def _read_topic(topic: str) -> Place | None:
    parsed = topics.parse(topic)
    if parsed is not None:
        return Place(_uuid(parsed.device_id), Direction(parsed.direction), parsed.api, proper=True)
    found = _ANY_TOPIC.fullmatch(topic)
    if found is None:
        return None
    return Place(_uuid(found[2]), Direction.FROM if found[1] else Direction.TO, printable(found[3])[:MAX_API], proper=False)


_remembered_topic = lru_cache(maxsize=20_000)(_read_topic)  # a device says most things again and again


# --- payloads ------------------------------------------------------------------------------------------------------------


class Text(NamedTuple):
    """A payload as the history keeps it."""

    payload: str
    raw: bytes | None
    size_bytes: int
    intact: bool  # it was UTF-8 without zeros and within the bound


def as_text(payload: bytes, limit: int) -> Text:
    r"""Turn a payload into text of at most `limit` bytes; what is no text is escaped as \xNN and kept beside it in `raw`."""
    kept = payload[:limit]
    try:
        text = kept.decode()
    except UnicodeDecodeError as error:
        if len(payload) > limit and error.start >= limit - 3 and error.reason == "unexpected end of data":
            return Text(kept[: error.start].decode(), None, len(payload), intact=False)  # only the cut fell into a character
        return Text(kept.decode(errors="backslashreplace").replace("\0", "\\x00"), kept, len(payload), intact=False)
    if "\0" in text:
        return Text(text.replace("\0", "\\x00"), kept, len(payload), intact=False)
    return Text(text, None, len(payload), intact=len(payload) <= limit)


def printable(text: str) -> str:
    """Replace what PostgreSQL cannot keep in a text: zeros and half surrogate pairs."""
    if text.isascii() and "\0" not in text:
        return text
    return _SURROGATE.sub("\ufffd", text).replace("\0", "\ufffd")


# --- what a device said --------------------------------------------------------------------------------------------------


class ReadingFact(NamedTuple):
    """A value that a device confirmed."""

    key: str
    value: Any  # as JSON: plain, or an object of several
    at: datetime
    elapsed_ms: float | None = None

    def merged(self, newer: ReadingFact) -> ReadingFact:
        """Return what is known after `newer` too; the same rule as `writer.UPSERT_READINGS`."""
        same = self.value == newer.value and abs(newer.at - self.at) < SAME_ANSWER
        if same:
            elapsed = self.elapsed_ms if newer.elapsed_ms is None else newer.elapsed_ms
            return newer._replace(at=max(self.at, newer.at), elapsed_ms=elapsed)
        return newer if newer.at >= self.at else self


class Said(NamedTuple):
    """What a message from a device means."""

    malformed: bool
    running: bool = False  # it answered get_status
    alive: bool = True  # the device itself spoke: a last will is spoken for it
    reading: ReadingFact | None = None
    notification: tuple[str, str] | None = None  # recipient, message


def understand(profile: Profile, place: Place, payload: bytes, at: datetime, limit: int) -> Said:
    """Say what a message from a device means."""
    alive = not (profile.presence and place.api == "presence")
    if not place.proper:
        return Said(malformed=True, alive=alive)
    meant = _meaning(profile, place.api, payload, limit)
    if meant.malformed:
        return Said(malformed=True, alive=alive)
    return Said(
        malformed=False,
        alive=alive,
        running=place.api == "get_status",
        reading=meant.reading(at, None),
        notification=meant.notification,
    )


class _Meaning(NamedTuple):
    """What an answer says, whenever it is given."""

    malformed: bool
    confirmed: tuple[str, Any] | None = None  # key and value of a reading, where the profile shows one
    notification: tuple[str, str] | None = None

    def reading(self, at: datetime, elapsed_ms: float | None) -> ReadingFact | None:
        return None if self.confirmed is None else ReadingFact(*self.confirmed, at, elapsed_ms)


def _meaning(profile: Profile, name: str, payload: bytes, limit: int) -> _Meaning:
    read = _remembered_meaning if len(payload) <= REMEMBERED_ANSWER else _read_meaning
    return read(profile, name, payload, limit)


def _read_meaning(profile: Profile, name: str, payload: bytes, limit: int) -> _Meaning:
    api = _api(profile, name)
    answer = codec.decode_answer(profile, api, payload, limit)
    if answer.failed or answer.error is not None:
        return _Meaning(answer.failed)
    notification = None
    if name == "trigger_notification":
        recipient, message = answer.fields.get("recipient"), answer.fields.get("message")
        if isinstance(recipient, str) and recipient and isinstance(message, str):
            notification = (recipient, message)
    return _Meaning(False, reading_of(profile, api, answer.fields), notification)


# An answer reaches us twice, as a message and in its command's record, and a device says most things again and again.
_remembered_meaning = lru_cache(maxsize=5_000)(_read_meaning)


def _api(profile: Profile, name: str) -> Api:
    try:
        return profile.api(name)
    except (KeyError, ValueError):
        return Api(name=name, title=name, kind="set", declared=False)


def pin_number(key: str) -> int | None:
    """Return the pin that a reading's key is about, or None."""
    subject, _, number = key.partition("/")
    return int(number) if subject == "gpio" and number else None


# --- comings and goings --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LinkFact:
    """What the broker says of a device's connection; the time is the broker's.

    `epoch` names one life of the broker and `sequence` counts what it announced in it: they decide what is the later, for a wall
    clock may be set back. Epoch 0: a broker that does not count; what it says counts as it comes.
    """

    connected: bool
    at: datetime
    epoch: int = 0
    sequence: int = 0
    reason: str = ""
    address: str | None = None
    protocol: str = ""
    tls: str = ""


def news(facts: Iterable[LinkFact], epoch: int, sequence: int) -> list[LinkFact]:
    """Return those of one device's facts that are news to who knows it up to (epoch, sequence), in their order.

    The broker tells again what it told before (retained, or un-acknowledged). Nothing of an earlier epoch can come after a later
    one: the broker's sessions end with it.
    """
    fresh = []
    for fact in facts:
        if fact.epoch and fact.epoch == epoch and fact.sequence <= sequence:
            continue
        epoch, sequence = fact.epoch, fact.sequence
        fresh.append(fact)
    return fresh


@dataclass(frozen=True, slots=True)
class LinkState:
    """Where some facts leave a device's connection; None and empty: they say nothing of it."""

    connected: bool
    epoch: int
    sequence: int
    connected_at: datetime | None
    disconnected_at: datetime | None
    reason: str
    address: str | None
    protocol: str
    tls: str


def state_after(facts: Sequence[LinkFact]) -> LinkState:
    """Return where these facts of one device, at least one, lead."""
    last = facts[-1]
    came = next((fact for fact in reversed(facts) if fact.connected), None)
    went = next((fact for fact in reversed(facts) if not fact.connected), None)
    return LinkState(
        connected=last.connected,
        epoch=last.epoch,
        sequence=last.sequence,
        connected_at=came.at if came else None,
        disconnected_at=went.at if went else None,
        reason=went.reason if went else "",
        address=came.address if came else None,
        protocol=came.protocol if came else "",
        tls=came.tls if came else "",
    )


def read_link(payload: bytes, arrived: datetime) -> LinkFact | None:
    """Read a presence event of the broker; None where it is not one."""
    try:
        event = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or event.get("event") not in {"connected", "disconnected"}:
        return None
    at, epoch, sequence = _moment(event.get("at"), arrived), _count(event.get("epoch")), _count(event.get("sequence"))
    if event["event"] == "disconnected":
        return LinkFact(False, at, epoch, sequence, reason=_short(event.get("reason"), 16))
    return LinkFact(
        True,
        at,
        epoch,
        sequence,
        address=_address(event.get("address")),
        protocol=_short(event.get("protocol"), 24),
        tls=_short(event.get("tls"), 16),
    )


@dataclass(frozen=True, slots=True)
class RefusalFact:
    """The broker did not let a device in."""

    at: datetime
    reason: str
    address: str | None


def read_refusal(payload: bytes, arrived: datetime) -> RefusalFact | None:
    """Read the broker's word that a device was refused; None where it is not one."""
    try:
        event = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict):
        return None
    return RefusalFact(_moment(event.get("at"), arrived), _short(event.get("reason"), 80), _address(event.get("address")))


def _count(value: object) -> int:
    """Read a number that a bigint holds; what is none counts as 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else 0


def _moment(value: object, arrived: datetime) -> datetime:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return arrived
    try:
        at = datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return arrived
    return at if at < arrived + _FROM_CLOCK_OF_BROKER else arrived


def _address(value: object) -> str | None:
    try:
        return str(ipaddress.ip_address(str(value).partition("%")[0]))
    except ValueError:
        return None


def _short(value: object, length: int) -> str:
    return printable(value)[:length] if isinstance(value, str) else ""


# --- the portal's commands -----------------------------------------------------------------------------------------------


class BadRecord(ValueError):
    """A record of the command stream that cannot be read."""


class CommandFact(NamedTuple):
    """A finished command; the `_ms` are milliseconds after `time`."""

    id: UUID
    time: datetime
    account: UUID
    device: UUID
    user_id: int | None
    api: str
    payload: str
    outcome: Outcome
    answer: str | None
    attempts: int
    timeout_s: float
    sent_ms: float | None
    broker_ms: float | None
    answered_ms: float | None
    delivered_ms: float | None

    @property
    def ended(self) -> datetime:
        """When the device answered, or the portal gave up."""
        waited_ms = self.timeout_s * 1000 if self.answered_ms is None else self.answered_ms
        return self.time + timedelta(milliseconds=waited_ms)

    @property
    def running(self) -> bool | None:
        """What a get_status says of the device; None where it says nothing."""
        if self.api != "get_status":
            return None
        if self.outcome in {Outcome.ANSWERED, Outcome.MALFORMED, Outcome.DEVICE_ERROR}:
            return True
        return False if self.outcome == Outcome.TIMEOUT else None

    def reading(self, profile: Profile) -> ReadingFact | None:
        """Return the value that the answer confirmed, with the time it took."""
        if self.outcome != Outcome.ANSWERED or self.answer is None:
            return None
        meant = _meaning(profile, self.api, self.answer.encode(), codec.MAX_PAYLOAD_BYTES)
        return meant.reading(self.ended, self.answered_ms)


@dataclass(frozen=True, slots=True)
class LateFact:
    """An answer that came after its caller had given up."""

    id: UUID
    time: datetime
    device: UUID
    answer: str | None
    late_ms: float


class Record(NamedTuple):
    """An entry of the command stream; `fact` None: it could not be read."""

    entry: str
    fact: CommandFact | LateFact | None


def read_record(text: str) -> CommandFact | LateFact:
    """Read one record of the command stream. Raises BadRecord."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRecord("not JSON") from error
    if not isinstance(record, dict) or record.get("v") != 1:
        raise BadRecord("not a record of version 1")
    try:
        return _late(record) if "late" in record else _command(record)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadRecord(f"{type(error).__name__} in a field") from error


def _command(record: dict[str, Any]) -> CommandFact:
    key = _uuid7(record["id"])
    user = record["user"]
    if user is not None and not isinstance(user, int):
        raise BadRecord("user")
    attempts = record["attempts"]
    if not isinstance(attempts, int) or not 0 <= attempts <= 32_767:
        raise BadRecord("attempts")
    return CommandFact(
        id=key,
        time=time_of(key),
        account=_uuid(record["account"]),
        device=_uuid(record["device"]),
        user_id=user,
        api=_name(record["api"]),
        payload=_kept(record["payload"]),
        outcome=Outcome(record["outcome"]),
        answer=None if record["answer"] is None else _kept(record["answer"]),
        attempts=attempts,
        timeout_s=_number(record["timeout_s"]) or 0.0,
        sent_ms=_number(record["sent_ms"]),
        broker_ms=_number(record["broker_ms"]),
        answered_ms=_number(record["answered_ms"]),
        delivered_ms=_number(record["delivered_ms"]),
    )


def _late(record: dict[str, Any]) -> LateFact:
    key = _uuid7(record["late"])
    late_ms = _number(record["late_ms"])
    if late_ms is None:
        raise BadRecord("late_ms")
    answer = record["answer"]
    return LateFact(key, time_of(key), _uuid(record["device"]), None if answer is None else _kept(answer), late_ms)


def _uuid7(text: str) -> UUID:
    """Read a command's id; its time is the row's time, so that a record read twice is the same row."""
    key = UUID(hex=text)
    if key.version != 7:
        raise BadRecord("id is no UUIDv7")
    return key


def _name(text: str) -> str:
    if not API_NAME.fullmatch(text):
        raise BadRecord("api")
    return text


def _kept(text: str) -> str:
    return printable(text[:MAX_RECORD_TEXT])


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float) or not math.isfinite(value):  # exactly: true is no number
        raise BadRecord("a number")
    return float(value)
