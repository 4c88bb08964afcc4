"""Forms of second factors: at sign-in and on the Account page."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import ReauthenticateForm
from allauth.account.internal.flows.login import record_authentication
from allauth.mfa.base.internal.flows import check_rate_limit
from allauth.mfa.internal.flows.add import validate_can_add_authenticator
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.webauthn.forms import (
    AddWebAuthnForm,
    AuthenticateWebAuthnForm,
    EditWebAuthnForm,
    LoginWebAuthnForm,
    ReauthenticateWebAuthnForm,
)
from django import forms
from django.http import HttpRequest

from accounts.forms import counted, dress, limit_length
from accounts.models import User
from accounts.services import factors
from accounts.validators import validate_visible_text

NOT_MADE = "That passkey could not be kept. Try again."
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

    def save(self, request: HttpRequest) -> None:
        """Keep in the session that the second factor was shown."""
        record_authentication(request, self.user, "mfa", type=self.kind)


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
            return super().clean_credential()  # type: ignore[misc]  # of the class that it is mixed into
        except (forms.ValidationError, AttributeError, LookupError, TypeError, ValueError) as error:
            # allauth and fido2 parse what the browser sent and do not look at every type in it first
            raise forms.ValidationError(NOT_ACCEPTED) from error


class PasskeyStepForm(PasskeyFormMixin, AuthenticateWebAuthnForm):  # type: ignore[misc]  # allauth has no types
    """A passkey as a second factor."""


class AppForm(ActivateTOTPForm):  # type: ignore[misc]  # allauth has no types
    """The first code of a new app, which proves that it has the secret."""

    step = -1  # of time, whose code it was

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["code"]
        field.label = "Code"
        field.error_messages["required"] = "Type the 6 digits that the app shows."
        field.widget.attrs.pop("placeholder", None)
        field.widget.attrs.update({**SIX, "class": "", "autofocus": self.is_bound})

    def clean_code(self) -> str:
        """Take the code of now, the one before or the one after."""
        validate_can_add_authenticator(self.user)
        clear = check_rate_limit(self.user, error_key="rate_limited")
        code = str(self.cleaned_data["code"]).replace(" ", "")
        step = factors.accept_step(self.secret, code)
        if step is None:
            raise forms.ValidationError("That code is not right. Is the clock of the phone right?")
        self.step = step
        clear()
        return code


class PasskeyForm(AddWebAuthnForm):  # type: ignore[misc]  # allauth has no types
    """A new passkey and its name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.fields["passwordless"]  # each is good for signing in without a password
        self.fields["credential"] = CredentialField(error_messages={"required": NOT_MADE})
        name_field(self)

    def clean(self) -> dict[str, Any]:
        """Check what the browser made."""
        try:
            cleaned: dict[str, Any] = super().clean()
        except (forms.ValidationError, AttributeError, LookupError, TypeError, ValueError) as error:
            # allauth and fido2 parse what the browser sent and do not look at every type in it first
            raise forms.ValidationError(NOT_MADE) from error
        return cleaned


class PasskeyNameForm(EditWebAuthnForm):  # type: ignore[misc]  # allauth has no types
    """Another name for a passkey."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        name_field(self)


def name_field(form: forms.Form) -> None:
    """Give the field of a passkey's name its limits."""
    field = form.fields["name"]
    assert isinstance(field, forms.CharField)  # noqa: S101  # allauth's forms have it so
    limit_length(field, 60)
    field.validators.append(validate_visible_text)
    field.help_text = "So that you know it again, for example “blue USB key”."
    field.widget.attrs["autocomplete"] = "off"


class PasskeySignInForm(PasskeyFormMixin, LoginWebAuthnForm):  # type: ignore[misc]  # allauth has no types
    """A passkey in place of name and password."""


class ConfirmByPasswordForm(ReauthenticateForm):  # type: ignore[misc]  # allauth has no types
    """The password of somebody who is signed in."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password"].help_text = ""
        self.fields["password"].widget.attrs["autofocus"] = True
        dress(self, password="current-password")


class ConfirmByCodeForm(FactorCodeForm):
    """A code of the app, or a recovery code, of somebody who is signed in."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, recovery=True, **kwargs)
        self.fields["code"].label = "Code of the app, or a recovery code"

    def save(self, request: HttpRequest) -> None:
        """Keep in the session that it was confirmed just now."""
        record_authentication(request, self.user, "mfa", type=self.kind, reauthenticated=True)


class ConfirmByPasskeyForm(PasskeyFormMixin, ReauthenticateWebAuthnForm):  # type: ignore[misc]  # allauth has no types
    """A passkey of somebody who is signed in."""


class CodeFactorForm(forms.Form):
    """How codes are sent."""

    way = forms.ChoiceField(choices=[("email", "By e-mail"), ("sms", "By SMS")])
