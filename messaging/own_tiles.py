"""The tiles of the Control page that a profile makes by itself: one for each subject of its apis with the tile "form".

`get_soil`, `set_soil` and an event `soil` are one tile. What can be typed, and how values are shown, the profile's fields say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from devices.profiles import Api, Field, Profile
from messaging.gateway.core import CommandResult
from messaging.models import Reading
from messaging.protocol import codec
from messaging.protocol.readings import is_numbered, reading_key, reading_of, source_of, subject_of

PREFIX = "own-"
INPUT = "f-"  # before a field's name in a form, so that none is mistaken for one of the form's own
MOST_ROWS = 64  # of one tile: a profile may number its things up to 32,767


@dataclass(frozen=True, slots=True)
class Input:
    """One field of a form. `kind`: "choice", "number", "json" or "text"."""

    field: Field
    id: str
    kind: str
    value: str
    errors: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What it is called in the form."""
        return INPUT + self.field.name

    @property
    def choices(self) -> list[tuple[str, str]]:
        """What can be chosen: (value, words)."""
        if self.field.type == "boolean":
            return [("true", "on"), ("false", "off")]
        return [(str(one), str(one)) for one in self.field.choices]

    @property
    def step(self) -> str:
        """The step of a number."""
        return "1" if self.field.type == "integer" else "any"


@dataclass(frozen=True, slots=True)
class Form:
    """The form of one api."""

    api: Api
    inputs: tuple[Input, ...]
    errors: tuple[str, ...] = ()  # that belong to no field

    @property
    def verb(self) -> str:
        """What its button says."""
        return "Get" if self.api.kind == "get" else "Set" if self.api.name.startswith("set_") else "Send"


@dataclass(frozen=True, slots=True)
class Shown:
    """One thing that the device said: parts as (title, words)."""

    key: str
    title: str
    parts: tuple[tuple[str, str], ...]
    at: datetime
    elapsed_ms: float | None


def grouped(apis: Iterable[Api]) -> dict[str, list[Api]]:
    """Return the apis by the key of their tile, in the profile's order."""
    found: dict[str, list[Api]] = {}
    for api in apis:
        found.setdefault(PREFIX + subject_of(api.name), []).append(api)
    return found


def forms(key: str, apis: Iterable[Api], values: Mapping[str, str], errors: Mapping[str, Iterable[str]]) -> list[Form]:
    """Return the tile's forms; `values` and `errors` are those of the one that was sent, named by `values["api"]`."""
    found = []
    for api in apis:
        if api.kind == "event":
            continue
        sent = values.get("api") == api.name
        about = {name: tuple(texts) for name, texts in errors.items()} if sent else {}
        inputs = tuple(_input(key, api, field, values if sent else {}, about.pop(field.name, ())) for field in api.fields)
        rest = tuple(text for texts in about.values() for text in texts)
        found.append(Form(api, inputs, rest))
    return found


def arguments(api: Api, post: Mapping[str, str]) -> dict[str, object]:
    """Return the arguments that a form's texts stand for; what was left empty is left out, but for a text that must be there."""
    texts = {}
    for field in api.fields:
        text = post.get(INPUT + field.name, "")
        if text != "" or (field.required and field.type == "string" and not field.choices):
            texts[field.name] = text
    return codec.from_texts(api, texts)


def shown(
    profile: Profile, apis: Iterable[Api], readings: Mapping[str, Reading], fresh: Iterable[CommandResult] = ()
) -> list[Shown]:
    """Return what the device has said about a tile's subject, with what it answered just now laid over it."""
    sources = {key: source_of(profile, api) for api in apis if (key := reading_key(profile, api)) is not None}
    found = {key: (reading.value, reading.at, reading.elapsed_ms) for key, reading in readings.items() if _base(key) in sources}
    for result in fresh:
        api = profile.apis.get(result.api)
        confirmed = reading_of(profile, api, result.answer) if api is not None else None
        if confirmed is not None and _base(confirmed[0]) in sources:
            found[confirmed[0]] = (confirmed[1], timezone.now(), result.timeline.get("delivered"))
    rows = [_shown(key, sources[_base(key)], *about) for key, about in sorted(found.items(), key=lambda one: _order(one[0]))]
    return rows[:MOST_ROWS]


def words_of(field: Field, value: object) -> str:
    """Write a value with its unit."""
    if isinstance(value, bool):
        text = "on" if value else "off"
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{text} {field.unit}" if field.unit else text


def _shown(key: str, source: Api, value: object, at: datetime, elapsed_ms: float | None) -> Shown:
    number = key.rpartition("/")[2] if is_numbered(source) else ""
    named = next((one.title for one in source.answer if one.name == "number"), "")
    return Shown(key, f"{named} {number}".strip() if number else "", tuple(_parts(source, value)), at, elapsed_ms)


def _parts(source: Api, value: object) -> Iterator[tuple[str, str]]:
    fields = [one for one in source.answer if one.name != "number"]
    if [one.name for one in fields] == ["value"]:
        yield fields[0].title, words_of(fields[0], value)
    elif isinstance(value, Mapping):
        for field in fields:
            if field.name in value:
                yield field.title, words_of(field, value[field.name])


def _base(key: str) -> str:
    base, _, number = key.rpartition("/")
    return base if base and number.isdecimal() else key


def _order(key: str) -> tuple[str, int]:
    base, _, number = key.rpartition("/")
    return (base, int(number)) if base and number.isdecimal() else (key, -1)


def _input(tile: str, api: Api, field: Field, values: Mapping[str, str], errors: tuple[str, ...]) -> Input:
    if field.choices or field.type == "boolean":
        kind = "choice"
    elif field.type in ("integer", "number"):
        kind = "number"
    else:
        kind = "text" if field.type == "string" else "json"
    default = "" if field.default is None else field.default if isinstance(field.default, str) else json.dumps(field.default)
    return Input(field, f"{tile}-{api.name}-{field.name}", kind, values.get(INPUT + field.name, default), errors)
