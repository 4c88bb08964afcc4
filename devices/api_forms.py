"""An api of one's own, typed into fields instead of written as JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from django import forms

from devices.forms import NameField
from devices.names import PIN_NAME_LENGTH

ROWS, MORE_ROWS, MOST_ROWS = 3, 3, 32
NUMBERS = ("integer", "number")
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
    type = forms.ChoiceField(
        label="Type",
        required=False,
        choices=[("integer", "whole number"), ("number", "number"), ("string", "text"), ("boolean", "yes or no")],
    )
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


class ApiForms:
    """The form of an api with the rows of its arguments and of its answer."""

    def __init__(self, data: Any, *, rows: int, version: int) -> None:
        rows_of = forms.formset_factory(FieldForm, extra=rows, max_num=MOST_ROWS, absolute_max=MOST_ROWS, validate_max=True)
        self.api = ApiForm(data, initial={"kind": "get", "version": version})
        self.fields = rows_of(data, prefix="fields")
        self.answer = rows_of(data, prefix="answer")

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
