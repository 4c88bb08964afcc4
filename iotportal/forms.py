"""Forms that belong to no app."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones

from django import forms

from accounts.models import User


@cache
def time_zones() -> list[tuple[str, str]]:
    """Return the time zones that people live in, UTC first."""
    named = sorted(
        zone
        for zone in available_timezones()
        if "/" in zone and not zone.startswith(("Etc/", "SystemV/", "US/", "posix/", "right/"))
    )
    return [("UTC", "UTC"), *((zone, zone.replace("_", " ")) for zone in named)]


class SettingsForm(forms.Form):
    """How the portal looks to one user."""

    theme = forms.ChoiceField(choices=[("", "As the system"), ("light", "Light"), ("dark", "Dark")], required=False)
    time_zone = forms.ChoiceField(choices=time_zones)

    def save(self, user: User) -> None:
        """Store the choices."""
        user.theme, user.time_zone = self.cleaned_data["theme"], self.cleaned_data["time_zone"]
        user.save(update_fields=["theme", "time_zone"])
