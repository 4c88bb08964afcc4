"""An api of one's own, typed into fields instead of written as JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django import forms

from devices.forms import NameField
from devices.names import PIN_NAME_LENGTH

ROWS, MORE_ROWS, MOST_ROWS = 3, 3, 32
NUMBERS = ("integer", "number")
TYPES = {"integer": "whole number", "number": "number", "string": "text", "boolean": "yes or no"}
# What the form says of a field; what else a profile may say of one stays as it is.
_OURS = {"name", "type", "minimum", "maximum", "min_bytes", "max_bytes", "choices", "unit"}
_PLACE = re.compile(r"apis\.\w+\.(fields|answer)\[(\d+)\]\.?(.*)")


class ApiForm(forms.Form):
    """What the api is called and does."""

    name = forms.CharField(label="Name", max_length=64, error_messages={"required": "Give it the name that the firmware has."})
    title = NameField(label="Title", longest=PIN_NAME_LENGTH, error_messages={"required": "Say what its tile is called."})
    kind = forms.ChoiceField(label="What it does", choices=[("get", "It reads"), ("set", "It acts")])
    version = forms.IntegerField(min_value=1, max_value=2**31 - 1, widget=forms.HiddenInput)


class FieldForm(forms.Form):
    """One argument, or one value of the answer; without a name there is none."""

    name = forms.CharField(label="Name", required=False, max_length=64)
    type = forms.ChoiceField(label="Type", required=False, choices=list(TYPES.items()))
    least = forms.FloatField(label="Least", required=False)
    most = forms.FloatField(label="Most", required=False)
    choices = forms.CharField(label="Only these", required=False, max_length=500)
    unit = forms.CharField(label="Unit", required=False, max_length=20)

    def clean(self) -> dict[str, Any]:
        """Take limits from numbers and texts alone, and nothing from a row without a name."""
        cleaned = super().clean() or self.cleaned_data
        limits = [name for name in ("least", "most", "choices", "unit") if cleaned.get(name) not in (None, "")]
        if limits and not cleaned.get("name"):
            self.add_error("name", "Give it a name.")
        if cleaned.get("type") == "boolean" and limits:
            self.add_error("type", "Yes or no has neither limits, choices nor a unit.")
        if cleaned.get("type") in NUMBERS:
            self._clean_choices(cleaned)
        return cleaned

    def _clean_choices(self, cleaned: dict[str, Any]) -> None:
        try:
            [number(one) for one in split(cleaned.get("choices") or "")]
        except ValueError:
            self.add_error("choices", "These are to be numbers, with commas between them.")

    @property
    def described(self) -> dict[str, Any] | None:
        """The field as a profile has it, once the form is valid; None where there is none."""
        given = self.cleaned_data
        if not given.get("name"):
            return None
        kind = given["type"]
        least, most = ("minimum", "maximum") if kind in NUMBERS else ("min_bytes", "max_bytes")
        choices = split(given["choices"])
        found = {
            least: None if given["least"] is None else whole(given["least"]),
            most: None if given["most"] is None else whole(given["most"]),
            "choices": [number(one) for one in choices] if kind in NUMBERS else choices,
            "unit": given["unit"],
        }
        said = {key: value for key, value in found.items() if value not in (None, "", [])}
        return {"name": given["name"], "type": kind, **said}


def split(text: str) -> list[str]:
    """Return what stands between the commas."""
    return [one.strip() for one in text.split(",") if one.strip()]


def whole(value: float) -> int | float:
    """Return a number as JSON has it: 3, not 3.0."""
    return int(value) if value.is_integer() else value


def number(text: str) -> int | float:
    """Return the number that a text says. Raises ValueError."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return whole(value)


class Shown(NamedTuple):
    """What stands in the form at first."""

    api: dict[str, Any]
    fields: list[dict[str, Any]]
    answer: list[dict[str, Any]]


def blank_form(version: int) -> Shown:
    """Return an empty form for a profile of this version."""
    return Shown({"kind": "get", "version": version}, [], [])


def typed(data: Mapping[str, Any]) -> Shown:
    """Return what was typed into the form, whatever it is, for a form of more rows."""

    def rows(prefix: str) -> list[dict[str, Any]]:
        said = str(data.get(f"{prefix}-TOTAL_FORMS", ""))
        count = min(int(said), MOST_ROWS) if said.isascii() and said.isdecimal() and len(said) < 9 else ROWS
        return [{name: data.get(f"{prefix}-{row}-{name}", "") for name in FieldForm.base_fields} for row in range(count)]

    return Shown({name: data.get(name, "") for name in ApiForm.base_fields}, rows("fields"), rows("answer"))


def filled(name: str, api: Mapping[str, Any], version: int) -> Shown | None:
    """Return the form of an api as a profile has it; None where it has what the form has no place for."""
    parts = [[_as_row(field) for field in api.get(part, [])] for part in ("fields", "answer")]
    kind = api.get("kind", "get")
    rows = [row for part in parts for row in part if row is not None]
    if kind == "event" or len(rows) != sum(map(len, parts)):
        return None
    about = {"name": name, "title": api.get("title", ""), "kind": kind, "version": version}
    return Shown(about, *([row for row in part if row is not None] for part in parts))


def _as_row(field: Mapping[str, Any]) -> dict[str, Any] | None:
    choices = [str(one) for one in field.get("choices", [])]
    if field["type"] not in TYPES or split(",".join(choices)) != choices:
        return None
    least, most = ("minimum", "maximum") if field["type"] in NUMBERS else ("min_bytes", "max_bytes")
    row = {"name": field["name"], "type": field["type"], "least": field.get(least), "most": field.get(most)}
    return {**row, "choices": ", ".join(choices), "unit": field.get("unit", "")}


def revised(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the api that the form describes, with all that the form does not speak of as it was.

    A field is the one that had its name. What a device repeats that the form had a say in is decided anew.
    """
    merged = {**{key: value for key, value in old.items() if key not in {"fields", "answer", "echo"}}, **new}
    merged["tile"] = old.get("tile", new["tile"])
    for part in ("fields", "answer"):
        before = {field["name"]: field for field in old.get(part, [])}
        if part in new:
            merged[part] = [{**_others(before.get(field["name"], {}), field["type"]), **field} for field in new[part]]
    silent = _shared(old) - set(old.get("echo", []))  # in both lists, and yet not repeated
    echo = [name for name in new.get("echo", []) if name not in silent]
    return {**{key: value for key, value in merged.items() if key != "echo"}, **({"echo": echo} if echo else {})}


def _others(field: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return what a profile says of a field beside the form; a default or format of another type is none."""
    lost = _OURS if field.get("type") == kind else {*_OURS, "default", "format"}
    return {key: value for key, value in field.items() if key not in lost}


def _shared(api: Mapping[str, Any]) -> set[str]:
    fields, answer = ({field["name"] for field in api.get(part, [])} for part in ("fields", "answer"))
    return fields & answer


class ApiForms:
    """The form of an api with the rows of its arguments and of its answer, of which `more` are empty at the end."""

    def __init__(self, data: Any, shown: Shown, *, more: int = ROWS) -> None:
        rows_of = forms.formset_factory(FieldForm, extra=more, max_num=MOST_ROWS, absolute_max=MOST_ROWS, validate_max=True)
        self.api = ApiForm(data, initial=shown.api)
        # Not with what was sent: a row that was left as it was would count as an empty one.
        self.fields = rows_of(data, prefix="fields", initial=None if data else shown.fields)
        self.answer = rows_of(data, prefix="answer", initial=None if data else shown.answer)

    def is_valid(self) -> bool:
        """Say whether all of it can be read; whether it makes a profile `save_profile` says."""
        return all([self.api.is_valid(), self.fields.is_valid(), self.answer.is_valid()])

    @property
    def described(self) -> dict[str, Any]:
        """The api as a profile has it. What has one name in both the device repeats: by that its answer is known."""
        fields, answer = ([row for form in part if (row := form.described)] for part in (self.fields, self.answer))
        names = {one["name"] for one in fields}
        echo = [one["name"] for one in answer if one["name"] in names]
        api = {"title": self.api.cleaned_data["title"], "kind": self.api.cleaned_data["kind"], "tile": "form"}
        parts = {"fields": fields, "answer": answer, "echo": echo}
        return {**api, **{name: part for name, part in parts.items() if part}}

    def take(self, problems: dict[str, list[str]]) -> None:
        """Show what is wrong with the profile that it would make: at the row that it is about, else above all."""
        for path, texts in problems.items():
            found = _PLACE.fullmatch(path)
            if found is None:
                self.api.add_error(None, [f"{path.rpartition('.')[2]}: {text}" for text in texts])
                continue
            row = self._row(self.fields if found[1] == "fields" else self.answer, int(found[2]))
            row.add_error("name", [f"{found[3]}: {text}" if found[3] else text for text in texts])

    @staticmethod
    def _row(part: Iterable[FieldForm], index: int) -> FieldForm:
        """Return the row that became the field of this index: those without a name became none."""
        return [form for form in part if form.described][index]
