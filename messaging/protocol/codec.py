r"""Commands to bytes and answers from bytes.

Down we are strict: a command is byte for byte what `json.dumps` prints by default, `number` first and `value` last, because the
smallest firmware finds values by string search. Up we are liberal: see `decode_answer`.

The `id` of a command goes only to a device that repeats it. It stands after `number` and before all else, so that a parser by
string search still finds `number` at the start, `value` at the end, and `"recipient": …, "message": …` side by side.

Lengths of texts are counted as they stand between the quotes on the wire: `"` is 2 bytes (`\"`), `é` is 6 (`\u00e9`). The
firmware copies these bytes into its buffers; what a JSON parser would make of them is of no use to it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, NoReturn

from devices.profiles import Api, Field, Profile

MAX_PAYLOAD_BYTES = 16 * 1024
MAX_DEPTH = 16
FIRMWARE_CUT_BYTES = 127  # a 128-byte buffer less C's closing zero: firmware cuts its answers there
WHOLE_COMMAND = "arguments"  # the key of an error that belongs to no single field

_INTEGER = re.compile(r"-?[0-9]{1,19}")
_MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNPRINTABLE_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")  # in JSON: a zero, or (half of) a surrogate pair
_ID = re.compile(r'"id"\s*:\s*"([^"\\]{1,64})"')
_INT64 = 2**63
_PADDING = "\0 \t\r\n\ufeff"  # what careless firmware leaves around its JSON
_encode = json.JSONEncoder().encode  # json.dumps without its look at the options


class InvalidArguments(ValueError):
    """A command cannot be sent as asked. `errors`: field name (or WHOLE_COMMAND) to sentences for the caller."""

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        super().__init__(" ".join(f"{name}: {' '.join(texts)}" for name, texts in errors.items()))
        self.errors = dict(errors)


class Prepared(NamedTuple):
    """A checked command: its arguments as they go out (a pin `"10"` is 10 here) and the bytes that carry them."""

    arguments: dict[str, object]
    payload: bytes


@dataclass(frozen=True, slots=True)
class DeviceError:
    """What a device said instead of a value."""

    code: str
    message: str


class Answer(NamedTuple):
    """What a device said, as far as it could be read.

    `fields`: declared ones in their declared type, others as they came.
    `malformed`: not what the api's answer should be; `reason` says why.
    `text`: what was recovered from broken JSON; then `fields` hold it too, and the command counts as answered.
    `cut`: the recovered text may be only the beginning.
    `error`: the device refused. `id`: the command's, where the device repeats it.
    """

    fields: dict[str, Any]
    malformed: bool = False
    text: str | None = None
    error: DeviceError | None = None
    id: str | None = None
    reason: str | None = None
    cut: bool = False

    @property
    def failed(self) -> bool:
        """Whether the caller gets an error for it: nothing could be read."""
        return self.malformed and self.text is None


# Down ------------------------------------------------------------------------------------------------------------------------


def encode_command(profile: Profile, api: Api, arguments: Mapping[str, object], command_id: str | None = None) -> bytes:
    """Return the payload of a command. Raises InvalidArguments."""
    return prepare_command(profile, api, arguments, command_id).payload


def prepare_command(profile: Profile, api: Api, arguments: Mapping[str, object], command_id: str | None = None) -> Prepared:
    """Check a command's arguments against the profile and encode them.

    `command_id` is sent only where the profile says that the device repeats it. Raises InvalidArguments.
    """
    if api.kind == "event":
        raise InvalidArguments({"api": [f"{api.name} is something the device says by itself; it cannot be sent."]})
    checked = _declared(api, arguments) if api.declared else _passed_through(profile, arguments)
    body = _in_order(checked, command_id if profile.echo_id else None)
    payload = _encode(body).encode("ascii")
    limit = profile.payload_limit_bytes or MAX_PAYLOAD_BYTES
    if len(payload) > limit:
        taker = "this kind of device" if profile.payload_limit_bytes else "the portal"
        excess = f"{len(payload):,} bytes; {taker} takes {limit:,}. Shorten it by {len(payload) - limit:,}."
        raise InvalidArguments({_longest_text(checked): ["The whole command is " + excess]})
    return Prepared(checked, payload)


def from_texts(api: Api, texts: Mapping[str, object]) -> dict[str, object]:
    """Return arguments that came as texts, from a form or an address, in the types of the api's fields.

    What cannot be turned stays as it is, so that the check says what is wrong with it. Of an api that the profile does not
    declare, what reads as JSON is taken for that.
    """
    fields = {field.name: field for field in api.fields}
    return {name: _from_text(fields.get(name), text) if isinstance(text, str) else text for name, text in texts.items()}


def _from_text(field: Field | None, text: str) -> object:
    if field is not None and field.type in ("string", "integer"):
        return text  # a whole number is taken as text everywhere
    words = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
    if field is not None and field.type == "boolean":
        return words.get(text.strip().lower(), text)
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text


def wire_bytes(text: str) -> int:
    """Return how many bytes a text takes between the quotes on the wire."""
    return len(_encode(text)) - 2


def _in_order(arguments: Mapping[str, object], command_id: str | None) -> dict[str, object]:
    body: dict[str, object] = {}
    if "number" in arguments:
        body["number"] = arguments["number"]
    if command_id is not None:
        body["id"] = command_id
    body.update((name, value) for name, value in arguments.items() if name not in ("number", "value"))
    if "value" in arguments:
        body["value"] = arguments["value"]
    return body


def _declared(api: Api, arguments: Mapping[str, object]) -> dict[str, object]:
    """Check the arguments of a declared api; return them in the profile's order."""
    errors: dict[str, list[str]] = {}
    checked: dict[str, object] = {}
    names = [field.name for field in api.fields]
    for name in arguments:
        if name not in names:
            takes = f"It takes {_listed(names)}." if names else "It takes nothing."
            errors[_shown(name)] = [f"{api.name} has no such field. {takes}"]
    for field in api.fields:
        value = arguments.get(field.name)
        if value is None:
            if field.required:
                errors[field.name] = [f"{field.title} is missing."]
            continue
        try:
            checked[field.name] = _checked(field, value)
        except ValueError as problem:
            errors[field.name] = [str(problem)]
    if errors:
        raise InvalidArguments(errors)
    return checked


def _checked(field: Field, value: object) -> object:
    """Return an argument in the field's type. Raises ValueError with the sentence for the caller."""
    value = _CHECKERS.get(field.type, _structure)(field, value)
    if field.choices and value not in field.choices:
        possible = _listed([_quoted(one) for one in field.choices], "or")
        raise ValueError(f"{_quoted(value)} is not possible here; this takes {possible}.")
    return value


def _whole_number(field: Field, value: object) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{_quoted(value)} is not a whole number.")
    _within(field, value)
    return value


def _number(field: Field, value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{_quoted(value)} is not a number.")
    _within(field, value)
    return value


def _within(field: Field, value: float) -> None:
    low = -_INT64 if field.minimum is None else field.minimum
    high = _INT64 - 1 if field.maximum is None else field.maximum
    if not low <= value <= high:
        shown = f"{value:,}" if abs(value) < 10**12 else "This number"
        raise ValueError(f"{shown} is too {'small' if value < low else 'large'}; this takes {low:,} to {high:,}.")


def _boolean(field: Field, value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{_quoted(value)} is neither true nor false.")
    return value


def _text(field: Field, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{_quoted(value)} is not text. Put it in quotes.")
    if problem := _text_problem(value):
        raise ValueError(problem)
    size = wire_bytes(value)
    if size < field.min_bytes:
        raise ValueError(f"{field.title} is empty." if not size else f"Too short: this takes at least {field.min_bytes} bytes.")
    if field.max_bytes is not None and size > field.max_bytes:
        counted = " Each quote, backslash or special letter counts as 2 to 12 bytes." if size > len(value) else ""
        excess = f"{size:,} bytes; this kind of device takes {field.max_bytes:,}. Shorten it by {size - field.max_bytes:,}."
        raise ValueError(excess + counted)
    if field.format == "mac" and not _MAC.fullmatch(value):
        raise ValueError(f"{_quoted(value)} is not a MAC address such as 00:c0:ca:90:61:05.")
    return value


def _structure(field: Field, value: object) -> object:
    if not isinstance(value, Mapping if field.type == "object" else list):
        raise ValueError(f"{_quoted(value)} is not {'an object' if field.type == 'object' else 'a list'}.")
    if problem := _json_problem(value):
        raise ValueError(problem)
    return value


_CHECKERS: dict[str, Callable[[Field, object], object]] = {
    "integer": _whole_number,
    "number": _number,
    "boolean": _boolean,
    "string": _text,
}


def _passed_through(profile: Profile, arguments: Mapping[Any, object]) -> dict[str, object]:
    """Check the arguments of an api that the profile does not declare: any JSON, within bounds."""
    errors: dict[str, list[str]] = {}
    for name, value in arguments.items():
        if not isinstance(name, str) or _text_problem(name):
            errors[_shown(name)] = ["This is not a field name."]
        elif name == "id" and profile.echo_id:
            errors[name] = ["The portal puts its own id here for this kind of device. Use another name."]
        elif problem := _json_problem(value):
            errors[_shown(name)] = [problem]
    if errors:
        raise InvalidArguments(errors)
    return dict(arguments)


def _json_problem(value: object) -> str | None:
    """Say what keeps a value from being sent as JSON within the bounds; None if nothing does."""
    left, seen = [(value, 2)], 0  # the arguments themselves are level 1
    while left:
        one, depth = left.pop()
        seen += 1
        if seen > MAX_PAYLOAD_BYTES:
            return f"Too large: a command has at most {MAX_PAYLOAD_BYTES:,} bytes."
        if isinstance(one, dict | list | tuple):
            if depth > MAX_DEPTH:
                return f"Nested too deeply: at most {MAX_DEPTH} levels."
            if isinstance(one, dict) and not all(isinstance(key, str) for key in one):
                return "Field names are text."
            left.extend((inner, depth + 1) for inner in _inside(one))
        elif problem := _scalar_problem(one):
            return problem
    return None


def _inside(value: Any) -> Iterable[object]:
    return (part for pair in value.items() for part in pair) if isinstance(value, dict) else value


def _scalar_problem(value: object) -> str | None:
    if isinstance(value, str):
        return _text_problem(value)
    if isinstance(value, int):  # true and false too
        return None if -_INT64 <= value < 2 * _INT64 else "A whole number has at most 64 bits."
    if isinstance(value, float):
        return None if math.isfinite(value) else "NaN and Infinity are not JSON."
    return None if value is None else f"{type(value).__name__} is not JSON."


def _text_problem(text: str) -> str | None:
    if len(text) > MAX_PAYLOAD_BYTES:
        return f"{len(text):,} characters; a command has at most {MAX_PAYLOAD_BYTES:,} bytes."
    if "\0" in text:
        return "A zero character cannot be sent: it ends a text in the device."
    return "This has half a character in it (a lone surrogate), which is not text." if _SURROGATE.search(text) else None


def _longest_text(arguments: Mapping[str, object]) -> str:
    """Return the name of the argument that a caller would shorten."""
    texts = {name: len(value) for name, value in arguments.items() if isinstance(value, str)}
    return max(texts, key=lambda name: texts[name], default=WHOLE_COMMAND)


def _quoted(value: object) -> str:
    """Show a caller's value in a sentence, shortened."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int | float):
        return "This number" if isinstance(value, int) and value.bit_length() > 64 else str(value)
    return f'"{_shown(value)}"' if isinstance(value, str) else "This"


def _shown(name: object) -> str:
    text = _SURROGATE.sub("\ufffd", str(name)) if isinstance(name, str) else type(name).__name__
    return text if len(text) <= 40 else text[:39] + "…"


def _listed(names: list[str], word: str = "and") -> str:
    return f" {word} ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


# Up --------------------------------------------------------------------------------------------------------------------------


class _Malformed(ValueError):
    """Why an answer is not what it should be."""


def decode_answer(profile: Profile, api: Api, payload: bytes, max_bytes: int = MAX_PAYLOAD_BYTES) -> Answer:
    """Read what a device published. Never raises: what cannot be read comes back as a malformed Answer.

    Liberal: zero bytes and white space around the JSON, raw control characters in texts, whole numbers as `"3"`, `3.0` or `true`,
    texts as numbers, additional keys. Where the api says `recover_text`, broken or unfinished JSON is searched for its texts.
    Not accepted: other than UTF-8 or an object, a key twice, NaN, Infinity, numbers beyond 64 bits in a declared field or of more
    than 40 digits elsewhere, deeper than MAX_DEPTH. Half surrogates and zero characters become U+FFFD, so that the fields can be
    stored and printed.
    """
    if len(payload) > max_bytes:
        return Answer({}, malformed=True, reason=f"{len(payload):,} bytes; the portal takes {max_bytes:,}.")
    try:
        body = _object(payload)
    except _Malformed as problem:
        return _recovered(profile, api, payload, str(problem))
    command_id = _id(body.pop("id", None)) if profile.echo_id else None
    error = _error(body["error"]) if profile.errors and "error" in body else None
    wrong = _to_declared_types(api, body, error is not None)
    return Answer(body, malformed=bool(wrong), error=error, id=command_id, reason=" ".join(wrong) or None)


def _to_declared_types(api: Api, body: dict[str, Any], refused: bool) -> list[str]:
    """Turn the declared fields of an answer into their types in place, drop those that cannot be; say what is wrong."""
    wrong = []
    for field in api.answer:
        if field.name not in body:
            if field.required and not refused:
                wrong.append(f"{field.name} is missing.")
            continue
        try:
            body[field.name] = _read(field, body[field.name])
        except _Malformed as problem:
            del body[field.name]
            wrong.append(f"{field.name} {problem}.")
    return wrong


def _read(field: Field, value: Any) -> Any:
    """Return a value of an answer in the field's type, liberally. Raises _Malformed."""
    reader = _READERS.get(field.type)
    if reader is not None:
        value = reader(value)
    elif field.type == "number" and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise _Malformed("is not a number")
    elif field.type in ("object", "array") and not isinstance(value, dict if field.type == "object" else list):
        raise _Malformed(f"is not an {field.type}")
    if field.choices and value not in field.choices:
        raise _Malformed("is none of the known values")
    return value


def _read_integer(value: Any) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    if not isinstance(value, int) or not -_INT64 <= value < _INT64:
        raise _Malformed("is not a whole number")
    return value


def _read_text(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise _Malformed("is not text")
    return value


def _read_boolean(value: Any) -> bool:
    if not isinstance(value, bool) and value not in (0, 1):
        raise _Malformed("is neither true nor false")
    return bool(value)


_READERS: dict[str, Callable[[Any], object]] = {"integer": _read_integer, "string": _read_text, "boolean": _read_boolean}


def _id(value: object) -> str | None:
    return str(value)[:64] if isinstance(value, str | int) else None


def _error(value: object) -> DeviceError:
    if isinstance(value, dict):
        return DeviceError(_brief(value.get("code"), 64), _brief(value.get("message"), 500))
    return DeviceError("", _brief(value, 500))


def _brief(value: object, length: int) -> str:
    return str(value)[:length] if isinstance(value, str | int | float) else ""


def _object(payload: bytes) -> dict[str, Any]:
    """Parse a payload into a JSON object with clean texts. Raises _Malformed."""
    try:
        text = payload.decode().strip(_PADDING)
    except UnicodeDecodeError:
        raise _Malformed("Not UTF-8.") from None
    try:
        body = _DECODER.decode(text)
    except _Malformed:
        raise
    except (ValueError, RecursionError):
        raise _Malformed("Not valid JSON.") from None
    if not isinstance(body, dict):
        raise _Malformed("Not a JSON object.")
    if text.count("{") + text.count("[") > MAX_DEPTH and _depth(body) > MAX_DEPTH:
        raise _Malformed(f"Nested more than {MAX_DEPTH} levels deep.")
    return dict(_clean(body)) if "\0" in text or _UNPRINTABLE_ESCAPE.search(text) else body


def _depth(value: Any) -> int:
    deepest, left = 0, [(value, 1)]
    while left:
        one, depth = left.pop()
        if isinstance(one, dict | list):
            deepest = max(deepest, depth)
            left.extend((inner, depth + 1) for inner in (one.values() if isinstance(one, dict) else one))
    return deepest


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value).replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {_clean(key): _clean(inner) for key, inner in value.items()}
    return [_clean(inner) for inner in value] if isinstance(value, list) else value


def _refuse_constant(name: str) -> NoReturn:
    raise _Malformed(f"{name} is not JSON.")


def _bounded_int(digits: str) -> int:
    if len(digits) > 40:
        raise _Malformed("A number has more than 40 digits.")
    return int(digits)


def _finite_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise _Malformed("A number is too large.")
    return value


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body = dict(pairs)
    if len(body) != len(pairs):
        raise _Malformed("A key comes twice.")
    return body


_DECODER = json.JSONDecoder(
    object_pairs_hook=_each_key_once,
    parse_constant=_refuse_constant,
    parse_int=_bounded_int,
    parse_float=_finite_float,
    strict=False,
)


# Up, from broken JSON --------------------------------------------------------------------------------------------------------


def _recovered(profile: Profile, api: Api, payload: bytes, reason: str) -> Answer:
    """Read what can be read of a payload that is no JSON object: the id, and where the api says so its texts."""
    text = payload.decode("utf-8", "ignore").strip(_PADDING)  # "ignore": a cut may fall inside a character
    found = _ID.search(text) if profile.echo_id else None
    command_id = found[1] if found else None
    fields, closed = _texts(api, text) if api.recover_text else ({}, False)
    kept = next(reversed(fields.values()), None)
    cut = bool(fields) and (not closed or len(payload) >= FIRMWARE_CUT_BYTES)
    return Answer(dict(fields), malformed=True, text=kept, id=command_id, reason=reason, cut=cut)


def _texts(api: Api, text: str) -> tuple[dict[str, str], bool]:
    """Find the text fields of an answer by string search, as the firmware does; and whether the last one was closed."""
    names = [field.name for field in api.answer if field.type == "string"]
    fields: dict[str, str] = {}
    for name, following in zip(names, [*names[1:], None], strict=True):
        start = re.search(rf'"{name}"\s*:\s*"', text)
        if start is None:
            break
        text = text[start.end() :]
        end = following and re.search(rf'"\s*,\s*"{following}"\s*:\s*"', text)
        if not end:
            inner, closed = _last_text(text, following)
            fields[name] = _unescaped(inner)
            return fields, closed
        fields[name] = _unescaped(text[: end.start()])
        text = text[end.start() + 1 :]
    return fields, False


def _last_text(text: str, following: str | None) -> tuple[str, bool]:
    """Return what stands before the end of the object, wherever the cut fell; and whether that end was there."""
    end = re.search(r'"\s*\}$', text)
    if end and not following:
        inner = text[: end.start()]
        backslashes = len(inner) - len(inner.rstrip("\\"))
        return inner, backslashes % 2 == 0  # an odd one: the text was cut at a quote of its own
    link = f'", "{following}": "' if following else '"'
    for size in range(len(link), 0, -1):
        if text.endswith(link[:size]):
            return text[:-size], False
    return text, False


def _unescaped(inner: str) -> str:
    try:
        text = str(_DECODER.decode(f'"{inner}"'))
    except ValueError:
        text = inner
    return str(_clean(text))


# Whose answer ----------------------------------------------------------------------------------------------------------------

Agreement = Literal["no", "perhaps", "yes"]


def agreement(api: Api, arguments: Mapping[str, object], answer: Answer) -> Agreement:
    """Say whether an answer can be the one to a command of the same api with these (prepared) arguments.

    "no": a field that it should repeat differs. "perhaps": none differs, but some could not be read whole. "yes": all agree; an
    api that repeats nothing always says yes.
    """
    verdict: Agreement = "yes"
    for name in api.echo:
        if name not in answer.fields:
            verdict = "perhaps"
        elif answer.text is None:
            if _comparable(answer.fields[name]) != _comparable(arguments.get(name)):
                return "no"
        else:
            last = name == next(reversed(answer.fields))
            if not _text_agrees(str(arguments.get(name)), str(answer.fields[name]), answer.cut and last):
                return "no"
            verdict = "perhaps" if answer.cut and last else verdict
    return verdict


def told_apart(api: Api, one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    """Say whether no answer, however broken, can belong to both of two commands of this api (prepared arguments)."""
    first, second = _head(api, one), _head(api, other)
    return not first.startswith(second) and not second.startswith(first)


def _head(api: Api, arguments: Mapping[str, object]) -> str:
    """Return as much of the echo as is sure to come back whole and unchanged; nothing for an api that repeats nothing."""
    if not api.echo:
        return ""
    line = _encode({name: _comparable(arguments.get(name)) for name in api.echo})
    return line[:FIRMWARE_CUT_BYTES].partition("\\")[0] if api.recover_text else line


def _comparable(value: object) -> object:
    return value.lower() if isinstance(value, str) and _MAC.fullmatch(value) else value


def _text_agrees(sent: str, got: str, cut: bool) -> bool:
    """Compare a sent text with a recovered one, which may have lost or kept escapes and, if cut, its end."""
    kept = _bare(got)
    return any(whole.startswith(kept) if cut else whole == kept for whole in (_bare(sent), _bare(_encode(sent))))


def _bare(text: str) -> str:
    return text.replace("\\", "").replace('"', "")
