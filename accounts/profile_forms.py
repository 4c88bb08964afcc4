"""Forms of the profile, of e-mail, password and phone."""

from __future__ import annotations

from typing import Any

from allauth.account import forms as allauth_forms
from django import forms

from accounts import phones
from accounts.forms import ask_once, dress, limit_length, plain_names
from accounts.models import User
from accounts.validators import validate_visible_text
from iotportal.languages import languages
from iotportal.time_zones import time_zones


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """What a person can change about themselves; how the portal looks to them is on the Settings page."""

    time_zone = forms.ChoiceField(
        choices=time_zones, help_text="Times on your pages, and your months of free messages, are in it."
    )
    language = forms.ChoiceField(choices=lambda: list(languages().items()), required=False)

    class Meta:
        model = User
        fields = ("first_name", "last_name", "time_zone", "language")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("first_name", "last_name"):
            self.fields[name].validators.append(validate_visible_text)
        if len(languages()) == 1:
            del self.fields["language"]
        dress(self, first_name="given-name", last_name="family-name")

    def clean_language(self) -> str:
        """Leave it as it is where none is chosen."""
        return self.cleaned_data["language"] or str(self.instance.language)


class PasswordForm(allauth_forms.SetPasswordForm):  # type: ignore[misc]  # allauth has no types
    """A new password, once; that it is the person themselves was confirmed before."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        ask_once(self)


class EmailForm(allauth_forms.AddEmailForm):  # type: ignore[misc]  # allauth has no types
    """The new address."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = "New e-mail"
        limit_length(self.fields["email"], 254)
        dress(self, email="email")
        plain_names(self)


class PhoneForm(forms.Form):
    """Country and number; the number alone where it starts with +."""

    country = forms.ChoiceField(choices=lambda: [("", "Country"), *phones.countries()], required=False)
    phone = forms.CharField(label="Number", max_length=32, error_messages={"required": "Type the number."})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["phone"].widget.input_type = "tel"
        dress(self, country="country", phone="tel-national")
        self.number = ""  # E.164

    def clean(self) -> dict[str, Any]:
        """Put the two together."""
        cleaned = super().clean() or {}
        if "phone" in cleaned and "country" in cleaned:
            try:
                self.number = phones.parse(cleaned["phone"], cleaned["country"])
            except phones.NoPhoneNumber as error:
                self.add_error("phone", str(error))
        return cleaned


class UserNameForm(forms.Form):
    """One's own user name, typed to confirm."""

    name = forms.CharField(label="User name", max_length=150, error_messages={"required": "Type your user name."})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dress(self, name="off")
