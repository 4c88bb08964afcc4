"""What people type about devices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django import forms

from accounts.models import Account
from devices.access import Described
from devices.downloads import LONGEST_PASSWORD, SHORTEST_ARCHIVE_PASSWORD, SHORTEST_PASSWORD
from devices.models import Certificate
from devices.names import DEVICE_NAME_LENGTH, PIN_NAME_LENGTH, PROFILE_NAME_LENGTH, InvalidName, clean_name
from devices.pki import MAX_CSR_BYTES, KeyAlgorithm
from devices.profile_check import MAX_BYTES
from devices.profiles import DEFAULT_PROFILE, Profile
from devices.selectors import HIGHEST_PIN, owner_word


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


class NameForm(forms.Form):
    """A device's name."""

    name = NameField(longest=DEVICE_NAME_LENGTH, error_messages={"required": "Give the device a name."})


class ProfileForm(forms.Form):
    """What kind of device it is: one of those that its account has."""

    profile = forms.ChoiceField(label="Kind", initial=DEFAULT_PROFILE)

    def __init__(self, *args: Any, profiles: Iterable[Profile], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["profile"]
        if isinstance(field, forms.ChoiceField):
            field.choices = [(profile.slug, profile.name) for profile in profiles]


OWN_KEY = "csr"


class KeyForm(forms.Form):
    """Which key a certificate is for: one that the portal makes, or one that the device has made and keeps."""

    key_algorithm = forms.ChoiceField(
        label="Key",
        choices=[(KeyAlgorithm.EC, "EC P-256"), (KeyAlgorithm.RSA, "RSA 2048"), (OWN_KEY, "The device's own")],
        initial=KeyAlgorithm.EC,
    )
    csr = forms.CharField(
        label="Certificate request",
        required=False,
        strip=False,
        max_length=MAX_CSR_BYTES,
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false", "autocomplete": "off"}),
    )
    csr_file = forms.FileField(label="or a file", required=False, allow_empty_file=True)

    def clean(self) -> dict[str, Any]:
        """Take the request from the file where there is one."""
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("key_algorithm") != OWN_KEY:
            cleaned["csr"] = None
        elif cleaned.get("csr_file"):
            # One byte more than may be, so that the reader of requests sees that it is too long.
            cleaned["csr"] = cleaned["csr_file"].read(MAX_CSR_BYTES + 1).decode("utf-8", "replace")
        elif not (cleaned.get("csr") or "").strip() and not self.has_error("csr"):
            self.add_error("csr", "Paste the certificate request, or choose its file.")
        return cleaned

    @property
    def key_wanted(self) -> dict[str, str]:
        """What the services take of it, once the form is valid."""
        if self.cleaned_data["csr"] is not None:
            return {"csr": self.cleaned_data["csr"]}
        return {"key_algorithm": self.cleaned_data["key_algorithm"]}


class OwnedForm(forms.Form):
    """Something new, and to which of `owners` it will belong: to the first one unless they choose."""

    account = forms.ChoiceField(
        label="Owner",
        required=False,
        error_messages={"invalid_choice": "Choose an account in which you may register devices."},
    )

    def __init__(self, *args: Any, owners: Sequence[Account], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.owners = owners
        field = self.fields["account"]
        if isinstance(field, forms.ChoiceField):
            field.choices = [(one.pk.hex, owner_word(one)) for one in owners]

    @property
    def owner(self) -> Account:
        """Whose it will be, once the form is valid."""
        chosen = self.cleaned_data["account"]
        return next((one for one in self.owners if one.pk.hex == chosen), self.owners[0])


class RegisterForm(OwnedForm, NameForm, ProfileForm, KeyForm):
    """A new device."""

    @property
    def described(self) -> dict[str, str]:
        """What the device is, beside its key."""
        return {name: self.cleaned_data[name] for name in ("name", "profile")}


class NewProfileForm(OwnedForm):
    """A new profile: its name, and the one of `profiles` that it begins as a copy of."""

    name = NameField(longest=PROFILE_NAME_LENGTH, error_messages={"required": "Give the profile a name."})
    begin = forms.ChoiceField(label="Begin with", required=False)

    def __init__(self, *args: Any, profiles: Iterable[Described], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["begin"]
        if isinstance(field, forms.ChoiceField):
            copies = [(one.key, f"a copy of {one.profile.name}") for one in profiles]
            field.choices = [*copies, ("", "nothing: no api yet")]


class DocumentForm(forms.Form):
    """A profile's document as people write it, and the version that it was made from."""

    document = forms.CharField(strip=False, max_length=4 * MAX_BYTES, error_messages={"required": "The document is empty."})
    version = forms.IntegerField(required=False, min_value=1, max_value=2**31 - 1)


class RenewForm(KeyForm):
    """A new certificate for a device."""


class RevokeForm(forms.Form):
    """Why a certificate is revoked."""

    reason = forms.ChoiceField(choices=Certificate.Reason.choices, initial=Certificate.Reason.KEY_COMPROMISE)


class PasswordForm(forms.Form):
    """The password of a file."""

    password = forms.CharField(
        label="Password of the file",
        strip=False,
        min_length=SHORTEST_PASSWORD,
        max_length=LONGEST_PASSWORD,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


class ArchivePasswordForm(forms.Form):
    """The password of an archive of many devices, which the portal proposes."""

    password = forms.CharField(
        label="Password of the archive",
        strip=True,
        min_length=SHORTEST_ARCHIVE_PASSWORD,
        max_length=LONGEST_PASSWORD,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )


class ClaimForm(forms.Form):
    """The code of a device."""

    code = forms.CharField(
        label="Code", max_length=100, widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "characters"})
    )


class PinNameForm(forms.Form):
    """A pin's name; empty takes it away."""

    number = forms.IntegerField(min_value=0, max_value=HIGHEST_PIN)
    name = NameField(longest=PIN_NAME_LENGTH, optional=True)


class SearchForm(forms.Form):
    """What the device list shows; nonsense shows all, but no account of that id is none."""

    q = forms.CharField(required=False, max_length=100)
    show = forms.CharField(required=False, max_length=40)
    account = forms.UUIDField(required=False)
