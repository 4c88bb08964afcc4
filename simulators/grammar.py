"""The lines a person types on a device's own UART (stand-alone use). Parsing only, no I/O.

iot set message "..." recipient "..."
iot send [message "..."] [recipient "..."]
iot gpio N enable dir in|out pull none|up|down edge none|rising|falling|both
iot gpio N write 0|1
iot gpio N disable
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HIGHEST_PIN = 255
DIRECTIONS = ("in", "out")
PULLS = ("none", "up", "down")
EDGES = ("none", "rising", "falling", "both")

_TOKEN = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))')


class GrammarError(ValueError):
    """A line the device does not understand; the text says what it wants instead."""


class Statement:
    """What a line asks for; one of the classes below."""


@dataclass(frozen=True)
class SetDefaults(Statement):
    """Store what `iot send` and the interrupts use; None leaves a value as it is."""

    message: str | None
    recipient: str | None


@dataclass(frozen=True)
class Send(Statement):
    """Raise a notification with the given values, the stored ones where None."""

    message: str | None
    recipient: str | None


@dataclass(frozen=True)
class EnablePin(Statement):
    """Set a pin up, with the edge that raises a notification."""

    number: int
    direction: str
    pull: str
    edge: str


@dataclass(frozen=True)
class WritePin(Statement):
    """Put a level on a pin."""

    number: int
    level: int


@dataclass(frozen=True)
class DisablePin(Statement):
    """Forget a pin's set-up and its interrupt."""

    number: int


def parse_line(line: str) -> Statement:
    """Return what a typed line asks for.

    Raises: GrammarError, in words for the person at the console.
    """
    words = _split(line)
    if not words or words[0] != "iot":
        raise GrammarError("a command begins with iot: iot set, iot send or iot gpio")
    verb = words[1] if len(words) > 1 else ""
    if verb == "set":
        message, recipient = _texts(words[2:])
        if message is None and recipient is None:
            raise GrammarError('iot set message "..." recipient "..."')
        return SetDefaults(message, recipient)
    if verb == "send":
        return Send(*_texts(words[2:]))
    if verb == "gpio":
        return _gpio(words[2:])
    raise GrammarError("iot knows set, send and gpio")


def _split(line: str) -> list[str]:
    """Return the words of a line; text in double quotes is one word, and a backslash in it takes what follows as it is."""
    words: list[str] = []
    at = 0
    line = line.strip()
    while at < len(line):
        match = _TOKEN.match(line, at)
        if match is None:
            raise GrammarError("a quote is not closed")
        quoted, plain = match.groups()
        words.append(re.sub(r"\\(.)", r"\1", quoted) if plain is None else plain)
        at = match.end()
    return words


def _options(words: list[str], allowed: tuple[str, ...]) -> dict[str, str]:
    """Return `name value` pairs; each name once, in any order."""
    found: dict[str, str] = {}
    for index in range(0, len(words), 2):
        name = words[index]
        if name not in allowed:
            raise GrammarError(f"{name}? here one may say: {', '.join(allowed)}")
        if name in found:
            raise GrammarError(f"{name} is given twice")
        if index + 1 == len(words):
            raise GrammarError(f"{name} needs a value")
        found[name] = words[index + 1]
    return found


def _texts(words: list[str]) -> tuple[str | None, str | None]:
    found = _options(words, ("message", "recipient"))
    return found.get("message"), found.get("recipient")


def _gpio(words: list[str]) -> Statement:
    if len(words) < 2:
        raise GrammarError("iot gpio N enable|write|disable")
    number = _pin_number(words[0])
    verb, rest = words[1], words[2:]
    if verb == "enable":
        found = _options(rest, ("dir", "pull", "edge"))
        return EnablePin(
            number,
            _one_of(found.get("dir", "in"), "dir", DIRECTIONS),
            _one_of(found.get("pull", "none"), "pull", PULLS),
            _one_of(found.get("edge", "none"), "edge", EDGES),
        )
    if verb == "write" and len(rest) == 1 and rest[0] in ("0", "1"):
        return WritePin(number, int(rest[0]))
    if verb == "write":
        raise GrammarError("iot gpio N write 0, or 1")
    if verb == "disable" and not rest:
        return DisablePin(number)
    raise GrammarError("iot gpio N enable|write|disable")


def _pin_number(word: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", word) or int(word) > HIGHEST_PIN:
        raise GrammarError(f"a pin's number is 0 to {HIGHEST_PIN}, not {word}")
    return int(word)


def _one_of(word: str, name: str, allowed: tuple[str, ...]) -> str:
    if word not in allowed:
        raise GrammarError(f"{name} is {', '.join(allowed[:-1])} or {allowed[-1]}, not {word}")
    return word
