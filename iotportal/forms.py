"""Forms that belong to no app."""

from __future__ import annotations

from django import forms

from accounts.models import User


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
