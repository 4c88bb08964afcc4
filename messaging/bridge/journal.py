"""The journal: which deliveries of the MQTT session are in the history.

MQTT gives a message no identity, only a packet id that one delivery keeps until it is acknowledged. So the transaction that
writes a message also writes (session, packet id) with a checksum and a running number, and a delivery that comes again (DUP) is
looked up here. Packet ids come round after 65,535 messages: an entry counts only while it is among the last `WINDOW`, which must
be more than may be un-acknowledged at once (2,000) and, with that added, less than the 65,535.

The entry with packet id 0, which MQTT never uses, is the **position**: the last running number, and in `crc` who wrote it. Every
batch moves it from the number it knew, or fails, so two bridges cannot both write; and after a COMMIT whose answer was lost it
tells whether the batch is in.
"""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from messaging.bridge.database import Cursor, DatabaseAway
from messaging.bridge.source import Incoming

WINDOW = 20_000
PRUNE_EVERY = 1_000

READ_POSITION = "SELECT sequence, crc FROM messaging_journalentry WHERE session = %s AND packet_id = 0"
CLAIM_POSITION = """
INSERT INTO messaging_journalentry AS j (session, packet_id, crc, sequence) VALUES (%s, 0, %s, 0)
ON CONFLICT (session, packet_id) DO UPDATE SET crc = excluded.crc RETURNING j.sequence
"""
FIND = """
SELECT packet_id, crc, message_id FROM messaging_journalentry
WHERE session = %s AND packet_id = ANY(%s) AND packet_id <> 0 AND sequence > %s
"""
# One statement, and its result says whether the position was where we knew it.
RECORD = """
WITH entered AS (
    INSERT INTO messaging_journalentry (session, packet_id, crc, sequence, message_id)
    SELECT %s, * FROM unnest(%s::int[], %s::bigint[], %s::bigint[], %s::uuid[])
    ON CONFLICT (session, packet_id) DO UPDATE
    SET crc = excluded.crc, sequence = excluded.sequence, message_id = excluded.message_id
), moved AS (
    UPDATE messaging_journalentry SET sequence = %s WHERE session = %s AND packet_id = 0 AND sequence = %s AND crc = %s
    RETURNING 1
)
SELECT count(*) FROM moved
"""
PRUNE = "DELETE FROM messaging_journalentry WHERE session = %s AND packet_id <> 0 AND sequence <= %s"
FORGET = "DELETE FROM messaging_journalentry WHERE session = %s AND packet_id <> 0"


class Overtaken(DatabaseAway):
    """Another bridge has written since we last did."""


@dataclass(frozen=True, slots=True)
class Move:
    """Where a batch takes the position."""

    before: int
    after: int


class Journal:
    """The journal of one session, written by one bridge."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._owner = secrets.randbits(62)
        self._position = 0
        self._pruned = 0

    def claim(self, cursor: Cursor) -> bool:
        """Take the position over; False if another bridge had it since our last claim (or nobody ever did)."""
        cursor.execute(READ_POSITION, [self._session])
        row = cursor.fetchone()
        ours = row is not None and row[1] == self._owner
        cursor.execute(CLAIM_POSITION, [self._session, self._owner])
        claimed = cursor.fetchone()
        self._position = claimed[0] if claimed else 0
        return ours

    def forget(self, cursor: Cursor) -> None:
        """Drop all entries: the broker has begun a new session, whose packet ids mean something else."""
        cursor.execute(FORGET, [self._session])

    def known(self, cursor: Cursor, messages: list[Incoming]) -> dict[int, UUID | None]:
        """Return which of these deliveries are in the history: delivery → id of the row."""
        again = {message.delivery: crc_of(message) for message in messages if message.redelivered and message.delivery}
        if not again:
            return {}
        cursor.execute(FIND, [self._session, list(again), self._position - WINDOW])
        return {packet_id: message_id for packet_id, crc, message_id in cursor if again[packet_id] == crc}

    def resolve(self, cursor: Cursor, messages: list[Incoming]) -> list[Incoming]:
        """Return messages as the rest understands them; those of our own broker are as they are."""
        return messages

    def record(self, cursor: Cursor, messages: list[Incoming], before: Iterable[bytes] = ()) -> Move:
        """Enter messages that are written in this transaction, and move the position; the last statement of a batch.

        `before`: statements that are sent along, to be executed before.

        Raises:
            Overtaken: another bridge moved it.
        """
        move = Move(self._position, self._position + max(1, len(messages)))
        latest = {message.delivery: (number, message) for number, message in enumerate(messages, self._position + 1)}
        tracked = [entry for delivery, entry in latest.items() if delivery]
        statements = list(before)
        if move.after - self._pruned >= PRUNE_EVERY:
            statements.append(cursor.mogrify(PRUNE, [self._session, move.after - WINDOW]))
            self._pruned = move.after
        entries = (
            [message.delivery for _, message in tracked],
            [crc_of(message) for _, message in tracked],
            [number for number, _ in tracked],
            [message.id.hex for _, message in tracked],
        )
        position = (move.after, self._session, move.before, self._owner)
        statements.append(cursor.mogrify(RECORD, [self._session, *entries, *position]))
        cursor.execute(b";".join(statements))
        if cursor.fetchone() != (1,):
            raise Overtaken("another bridge has moved the position")
        return move

    def moved(self, move: Move) -> None:
        """Take note that the transaction of `move` is committed."""
        self._position = move.after

    def is_at(self, move: Move) -> bool:
        """Say, after `claim` returned True, whether the transaction of `move` was committed after all."""
        return self._position == move.after


def crc_of(message: Incoming) -> int:
    """Return the checksum of a message's topic and payload."""
    return zlib.crc32(message.payload, zlib.crc32(message.topic.encode("utf-8", "surrogateescape") + b"\0"))
