"""Which devices somebody wants many of: the lines of a CSV file, or a count and a pattern. Pure: no database."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass

from devices.names import InvalidName, clean_name
from devices.profiles import DEFAULT_PROFILE

MAX_LINES = 1_000
MAX_CSV_BYTES = 200 * 1024  # 1,000 lines of 200 bytes; what a form may bring along in all is a little more
NUMBER = "{n}"  # where a pattern has the number
HIGHEST_NUMBER = 1_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """One device to be registered. `number`: the line that asks for it, from 1, as an editor counts them."""

    number: int
    name: str
    profile: str = DEFAULT_PROFILE


@dataclass(frozen=True, slots=True)
class LineProblem:
    """What is wrong with one line. `field`: "name" or "profile"."""

    number: int
    text: str
    field: str = "name"


class ListRefused(ValueError):
    """The list cannot be taken as a whole; the message is for the person who sent it."""


class LinesRefused(Exception):
    """Some lines cannot be taken; nothing was registered."""

    def __init__(self, problems: Iterable[LineProblem]) -> None:
        self.problems = sorted(problems, key=lambda one: one.number)
        super().__init__(f"{len(self.problems)} lines cannot be taken. Nothing was registered.")


def read_csv(content: bytes, profile: str = DEFAULT_PROFILE) -> list[Wanted]:
    """Return the lines of a CSV file: name, then the slug of a profile (`profile` where there is none).

    Comma or semicolon, UTF-8 with or without a mark; a first line that begins with "name" is the heading; blank lines are left
    out.

    Raises:
        ListRefused: it is too large, not text in UTF-8, not CSV, or has too many lines or columns.
    """
    if len(content) > MAX_CSV_BYTES:
        raise ListRefused(f"The file is too large: {MAX_CSV_BYTES // 1024} KiB are the most.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ListRefused("The file is not text in UTF-8. Save it as “CSV UTF-8”.") from None
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if first.count(";") > first.count(",") else ",", strict=True)
    found: list[Wanted] = []
    try:
        for row in reader:
            cells = [cell.strip(" ") for cell in row]
            if not any(cells) or (reader.line_num == 1 and cells[0].lower() == "name"):
                continue
            if len(cells) > 2 and any(cells[2:]):
                raise ListRefused(f"Line {reader.line_num} has more than two columns: name and profile are all there is.")
            if len(found) == MAX_LINES:
                raise ListRefused(_too_many())
            found.append(Wanted(reader.line_num, cells[0], (cells[1] if len(cells) > 1 else "") or profile))
    except csv.Error as error:
        raise ListRefused(f"Line {reader.line_num} is not CSV: {error}.") from None
    return found


def numbered(pattern: str, count: int, first: int = 1, profile: str = DEFAULT_PROFILE) -> list[Wanted]:
    """Return `count` devices whose names are `pattern` with the numbers from `first` on in place of `{n}`.

    Raises:
        ListRefused: there is no place for the number, or there are too many or none.
    """
    if NUMBER not in pattern:
        raise ListRefused("Say with {n} where the number goes, as in “Pump {n}”.")
    if not 1 <= count <= MAX_LINES:
        raise ListRefused(_too_many())
    if not 0 <= first <= HIGHEST_NUMBER:
        raise ListRefused(f"The first number is at least 0 and at most {HIGHEST_NUMBER:,}.")
    return [Wanted(line, pattern.replace(NUMBER, str(first + line - 1)), profile) for line in range(1, count + 1)]


def check_names(wanted: Iterable[Wanted]) -> tuple[list[Wanted], list[LineProblem]]:
    """Return the lines with their names as they are stored, and what is wrong with the others: no name, or a line's before."""
    good: list[Wanted] = []
    problems: list[LineProblem] = []
    seen: dict[str, int] = {}
    for one in wanted:
        try:
            name = clean_name(one.name)
        except InvalidName as error:
            problems.append(LineProblem(one.number, str(error)))
            continue
        before = seen.setdefault(name.lower(), one.number)
        if before != one.number:
            problems.append(LineProblem(one.number, f"Line {before} has the name “{name}” too."))
        else:
            good.append(Wanted(one.number, name, one.profile))
    return good, problems


def _too_many() -> str:
    return f"At least one and at most {MAX_LINES:,} devices can be registered at a time."
