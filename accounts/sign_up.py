"""What everybody who signs up says of themselves, on the page and over the API alike.

A module of its own: allauth builds its forms on this class while `accounts.forms` builds on theirs.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest

from accounts.models import User
from accounts.validators import validate_visible_text


class NamesForm(forms.Form):
    """First and last name, and the rule that a user name with @ is nothing but the person's own address."""

    first_name = forms.CharField(label="First name", max_length=150, validators=[validate_visible_text])
    last_name = forms.CharField(label="Last name", max_length=150, validators=[validate_visible_text])

    def clean(self) -> dict[str, Any]:
        """Let nobody sign in as another's address."""
        cleaned = super().clean() or self.cleaned_data
        username, email = str(cleaned.get("username") or ""), cleaned.get("email")
        if "@" in username and email and username.lower() != email.lower():
            self.add_error("username", "A user name with @ must be your own e-mail address.")
        return cleaned

    def signup(self, request: HttpRequest, user: User) -> None:
        """Add nothing: the names were saved with the user."""
