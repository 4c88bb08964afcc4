"""The apis that a profile declares beside the documented ones: answered by their fields alone, with a memory. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from devices.profiles import Api, Field
from simulators import values
from simulators.wire import Arguments, CommandError


class OwnApis:
    """What one device knows of its own apis.

    A set is remembered under its subject (`set_fan` → fan, with the number where there is one), and a get of the same subject
    says what was set; what nobody has set is believable and wanders slowly.
    """

    def __init__(self, who: str, clock: Callable[[], float]) -> None:
        self._who = who
        self._clock = clock
        self._set: dict[str, dict[str, Any]] = {}

    def answer(self, api: Api, arguments: Arguments) -> dict[str, Any]:
        """Return the fields of the answer to a command. Raises CommandError where an argument is missing or not possible."""
        given = {field.name: value for field in api.fields if (value := _read(field, arguments)) is not None}
        subject = _subject(api.name)
        key = f"{subject}/{given['number']}" if "number" in given else subject
        if api.kind == "set":
            self._set.setdefault(key, {}).update(given)
        return values.answer(api, {**self._set.get(key, {}), **given}, f"{self._who}/{key}", self._clock())

    def event(self, api: Api) -> dict[str, Any]:
        """Return the fields of something that the device says by itself."""
        return values.answer(api, {}, f"{self._who}/{api.name}", self._clock())

    def forget(self) -> None:
        """Lose what was set, as after a reboot."""
        self._set.clear()


def _subject(name: str) -> str:
    return name[4:] if name.startswith(("get_", "set_")) else name


def _read(field: Field, arguments: Arguments) -> Any:
    """Return a field's value, None where it was left out. Raises CommandError."""
    value = arguments.value(field)
    if value is None:
        if field.required:
            raise CommandError("bad_request", f"{field.name} must be given as {field.type}")
        return None
    if field.choices and value not in field.choices:
        raise CommandError("bad_request", f"{field.name} must be one of {', '.join(map(str, field.choices))}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        too_small = field.minimum is not None and value < field.minimum
        if too_small or (field.maximum is not None and value > field.maximum):
            raise CommandError("bad_request", f"{field.name} must be from {field.minimum} to {field.maximum}")
    return value
