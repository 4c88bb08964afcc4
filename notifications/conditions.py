"""What a rule waits for: pure. A message's text in, and whether it is so, with the value that was found."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from notifications.addresses import clean_message
from notifications.models import Comparison

VALUE_CHARACTERS = 200
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Condition:
    """A field that compares so with a value, in messages whose field `only_field`, if given, has the value `only_value`."""

    field: str
    comparison: str
    value: str
    only_field: str = ""
    only_value: str = ""

    def found(self, fields: Mapping[str, Any]) -> str | None:
        """Return the value of the field as text where the message is one that counts; else None."""
        if self.only_field and not _same(as_text(_at(fields, self.only_field)), self.only_value):
            return None
        return as_text(_at(fields, self.field))

    def holds(self, value: str, told: str | None) -> bool:
        """Say whether a value is what is waited for; `told`: the one that was told last, None before the first."""
        match self.comparison:
            case Comparison.IS:
                return _same(value, self.value)
            case Comparison.IS_NOT:
                return not _same(value, self.value)
            case Comparison.CHANGES:
                return told is not None and not _same(value, told)
        number, limit = as_number(value), as_number(self.value)
        if number is None or limit is None:
            return False
        return number < limit if self.comparison == Comparison.BELOW else number > limit


def read(payload: str) -> Mapping[str, Any] | None:
    """Return the JSON object that a message is; None if it is none."""
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def as_text(value: object) -> str | None:
    """Return a value of JSON as people write it, bounded; None for what there is not, and for lists and objects."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, str | int | float):
        return clean_message(str(value))[:VALUE_CHARACTERS]
    return None


def as_number(text: str) -> float | None:
    """Return the number that a text is; None if it is none, or none that can be compared."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _at(fields: Mapping[str, Any], path: str) -> object:
    found: object = fields
    for name in path.split("."):
        found = found.get(name, _MISSING) if isinstance(found, dict) else _MISSING
    return found


def _same(value: str | None, wanted: str) -> bool:
    if value is None:
        return False
    if value == wanted:
        return True
    number, other = as_number(value), as_number(wanted)
    return number is not None and number == other
