"""Values that a device could believably say, and that a caller could well send: by the profile's fields alone. No I/O."""

from __future__ import annotations

import hashlib
import math
from typing import Any

from devices.profiles import Api, Field

# What is usual where a field names a unit and no bounds.
_USUAL: dict[str, tuple[float, float]] = {
    "%": (20, 80), "°C": (18, 26), "°F": (64, 79), "K": (291, 299), "V": (3.2, 3.4), "mV": (3200, 3400), "A": (0.1, 0.6),
    "mA": (20, 180), "W": (1, 9), "hPa": (985, 1030), "bar": (0.9, 1.6), "lx": (80, 900), "ppm": (400, 900), "s": (1, 60),
    "ms": (5, 120), "l": (5, 40), "m": (0.2, 3), "cm": (10, 200), "mm": (100, 900), "rpm": (600, 2400), "dBm": (-80, -50),
}  # fmt: skip
_PERIOD_S = 600.0


def believable(field: Field, who: str, at: float) -> Any:
    """Return what a sensor would say for `field` at the time `at` (seconds): it wanders slowly, differently for each `who`."""
    chance = _chance(f"{who}/{field.name}")
    if field.choices:
        return field.choices[int(chance * len(field.choices))]
    if field.format == "epoch":
        return int(at)
    if field.type in ("integer", "number"):
        low, high = _usual_range(field)
        middle = low + (high - low) * (0.3 + 0.4 * chance)
        value = middle + (high - low) * 0.2 * math.sin(at / _PERIOD_S * math.tau + chance * math.tau)
        return _rounded(field, value)
    return _other(field, chance)


def example(field: Field) -> Any:
    """Return a value that a caller could send: the default, the first choice, or one within the bounds."""
    if field.default is not None:
        return field.default
    if field.choices:
        return field.choices[0]
    if field.format == "epoch":
        return 1574000000
    if field.type in ("integer", "number"):
        low, high = _usual_range(field)
        return _rounded(field, 10 if low <= 10 <= high else low)
    return _other(field, 0.0)


def arguments(api: Api) -> dict[str, Any]:
    """Return arguments that a caller could send; those that may be left out are."""
    return {field.name: example(field) for field in api.fields if field.required}


def answer(api: Api, given: dict[str, Any], who: str, at: float) -> dict[str, Any]:
    """Return the answer to `given`: what it repeats as it was given, the rest believable, `number` first and `value` last."""
    fields = {field.name: given.get(field.name, believable(field, who, at)) for field in api.answer}
    for name in api.echo:
        if name in given:
            fields[name] = given[name]
    first = {"number": fields.pop("number")} if "number" in fields else {}
    last = {"value": fields.pop("value")} if "value" in fields else {}
    return {**first, **fields, **last}


def _usual_range(field: Field) -> tuple[float, float]:
    """Return what is usual for the unit, as far as it is possible for the field."""
    low, high = _USUAL.get(field.unit, (0.0, 100.0))
    floor = -math.inf if field.minimum is None else float(field.minimum)
    ceiling = math.inf if field.maximum is None else float(field.maximum)
    if max(low, floor) < min(high, ceiling):
        return max(low, floor), min(high, ceiling)
    if math.isinf(floor):
        return ceiling - 100, ceiling
    return floor, floor + 100 if math.isinf(ceiling) else ceiling


def _rounded(field: Field, value: float) -> int | float:
    low, high = _usual_range(field)
    return round(value) if field.type == "integer" else min(max(round(value, 2), low), high)


def _other(field: Field, chance: float) -> Any:
    if field.type == "boolean":
        return chance >= 0.5
    if field.type in ("object", "array"):
        return {} if field.type == "object" else []
    formatted = {"mac": "02:00:00:00:00:01", "ipv4": "192.168.100.5", "recipient": "ops@example.com"}
    text = formatted.get(field.format, "hello")
    return text.ljust(field.min_bytes, ".")[: field.max_bytes]


def _chance(text: str) -> float:
    """Return a number from 0 to 1 that is always the same for the same text."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:6], "big") / 2**48
