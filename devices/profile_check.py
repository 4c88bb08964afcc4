"""Is this JSON a profile? Each thing that is wrong with it, by its place, in words for the person who wrote it.

Three looks, each only if the one before found nothing: bounds (so that the next ones cost little, whatever comes), the JSON
Schema in `profile.schema.json`, and the meaning, which `devices.profiles` checks when it reads a profile.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from devices.names import is_printable
from devices.profiles import Profile, ProfileError, parse_profile

MAX_BYTES = 48 * 1024  # as JSON; a request of the API may have 64 KiB
MAX_APIS = 100
MAX_DEPTH = 8
MAX_ITEMS = 200  # of one list or object
MAX_TEXT = 1000
MAX_PROBLEMS = 20  # told at once
WHOLE = "document"  # the place of what is wrong with all of it

Problems = dict[str, list[str]]


class InvalidProfile(ValueError):
    """A document that is no profile. `problems`: sentences by the place in it, such as `apis.get_soil.fields[0].type`."""

    def __init__(self, problems: Mapping[str, list[str]]) -> None:
        super().__init__("; ".join(f"{path}: {' '.join(texts)}" for path, texts in problems.items()))
        self.problems = dict(problems)


def read_json(text: str) -> object:
    """Return the JSON value of a text in which no key may come twice. Raises InvalidProfile."""
    if len(text) > 4 * MAX_BYTES:  # laid out for people it is longer than as it is counted
        raise InvalidProfile({WHOLE: [f"Too large: a profile has at most {MAX_BYTES // 1024} KiB."]})
    try:
        return json.loads(text, object_pairs_hook=_each_key_once, parse_constant=_refuse_constant)
    except RecursionError:
        raise InvalidProfile({WHOLE: ["This is nested too deeply."]}) from None
    except json.JSONDecodeError as error:
        raise InvalidProfile({WHOLE: [f"This is not JSON: line {error.lineno}, character {error.colno}."]}) from None
    except ValueError as error:
        raise InvalidProfile({WHOLE: [f"This is not JSON: {error}"]}) from None


def checked_profile(document: object, *, slug: str) -> Profile:
    """Return the profile that a document of one's own describes. Raises InvalidProfile."""
    problems = _out_of_bounds(document) or _against_schema(document) or _own(document)
    if problems or not isinstance(document, Mapping):
        raise InvalidProfile(problems)
    try:
        return parse_profile(document, where=slug, slug=slug)
    except ProfileError as error:
        raise InvalidProfile({error.path or WHOLE: [_sentence(error.problem)]}) from None


def schema_problems(document: object) -> Problems:
    """Return what the JSON Schema finds wrong with a shipped profile's file as it stands."""
    return _out_of_bounds(document) or _against_schema(document)


def size_bytes(document: object) -> int:
    """Return how large a document is, as it is counted."""
    return len(json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass"))


# --- bounds --------------------------------------------------------------------------------------------------------------------


def _out_of_bounds(document: object) -> Problems:
    """Look at every value once; the first that is out of bounds ends the look."""
    left: list[tuple[str, object, int]] = [("", document, 1)]
    while left:
        path, value, depth = left.pop()
        if depth > MAX_DEPTH:
            return {_place(path): [f"Nested too deeply: at most {MAX_DEPTH} levels."]}
        if problem := _value_problem(value):
            return {_place(path): [problem]}
        left += [(inner_path, inner, depth + 1) for inner_path, inner in _inside(path, value)]
    if size_bytes(document) > MAX_BYTES:
        return {WHOLE: [f"Too large: {size_bytes(document):,} bytes; a profile has at most {MAX_BYTES:,}."]}
    return {}


def _value_problem(value: object) -> str | None:
    if isinstance(value, dict | list) and len(value) > MAX_ITEMS:
        return f"Too many: {len(value):,}; at most {MAX_ITEMS}."
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            return f"Too long: {len(value):,} characters; at most {MAX_TEXT:,}."
        return None if is_printable(value) else "This has characters that cannot be shown, such as line breaks."
    if isinstance(value, bool | None | dict | list):
        return None
    if isinstance(value, int | float):
        return None if math.isfinite(value) and abs(value) <= 2**64 else "This number is too large."
    return "This is not JSON."


def _inside(path: str, value: object) -> Iterable[tuple[str, object]]:
    if isinstance(value, list):
        return [(f"{path}[{index}]", inner) for index, inner in enumerate(value)]
    if isinstance(value, dict):
        names = [(path, name) for name in value]  # a name is looked at as a text too
        return [*names, *((_below(path, str(name)[:70]), inner) for name, inner in value.items())]
    return []


# --- schema --------------------------------------------------------------------------------------------------------------------


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(resources.files("devices").joinpath("profile.schema.json").read_text("utf-8")))


def _against_schema(document: object) -> Problems:
    found: Problems = {}
    for error in _validator().iter_errors(document):
        for path, text in _told(error):
            texts = found.setdefault(path, [])
            if text not in texts:
                texts.append(text)
        if len(found) >= MAX_PROBLEMS:
            break
    return found


_KINDS = {
    "string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false", "object": "an object",
    "array": "a list", "null": "null",
}  # fmt: skip
_PATTERNS = {
    "^[a-z][a-z0-9_]{0,63}$": "Small letters a to z, digits and _, beginning with a letter, at most 64.",
    "^[a-z][a-z0-9-]{0,39}$": "Small letters a to z, digits and -, beginning with a letter, at most 40.",
}


def _told(error: ValidationError) -> list[tuple[str, str]]:
    """Say one finding of the schema as (place, sentence) pairs."""
    path = _path(error.absolute_path)
    match error.validator:
        case "additionalProperties":
            known = set(error.schema["properties"])
            return [(_below(path, name), "There is no such key.") for name in error.instance if name not in known]
        case "required":
            return [(_below(path, name), "This is missing.") for name in error.validator_value if name not in error.instance]
        case "pattern" if not isinstance(error.parent, ValidationError) and "propertyNames" in error.absolute_schema_path:
            return [(_below(path, str(error.instance)[:70]), _PATTERNS[error.validator_value])]
        case _:
            return [(_place(path), _sentence(_wrong_value(error)))]


def _wrong_value(error: ValidationError) -> str:
    """Say what is wrong with one value."""
    limit: Any = error.validator_value
    match error.validator:
        case "type":
            return f"This must be {' or '.join(_KINDS[one] for one in ([limit] if isinstance(limit, str) else limit))}"
        case "enum":
            return f"One of {', '.join(repr(one) for one in limit)}".replace("'", '"')
        case "pattern":
            return _PATTERNS[limit]
        case "minimum":
            return f"At least {limit:,}"
        case "maximum":
            return f"At most {limit:,}"
        case "minLength":
            return "This is empty"
        case "maxLength":
            return f"{len(error.instance):,} characters; at most {limit:,}"
        case "maxItems" | "maxProperties":
            return f"{len(error.instance):,} of them; at most {limit:,}"
        case "uniqueItems":
            return "Something is in this list twice"
        case _:
            return "This is not possible here"


def _own(document: object) -> Problems:
    """Say what a shipped profile may do and one's own may not."""
    if isinstance(document, Mapping) and "extends" in document:
        return {"extends": ["A profile of your own stands on its own. Begin with a copy of the other one."]}
    return {}


# --- words ---------------------------------------------------------------------------------------------------------------------


def _path(parts: Iterable[str | int]) -> str:
    path = ""
    for part in parts:
        path = f"{path}[{part}]" if isinstance(part, int) else _below(path, str(part)[:70])
    return path


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name or '""'


def _place(path: str) -> str:
    return path or WHOLE


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body = dict(pairs)
    if len(body) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # on purpose
        raise ValueError(f'the key "{twice[:70]}" comes twice.')
    return body


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number.")
