"""Forms that belong to no app."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from django import forms
from django.forms.utils import flatatt
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.models import User
from iotportal.templatetags.ui import options


class LongSelect(forms.Select):
    """A choice of many, drawn at once: Django's renders two templates for each of them."""

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        """Return the select; groups of choices it has none."""
        drawn = options(cast("Iterable[tuple[str, str]]", self.choices), *self.format_value(value))
        return format_html("<select{}>{}</select>", flatatt({"name": name, **self.build_attrs(self.attrs, attrs)}), drawn)


class SettingsForm(forms.Form):
    """How the portal looks to one user."""

    theme = forms.ChoiceField(choices=[("", "As the system"), ("light", "Light"), ("dark", "Dark")], required=False)

    def clean_theme(self) -> str:
        """Tell "as the system", which is "", from a form that says nothing of it."""
        if "theme" not in self.data:
            raise forms.ValidationError("Choose one.")
        return str(self.cleaned_data["theme"])

    def save(self, user: User) -> None:
        """Store the choice."""
        user.theme = self.cleaned_data["theme"]
        user.save(update_fields=["theme"])
