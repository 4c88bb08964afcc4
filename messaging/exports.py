"""What a person takes along of the history: every message and command of their own devices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.db.models import Q

from accounts.exports import PIECE, Export
from messaging.models import Command, Message

_MESSAGE = ["time", "direction", "device_id", "api", "payload", "size_bytes", "malformed"]
_COMMAND = ["time", "device_id", "api", "payload", "outcome", "answer", "answered_ms", "attempts"]


def add_history(export: Export) -> None:
    """Add messages and commands, newest first."""
    account = export.account.pk
    export.add_table("history.csv", _MESSAGE, lambda: _rows(Message, account, _MESSAGE))
    export.add_table("commands.csv", _COMMAND, lambda: _rows(Command, account, _COMMAND))


def _rows(model: type[Message] | type[Command], account: UUID, columns: list[str]) -> Iterator[list[object]]:
    """Read by key set, so that no cursor stays open for as long as somebody downloads."""
    place = Q()
    while True:
        rows: list[Any] = list(model._default_manager.filter(place, account_id=account).order_by("-time", "-id")[:PIECE])
        yield from ([getattr(row, name) for name in columns] for row in rows)
        if len(rows) < PIECE:
            return
        last = rows[-1]
        place = Q(time__lte=last.time) & (Q(time__lt=last.time) | Q(id__lt=last.pk))
