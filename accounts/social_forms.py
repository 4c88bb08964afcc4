"""What new users who come from another site are asked for."""

from __future__ import annotations

from typing import Any, ClassVar

from allauth.socialaccount.forms import SignupForm
from django.http import HttpRequest

from accounts.forms import dress, limit_length, plain_names
from accounts.models import User


class SocialSignUpForm(SignupForm):  # type: ignore[misc]  # allauth has no types
    """Names, user name and e-mail, filled in with what the site told."""

    field_order: ClassVar = ["first_name", "last_name", "username", "email"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = "User name"
        self.fields["email"].label = "E-mail"
        limit_length(self.fields["email"], 254)
        dress(self, first_name="given-name", last_name="family-name", username="username", email="email")
        plain_names(self)

    def save(self, request: HttpRequest) -> User:
        """Save; the site's word on an address counts for no other."""
        told = self.sociallogin.email_addresses
        self.sociallogin.email_addresses = [one for one in told if one.email == self.cleaned_data["email"]]
        user: User = super().save(request)
        return user
