"""What a kind of device can do: the profiles.

A profile is data (`profile_data/*.json`, shape in `profile.schema.json`), read once into the frozen dataclasses below. Screens,
the API, the codec, the matcher, the simulators and the documents read it; nothing else asks what model a device is.

A file may say `"extends": "<slug>"`: its own keys then replace those of the other profile, and each of its apis is laid over
the other's api of that name, key by key; what it `lacks` goes. Adding a kind of device is adding a file.

No Django here, nothing that is not in Python 3.9, and files are read where they may be in a zip: the simulators take this module
home with them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal, cast, get_args

FieldType = Literal["integer", "number", "string", "boolean", "object", "array"]
FieldFormat = Literal["", "mac", "ipv4", "epoch", "recipient"]
Kind = Literal["get", "set", "event"]
Tile = Literal["status", "gpio", "rtc", "ethernet", "uart", "notifications", "form", "custom", "restart", "none"]
LaneScope = Literal["api", "device"]

DEFAULT_PROFILE = "standard"
DATA = resources.files("devices").joinpath("profile_data")

# One topic level that reads the same over MQTT and AMQP: no "/", "+", "#" or leading "$", and no "." (AMQP's own separator).
# Lower case alone, as some brokers' logs and people fold case; 64 is what the history column and a small topic buffer hold.
API_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
SLUG = re.compile(r"[a-z][a-z0-9-]{0,39}")


class ProfileError(ValueError):
    """A profile says something that makes no sense. `path`: the place in it, "" for all of it; `problem`: what is wrong."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.path = where.partition(": ")[2]
        self.problem = problem


class UnknownProfile(KeyError):
    """There is no profile of this slug."""

    def __str__(self) -> str:
        return f"There is no profile called {self.args[0]!r}."


@dataclass(frozen=True)
class Field:
    """One key of a command or of an answer.

    `minimum` and `maximum` bound numbers. `min_bytes` and `max_bytes` bound a text as it stands between the quotes on the wire,
    escapes included: that is what fills a small device's buffer. `choices`, where not empty, are all the values there are.
    `default` is what a form shows first; a command never gets a value that its caller did not give. `unit` is shown behind it.
    """

    name: str
    type: FieldType
    minimum: float | None = None
    maximum: float | None = None
    min_bytes: int = 0
    max_bytes: int | None = None
    required: bool = True
    title: str = ""
    help: str = ""
    format: FieldFormat = ""
    unit: str = ""
    default: object = None
    choices: tuple[str | int, ...] = ()


@dataclass(frozen=True)
class Api:
    """One thing a device can be asked, told, or say by itself.

    `kind`: "get" reads, "set" acts, "event" comes from the device unasked and cannot be sent to it.
    `echo`: the fields of the answer that repeat the command's.
    `safe_late`: harmless when it runs long after it was asked, so it may wait for an offline device.
    `timeout_s`: how long it may take, for a caller that says nothing; None: as everywhere.
    `retry_read`: may be asked a second time when the first asking met silence.
    `recover_text`: firmware is known to answer with unescaped quotes and cut at 127 bytes.
    `declared`: false for a name that the profile only passes through.
    """

    name: str
    title: str
    kind: Kind
    tile: Tile = "none"
    help: str = ""
    fields: tuple[Field, ...] = ()
    answer: tuple[Field, ...] = ()
    echo: tuple[str, ...] = ()
    timeout_s: float | None = None
    safe_late: bool = False
    retry_read: bool = False
    recover_text: bool = False
    declared: bool = True


@dataclass(frozen=True, eq=False)
class Profile:
    """A kind of device. There is one object per slug, so profiles compare by identity.

    `lane`: how much of the device one command occupies, its "api" or the whole "device".
    `deaf`, `settle_s`: it does not listen while it works; the lane stays closed for so many seconds after an answer.
    `retry_silent_read`, `retry_after_s`: ask an unanswered read once more after so many seconds.
    `payload_limit_bytes`, `answer_limit_bytes`: its buffers; longer commands are refused, longer answers are cut by the device.
    `string_search`: it finds values by searching the text, and prints texts as they are, quotes included.
    `echo_id`, `presence`, `errors`: the optional parts of the protocol that it speaks.
    `open`: api names it does not declare pass through, but for those in `lacks`, which others of its family have.
    """

    slug: str
    name: str
    description: str = ""
    lane: LaneScope = "api"
    deaf: bool = False
    settle_s: float = 0.0
    retry_silent_read: bool = False
    retry_after_s: float = 1.0
    payload_limit_bytes: int | None = None
    answer_limit_bytes: int | None = None
    string_search: bool = False
    echo_id: bool = False
    presence: bool = False
    errors: bool = False
    open: bool = True
    lacks: tuple[str, ...] = ()
    apis: Mapping[str, Api] = field(default_factory=dict)

    def api(self, name: str) -> Api:
        """Return the declared api of this name, or in an open profile one that lets everything through.

        Raises KeyError for a name the profile does not have, ValueError for a name that no device can have.
        """
        if declared := self.apis.get(name):
            return declared
        if not API_NAME.fullmatch(name):
            raise ValueError(f"{name[:70]!r} is no api name: small letters, digits and _, at most 64, starting with a letter.")
        if not self.open or name in self.lacks:
            raise KeyError(name)
        reads = name.startswith("get_")
        return Api(name=name, title=name, kind="get" if reads else "set", tile="custom", retry_read=reads, declared=False)

    def tile(self, tile: Tile) -> tuple[Api, ...]:
        """Return the declared apis that are shown on this tile."""
        return tuple(api for api in self.apis.values() if api.tile == tile)

    @property
    def has_rtc(self) -> bool:
        """Whether the device may have a clock to read."""
        return "get_rtc" in self.apis


@cache
def get_profile(slug: str) -> Profile:
    """Return the profile of this slug. Raises UnknownProfile (a KeyError), or ProfileError where its file is wrong."""
    return parse_profile(_raw(slug), where=f"{slug}.json", slug=slug)


@cache
def all_profiles() -> tuple[Profile, ...]:
    """Return every shipped profile, the default first, the others by name."""
    found = [get_profile(path.name[: -len(".json")]) for path in DATA.iterdir() if path.name.endswith(".json")]
    return tuple(sorted(found, key=lambda profile: (profile.slug != DEFAULT_PROFILE, profile.name)))


def parse_profile(raw: Mapping[str, Any], *, where: str, slug: str) -> Profile:
    """Build a profile from its JSON object with `extends` already resolved. Raises ProfileError that starts with `where`."""
    values = _checked(Profile, {key: value for key, value in raw.items() if key != "$schema"}, where)
    _require(values["slug"] == slug, where, f"slug is {values['slug']!r}, not {slug!r}")
    _require(bool(SLUG.fullmatch(slug)), where, "slug must be small letters, digits and -")
    for key in ("settle_s", "retry_after_s", "payload_limit_bytes"):
        _require((values.get(key) or 0) >= 0, where, f"{key} is negative")
    apis = {name: _api(name, api, f"{where}: apis.{name}") for name, api in values.get("apis", {}).items()}
    profile = Profile(**{**values, "lacks": tuple(values.get("lacks", ())), "apis": MappingProxyType(apis)})
    _check_together(profile, where)
    return profile


def resolved(slug: str) -> dict[str, Any]:
    """Return a shipped profile as one JSON object that extends nothing, to begin another with. Raises UnknownProfile."""
    return {key: value for key, value in _raw(slug).items() if key != "$schema"}


def _raw(slug: str, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read a profile's file and lay it over the one it extends."""
    path = DATA.joinpath(f"{slug}.json")
    if not SLUG.fullmatch(slug) or not path.is_file():
        raise UnknownProfile(slug)
    _require(slug not in seen, f"{slug}.json", "extends itself")
    try:
        own = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ProfileError(path.name, str(error)) from error
    _require(isinstance(own, dict), path.name, "is not an object")
    base_slug = own.pop("extends", None)
    return cast("dict[str, Any]", own) if base_slug is None else _laid_over(_raw(base_slug, (*seen, slug)), own)


def _laid_over(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    apis = {name: api for name, api in base.get("apis", {}).items() if name not in own.get("lacks", ())}
    for name, api in own.get("apis", {}).items():
        apis[name] = {**apis.get(name, {}), **api}
    return {**base, **own, "apis": apis}


def _check_together(profile: Profile, where: str) -> None:
    """Check what no api can see by itself."""
    _require(not profile.deaf or profile.lane == "device", where, "deaf needs the lane device: it takes one command at a time")
    for name in profile.lacks:
        _require(bool(API_NAME.fullmatch(name)), f"{where}: lacks", f"{name!r} is no api name")
        _require(name not in profile.apis, f"{where}: lacks", f"{name} is among the apis too")
    for api in profile.apis.values():
        named = {one.name for one in api.fields} | {one.name for one in api.answer}
        here = f"{where}: apis.{api.name}"
        _require(not profile.echo_id or "id" not in named, here, "id is the command's own, as the device repeats it (echo_id)")
        _require(not profile.errors or "error" not in named, here, "error is how this kind of device refuses (errors)")


def _api(name: str, raw: object, where: str) -> Api:
    _require(bool(API_NAME.fullmatch(name)), where, "is no api name")
    _require(isinstance(raw, dict), where, "is not an object")
    values = _checked(Api, {"name": name, **cast("dict[str, Any]", raw)}, where)
    for part in ("fields", "answer"):
        values[part] = tuple(_field(one, f"{where}.{part}[{i}]") for i, one in enumerate(values.get(part, ())))
    values["echo"] = tuple(values.get("echo", ()))
    api = Api(**values)
    asked, answered = [one.name for one in api.fields], [one.name for one in api.answer]
    _require(set(api.echo) <= set(asked) & set(answered), where, "echo names a field that is not in both fields and answer")
    _require("number" not in asked or asked[0] == "number", where, "number must be the first field")
    _require("value" not in asked or asked[-1] == "value", where, "value must be the last field")
    _require(len(set(asked)) == len(asked) and len(set(answered)) == len(answered), where, "a field is named twice")
    _require(not api.retry_read or api.kind == "get", where, "retry_read is for get alone: a set is never repeated")
    _require(not api.fields or api.kind != "event", where, "an event has no fields: the device says it by itself")
    _require(api.timeout_s is None or 1 <= api.timeout_s <= 30, where, "timeout_s is 1 to 30")
    if problem := _tile_problem(api):
        raise ProfileError(where, problem)
    return api


# What a tile of the Control page relies on: the fields that its get and its set take, and those that they answer.
_SHAPES: dict[Tile, dict[Kind, tuple[set[str], set[str]]]] = {
    "status": {"get": (set(), {"value"})},
    "gpio": {"get": ({"number"}, {"number", "value"}), "set": ({"number", "value"}, {"number", "value"})},
    "rtc": {"get": (set(), {"value"}), "set": ({"value"}, {"value"})},
    "ethernet": {"get": (set(), {"value"})},
    "uart": {"set": ({"value"}, {"value"})},
    "notifications": {"set": ({"recipient", "message"}, {"recipient", "message"})},
}


def _tile_problem(api: Api) -> str | None:
    """Say why an api does not go with its tile; "form" takes all."""
    if api.tile == "restart":
        told = api.kind == "set" and all(one.default is not None for one in api.fields)
        return None if told else "the tile restart is for a set whose fields all have a default"
    if api.tile not in _SHAPES:
        return None
    shape = _SHAPES[api.tile].get(api.kind)
    if shape == ({one.name for one in api.fields}, {one.name for one in api.answer}):
        return None
    wanted = " or ".join(
        f"a {kind} that takes {_words(takes)} and answers {_words(answers)}"
        for kind, (takes, answers) in _SHAPES[api.tile].items()
    )
    return f"the tile {api.tile} is for {wanted}; others have the tile form"


def _words(names: set[str]) -> str:
    return " and ".join(sorted(names)) or "nothing"


def _field(raw: object, where: str) -> Field:
    _require(isinstance(raw, dict), where, "is not an object")
    values = _checked(Field, cast("dict[str, Any]", raw), where)
    values["choices"] = tuple(values.get("choices", ()))
    values.setdefault("title", str(values["name"]).replace("_", " ").capitalize())
    made = Field(**values)
    _require(bool(API_NAME.fullmatch(made.name)), where, f"{made.name[:70]!r} is no field name")
    for problem in _field_problems(made):
        raise ProfileError(where, problem)
    return made


_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,), "number": (int, float), "string": (str,), "boolean": (bool,), "object": (dict,), "array": (list,),
}  # fmt: skip
_FORMATS = {"": tuple(_TYPES), "epoch": ("integer", "number")}  # the other formats are of texts


def _field_problems(one: Field) -> Iterator[str]:
    """Say what of a field does not go together."""
    numeric, low, high = one.type in ("integer", "number"), one.minimum, one.maximum
    if not numeric and (low, high) != (None, None):
        yield "minimum and maximum are for numbers"
    if one.type == "integer" and not all(bound is None or float(bound).is_integer() for bound in (low, high)):
        yield "minimum and maximum of a whole number are whole"
    if low is not None and high is not None and low > high:
        yield "minimum is above maximum"
    if one.type != "string" and (one.min_bytes or one.max_bytes is not None):
        yield "min_bytes and max_bytes are for texts"
    if one.max_bytes is not None and one.min_bytes > one.max_bytes:
        yield "min_bytes is above max_bytes"
    if one.type not in _FORMATS.get(one.format, ("string",)):
        yield f"the format {one.format} is not for type {one.type}"
    for choice in one.choices:
        if not _possible(one, choice):
            yield f"the choice {choice!r} is not possible for it"
    if one.default is not None and not (_possible(one, one.default) and (not one.choices or one.default in one.choices)):
        yield f"the default {one.default!r} is not possible for it"


def _possible(one: Field, value: object) -> bool:
    """Say whether a value has the field's type and is within its bounds."""
    if not isinstance(value, _TYPES[one.type]) or isinstance(value, bool) != (one.type == "boolean"):
        return False
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (one.minimum is None or value >= one.minimum) and (one.maximum is None or value <= one.maximum)
    if isinstance(value, str):
        size = len(json.dumps(value)) - 2  # between the quotes on the wire
        return one.min_bytes <= size and (one.max_bytes is None or size <= one.max_bytes)
    return True


_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,), "bool": (bool,), "int": (int,), "int | None": (int, type(None)), "float": (int, float),
    "float | None": (int, float, type(None)), "object": (object,),
}  # fmt: skip
_CLOSED = {"FieldType": FieldType, "FieldFormat": FieldFormat, "Kind": Kind, "Tile": Tile, "LaneScope": LaneScope}


def _checked(target: type, raw: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Check the keys of `raw`, and the types of their values, against a dataclass's fields; return a copy."""
    known = {one.name: one for one in fields(target) if one.name != "declared"}
    for key, value in raw.items():
        _require(key in known, where, f"has an unknown key {key!r}")
        _check_type(key, value, str(known[key].type), where)
    for one in known.values():
        needed = one.default is MISSING and one.default_factory is MISSING
        _require(not needed or one.name in raw, where, f"{one.name} is missing")
    return dict(raw)


def _check_type(key: str, value: object, kind: str, where: str) -> None:
    """Check a value against the annotation of its dataclass field, `kind`."""
    if kind in _CLOSED:
        allowed = get_args(_CLOSED[kind])
        _require(value in allowed, where, f"{key} is {value!r}, not one of {', '.join(allowed)}")
    elif kind in _KINDS:
        stray_bool = isinstance(value, bool) and kind not in ("bool", "object")
        _require(isinstance(value, _KINDS[kind]) and not stray_bool, where, f"{key} must be {kind}, not {value!r}")
    else:
        _require(isinstance(value, dict if kind.startswith("Mapping") else list), where, f"{key} has the wrong shape")


def _require(condition: bool, where: str, problem: str) -> None:
    if not condition:
        raise ProfileError(where, problem)
