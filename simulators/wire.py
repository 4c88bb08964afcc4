"""Commands read and answers printed, the way each kind of firmware does it. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol

from devices.profiles import Field, Profile
from simulators.profiles import text_bytes

# What fits the 32-bit integers of a small board, signed or unsigned (an RTC counts to 2106).
SMALLEST_NUMBER, LARGEST_NUMBER = -(2**31), 2**32 - 1

_TYPES: dict[str, tuple[type, ...]] = {
    "number": (int, float), "string": (str,), "boolean": (bool,), "object": (dict,), "array": (list,),
}  # fmt: skip


class CommandError(Exception):
    """A command this device cannot obey: `code` for programs, the text for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Arguments(Protocol):
    """The values of one command."""

    command_id: Any

    def require_readable(self) -> None:
        """Raise CommandError when the payload cannot be understood at all."""

    def number(self, key: str) -> int | None:
        """Return a whole number (a number written as text counts), or None."""

    def text(self, key: str) -> str | None:
        """Return a text, or None."""

    def value(self, field: Field) -> Any:
        """Return a value of the field's type, or None."""


class JsonArguments:
    """Values of a proper JSON object."""

    def __init__(self, payload: bytes) -> None:
        try:
            parsed: Any = json.loads(payload.decode("utf-8"))
        except (ValueError, RecursionError):
            parsed = None
        self._fields: dict[str, Any] | None = parsed if isinstance(parsed, dict) else None
        self.command_id: Any = (self._fields or {}).get("id")

    def require_readable(self) -> None:
        """Raise CommandError unless the payload was a JSON object."""
        if self._fields is None:
            raise CommandError("bad_request", "the command is not a JSON object")

    def number(self, key: str) -> int | None:
        """Return the whole number under `key`; text of digits counts, a boolean does not."""
        found = (self._fields or {}).get(key)
        if isinstance(found, str):
            found = whole_number(found)
        if isinstance(found, bool) or not isinstance(found, int):
            return None
        return found if SMALLEST_NUMBER <= found <= LARGEST_NUMBER else None

    def text(self, key: str) -> str | None:
        """Return the text under `key`."""
        found = (self._fields or {}).get(key)
        return found if isinstance(found, str) else None

    def value(self, field: Field) -> Any:
        """Return the value under the field's name, if it has the field's type."""
        if field.type == "integer":
            return self.number(field.name)
        found = (self._fields or {}).get(field.name)
        right = isinstance(found, _TYPES[field.type]) and isinstance(found, bool) == (field.type == "boolean")
        return found if right else None


class SearchedArguments:
    """Values found by string search: one space after the colon, or nothing is found."""

    command_id: Any = None

    def __init__(self, payload: bytes) -> None:
        # surrogateescape: whatever bytes come in go out again unchanged.
        self._payload = payload.decode("utf-8", "surrogateescape")

    def require_readable(self) -> None:
        """Do nothing: this firmware looks for its values and for nothing else."""

    def number(self, key: str) -> int | None:
        """Return the digits after `"key": `, quoted or not."""
        match = re.search(rf'"{key}": "?(-?[0-9]{{1,10}})', self._payload)
        number = int(match.group(1)) if match else None
        return number if number is not None and SMALLEST_NUMBER <= number <= LARGEST_NUMBER else None

    def text(self, key: str) -> str | None:
        """Return the text after `"key": "` up to its quote, or to the end of what fitted the buffer."""
        match = re.search(rf'"{key}": "((?:[^"\\]|\\.)*)', self._payload, re.DOTALL)
        return match.group(1).replace('\\"', '"') if match else None

    def value(self, field: Field) -> Any:
        """Return what stands after the field's name, as far as such firmware can read it."""
        if field.type == "string":
            return self.text(field.name)
        if field.type == "integer":
            return self.number(field.name)
        match = re.search(rf'"{field.name}": (true|false|-?[0-9]{{1,10}}(?:\.[0-9]{{1,6}})?)', self._payload)
        if match is None or field.type not in ("number", "boolean"):
            return None
        is_word = match.group(1) in ("true", "false")
        if is_word != (field.type == "boolean"):
            return None
        return match.group(1) == "true" if is_word else float(match.group(1))


def whole_number(text: str) -> int | None:
    """Return the decimal number written in `text` (at most ten ASCII digits), or None."""
    return int(text) if re.fullmatch(r"-?[0-9]{1,10}", text) else None


def read_command(profile: Profile, payload: bytes) -> Arguments:
    """Return the values of a command as `profile` reads them; a small buffer cuts what does not fit."""
    if profile.string_search:
        return SearchedArguments(payload[: profile.payload_limit_bytes])
    return JsonArguments(payload)


def print_answer(profile: Profile, fields: Mapping[str, Any]) -> bytes:
    """Return the answer's bytes: json.dumps as it comes, or printf with the buffer's size."""
    if not profile.string_search:
        return json.dumps(fields).encode("ascii")
    printed = ", ".join(f'"{key}": {_printed(value)}' for key, value in fields.items())
    return f"{{{printed}}}".encode("utf-8", "surrogateescape")[: profile.answer_limit_bytes]


def _printed(value: Any) -> str:
    """Print a value as printf does: quotes in a text stay as they are."""
    if isinstance(value, str):
        return f'"{value}"'
    return json.dumps(value) if isinstance(value, (bool, dict, list)) else str(value)


def cut_text(profile: Profile, text: str) -> str:
    """Return `text` as far as it fits the profile's recipient and message buffers."""
    most = text_bytes(profile)
    # JSON can spell half a character ("\ud800"), which has no bytes: it is left alone where nothing is cut.
    return text if most is None else text.encode("utf-8", "surrogateescape")[:most].decode("utf-8", "surrogateescape")
