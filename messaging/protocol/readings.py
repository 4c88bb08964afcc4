"""Which value an answer confirms: the key under which it is kept and shown, and what is kept. Pure; the profile decides.

A reading belongs to a subject: `get_fan` and `set_fan` are both about "fan", and so is an event `fan`, as long as what they say
has all that the get answers; otherwise they speak for themselves ("api:set_fan"). Where the answer has a `number`, each number is
a reading of its own ("gpio/10").
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from devices.profiles import Api, Profile, Tile

SHOWN: frozenset[Tile] = frozenset({"gpio", "rtc", "ethernet", "form"})
MAX_NUMBER = 32_767  # what a pin's column holds
MAX_BYTES = 2000  # of a value as JSON; a text is cut
MAX_TEXT = 200


def subject_of(name: str) -> str:
    """Return what an api is about: its name without `get_` or `set_`."""
    return name[4:] if name.startswith(("get_", "set_")) else name


def source_of(profile: Profile, api: Api) -> Api:
    """Return the api whose reading the answers of `api` are: the get of its subject, if they say all that it does, or itself."""
    asking = profile.apis.get(f"get_{subject_of(api.name)}")
    if asking is None or not {one.name for one in asking.answer} <= {one.name for one in api.answer}:
        return api
    return asking


def reading_key(profile: Profile, api: Api) -> str | None:
    """Return the key of what the answers of an api confirm, without its number; None where nothing is kept of them."""
    return _key(profile, api, source_of(profile, api))


def _key(profile: Profile, api: Api, source: Api) -> str | None:
    if not api.declared or source.tile not in SHOWN or not any(one.name != "number" for one in source.answer):
        return None
    alone = source is api and f"get_{subject_of(api.name)}" in profile.apis and not api.name.startswith("get_")
    return f"api:{api.name}" if alone else subject_of(source.name)


def is_numbered(api: Api) -> bool:
    """Say whether an answer of the api is about one of several things."""
    return any(one.name == "number" for one in api.answer)


def reading_of(profile: Profile, api: Api, fields: Mapping[str, Any]) -> tuple[str, Any] | None:
    """Return key and value of what an answer's fields confirm, None where there is nothing to keep."""
    source = source_of(profile, api)
    key = _key(profile, api, source)
    if key is None:
        return None
    if is_numbered(source):
        number = fields.get("number")
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MAX_NUMBER:
            return None
        key = f"{key}/{number}"
    value = _value(source, fields)
    return None if value is None or len(json.dumps(value)) > MAX_BYTES else (key, value)


def _value(source: Api, fields: Mapping[str, Any]) -> Any:
    """Return the plain value where it is the only one, otherwise an object of all that were said."""
    names = [one.name for one in source.answer if one.name != "number"]
    said = {name: _cut(fields[name]) for name in names if fields.get(name) is not None}
    if names == ["value"]:
        value = said.get("value")
        return None if value == "" else value
    return said or None


def _cut(value: Any) -> Any:
    return value[:MAX_TEXT] if isinstance(value, str) else value
