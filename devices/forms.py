"""What people type about devices."""

from __future__ import annotations

from typing import Any

from django import forms

from devices.names import DEVICE_NAME_LENGTH, PIN_NAME_LENGTH, InvalidName, clean_name
from devices.pki import KeyAlgorithm
from devices.profiles import DEFAULT_PROFILE, all_profiles


class NameField(forms.CharField):
    """A name that people give to a device or pin; checked where every name is."""

    def __init__(self, *, longest: int, optional: bool = False, **kwargs: Any) -> None:
        self.longest, self.optional = longest, optional
        super().__init__(required=not optional, strip=True, **kwargs)
        self.widget.attrs.setdefault("maxlength", longest)

    def clean(self, value: Any) -> str:
        """Return the name as it is stored."""
        text = super().clean(value)
        try:
            return clean_name(text, longest=self.longest, optional=self.optional)
        except InvalidName as error:
            raise forms.ValidationError(str(error)) from error


def _profiles() -> list[tuple[str, str]]:
    return [(profile.slug, profile.name) for profile in all_profiles()]


class NameForm(forms.Form):
    """A device's name."""

    name = NameField(longest=DEVICE_NAME_LENGTH, error_messages={"required": "Give the device a name."})


class ProfileForm(forms.Form):
    """What kind of device it is."""

    profile = forms.ChoiceField(label="Kind", choices=_profiles)


class RegisterForm(NameForm):
    """A new device."""

    profile = forms.ChoiceField(label="Kind", choices=_profiles, initial=DEFAULT_PROFILE)
    key_algorithm = forms.ChoiceField(
        label="Key",
        choices=[(KeyAlgorithm.EC, "EC P-256"), (KeyAlgorithm.RSA, "RSA 2048")],
        initial=KeyAlgorithm.EC,
    )


class PinNameForm(forms.Form):
    """A pin's name; empty takes it away."""

    number = forms.IntegerField(min_value=0, max_value=255)
    name = NameField(longest=PIN_NAME_LENGTH, optional=True)


class SearchForm(forms.Form):
    """What the device list shows; nonsense shows all."""

    q = forms.CharField(required=False, max_length=100)
    show = forms.CharField(required=False, max_length=40)
