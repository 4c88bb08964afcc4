"""Forms of second factors: at sign-in and on the Account page."""

from __future__ import annotations

from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn import forms as allauth_webauthn
from django import forms

from accounts.forms import counted
from accounts.models import User
from accounts.services import factors

NOT_ACCEPTED = "That passkey was not accepted. Try again, or use another way."
_CREDENTIAL_MAX = 64 * 1024
SIX = {
    "class": "six",
    "inputmode": "numeric",
    "maxlength": "6",
    "pattern": "[0-9]{6}",
    "autocomplete": "one-time-code",
    "autofocus": True,
}


class FactorCodeForm(forms.Form):
    """A code as a second factor: six digits of the app or of a message, or a recovery code."""

    code = forms.CharField(max_length=32, error_messages={"required": "Type the code."})

    def __init__(self, *args: Any, user: User, challenge: str = "", recovery: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user, self.challenge = user, challenge
        self.kind = ""  # of the good code
        self.wait_s = 0  # after too many wrong ones
        field = self.fields["code"]
        field.label = "Recovery code" if recovery else "Code"
        field.widget.attrs.update({"autocomplete": "off", "autofocus": True, "inputmode": "numeric"} if recovery else SIX)

    def clean_code(self) -> str:
        """Use the code up; say how many tries are left."""
        code: str = self.cleaned_data["code"]
        try:
            self.kind = factors.use_code(self.user, code, challenge=self.challenge) or ""
        except factors.TooManyTries as error:
            self.wait_s = error.wait_s
            raise forms.ValidationError(f"Too many wrong codes. Wait {wait_words(error.wait_s)}, then try again.") from error
        if not self.kind:
            raise forms.ValidationError(f"That code is not right. {counted(factors.tries_left(self.user))}")
        return code


def wait_words(seconds: int) -> str:
    """Return "5 minutes" and its like, rounded up."""
    if seconds > 90 * 60:
        return f"{-(-seconds // 3600)} hours"
    return f"{-(-seconds // 60)} minutes" if seconds > 60 else "a minute"


class CredentialField(forms.JSONField):
    """What the browser's passkeys said, as JSON: an object of a size that can be."""

    widget = forms.HiddenInput

    def to_python(self, value: Any) -> Any:
        """Parse it; whatever cannot be is the same to us."""
        try:
            said = super().to_python(value) if len(str(value)) < _CREDENTIAL_MAX else None
        except (ValueError, RecursionError):  # numbers of thousands of digits, endless nesting
            said = None
        if not isinstance(said, dict):
            raise forms.ValidationError(NOT_ACCEPTED)
        return said


class PasskeyFormMixin:
    """Says in our words that a passkey was not accepted, whatever was wrong with it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields: dict[str, forms.Field]
        self.fields["credential"] = CredentialField(error_messages={"required": NOT_ACCEPTED})

    def clean_credential(self) -> Authenticator:
        """Look for the passkey and check what it signed."""
        try:
            return super().clean_credential()  # type: ignore[misc]
        except (forms.ValidationError, AttributeError, LookupError, TypeError, ValueError) as error:
            # allauth and fido2 parse what the browser sent and do not look at every type in it first
            raise forms.ValidationError(NOT_ACCEPTED) from error


class PasskeyStepForm(PasskeyFormMixin, allauth_webauthn.AuthenticateWebAuthnForm):  # type: ignore[misc]  # allauth has no types
    """A passkey as a second factor."""
