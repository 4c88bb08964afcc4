"""What people say when they want many devices."""

from __future__ import annotations

from typing import Any

from django import forms

from devices.forms import OwnedForm, ProfileForm
from devices.wanted import HIGHEST_NUMBER, MAX_CSV_BYTES, MAX_LINES, Wanted, numbered, read_csv


class ManyForm(OwnedForm, ProfileForm):
    """Many devices: those of a CSV file if there is one, otherwise a count of numbered ones."""

    pattern = forms.CharField(label="Names", required=False, max_length=80, initial="Pump {n}")
    count = forms.IntegerField(label="How many", required=False, min_value=1, max_value=MAX_LINES, initial=10)
    first = forms.IntegerField(label="First number", required=False, min_value=0, max_value=HIGHEST_NUMBER, initial=1)
    csv_file = forms.FileField(label="CSV file", required=False, allow_empty_file=True)

    def clean(self) -> dict[str, Any]:
        """Ask for one of the two."""
        cleaned = super().clean() or self.cleaned_data
        if not cleaned.get("csv_file") and not self.has_error("csv_file"):
            for name, text in (("pattern", "Say what they are called, as in “Pump {n}”."), ("count", "Say how many.")):
                if cleaned.get(name) in (None, "") and not self.has_error(name):
                    self.add_error(name, text)
        return cleaned

    def wanted(self) -> list[Wanted]:
        """Return the devices, once the form is valid. Raises ListRefused."""
        given = self.cleaned_data
        if given["csv_file"]:
            return read_csv(given["csv_file"].read(MAX_CSV_BYTES + 1), given["profile"])
        first = given["first"] if given["first"] is not None else 1
        return numbered(given["pattern"], given["count"], first, given["profile"])
