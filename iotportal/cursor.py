"""A place in a list that is ordered by (time, id), as text for a URL."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar
from uuid import UUID

Row = TypeVar("Row")
_EPOCH = datetime.fromtimestamp(0, UTC)


class BadCursor(ValueError):
    """The text is no cursor that the portal gave out."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place beside one row; `back`: go on towards the list's beginning."""

    time: datetime
    id: UUID
    back: bool = False

    def __str__(self) -> str:
        """Return it as it stands in a URL."""
        micros = (self.time - _EPOCH) // timedelta(microseconds=1)
        return base64.urlsafe_b64encode(struct.pack(">?q16s", self.back, micros, self.id.bytes)).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read a cursor back. Raises BadCursor."""
        try:
            packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            back, micros, key = struct.unpack(">?q16s", packed)
            return cls(_EPOCH + timedelta(microseconds=micros), UUID(bytes=key), back)
        except (struct.error, binascii.Error, ValueError, OverflowError) as error:
            raise BadCursor("This is no cursor.") from error


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows in the list's order, with the places where it goes on (`next`) and where it came from (`previous`)."""

    rows: list[Row]
    next: Cursor | None = None
    previous: Cursor | None = None


def page_of(rows: list[Row], limit: int, place: Cursor | None, where: Callable[[Row], tuple[datetime, UUID]]) -> Page[Row]:
    """Return the page of what was read from `place` on: as it was read, with one row more than `limit` if there are more."""
    back = place is not None and place.back
    more, rows = len(rows) > limit, rows[:limit]
    if back:
        rows.reverse()
    after, before = rows and (more or back), rows and (more if back else place)
    return Page(
        rows,
        Cursor(*where(rows[-1])) if after else None,
        Cursor(*where(rows[0]), back=True) if before else None,
    )
