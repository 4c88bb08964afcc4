"""Forms of the door (sign up, sign in, codes, recovery) and of the account page."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar

from allauth.account import forms as allauth_forms
from allauth.account.adapter import get_adapter
from allauth.account.internal import flows
from allauth.account.internal.flows.password_reset_by_code import PasswordResetVerificationProcess
from django import forms
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts import mail, waiting
from accounts.models import ApiToken, User
from accounts.validators import validate_visible_text
from iotportal.words import wait

PASSWORD_MAX_LENGTH = 256
PASSWORD_HINT = "10 characters or more."


def dress(form: forms.BaseForm, **autocomplete: str) -> None:
    """Take allauth's placeholders away (our labels stay visible) and set the `autocomplete` words password managers go by."""
    for name, field in form.fields.items():
        attrs = field.widget.attrs
        attrs.pop("placeholder", None)
        if isinstance(field.widget, forms.PasswordInput) and isinstance(field, forms.CharField):
            limit_length(field, PASSWORD_MAX_LENGTH)
        if name in autocomplete:
            attrs["autocomplete"] = autocomplete[name]


def limit_length(field: forms.CharField, length: int) -> None:
    """Limit `field` to `length` characters, in the browser and here."""
    field.max_length = length
    field.validators.append(MaxLengthValidator(length, "At most %(limit_value)d characters."))
    field.widget.attrs["maxlength"] = str(length)


def plain_names(form: forms.BaseForm) -> None:
    """Type user names and addresses without a phone's capitals and corrections."""
    for name in ("login", "username", "email"):
        if name in form.fields:
            form.fields[name].widget.attrs.update(autocapitalize="none", spellcheck="false")


def focus_first_error(form: forms.BaseForm) -> None:
    """Put the cursor where something is to be put right."""
    for name in form.fields:
        if form.has_error(name):
            form.fields[name].widget.attrs["autofocus"] = True
            break


class SignInForm(allauth_forms.LoginForm):  # type: ignore[misc]  # allauth has no types
    """User name or e-mail, password, remember me."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].label = "User name or e-mail"
        self.fields["remember"].label = "Keep me signed in on this device"
        self.fields["password"].help_text = ""
        limit_length(self.fields["login"], 254)
        dress(self, login="username", password="current-password")
        plain_names(self)

    def clean(self) -> dict[str, Any]:
        """Say at the password that they do not match, and how many tries are left."""
        try:
            cleaned: dict[str, Any] = super().clean()
        except ValidationError as error:
            left = getattr(self.request, "tries_left", None)
            if str(error.code).endswith("_password_mismatch") and left is not None:
                error = ValidationError(f"{error.message} {counted(left)}", code=error.code)
            elif error.code == "too_many_login_attempts" and not hasattr(self.request, "wait_s"):
                error = self._code_was_sent(error)
            self.add_error("password", error)
            cleaned = self.cleaned_data
        return cleaned

    def _code_was_sent(self, error: ValidationError) -> ValidationError:
        """Say when there can be another code for the address that is to be confirmed; the password was right."""
        self.request.wait_s = waiting.wait_s(self.request)
        words = f"A code was sent to you already. Type that one, or sign in again in {wait(self.request.wait_s)} for another."
        return ValidationError(words, code=error.code)


def counted(left: int) -> str:
    """Return "4 tries left." and its like."""
    return {0: "No tries left for now.", 1: "1 try left."}.get(left, f"{left} tries left.")


class SignUpForm(allauth_forms.SignupForm):  # type: ignore[misc]  # allauth has no types
    """First and last name, user name, e-mail, password."""

    field_order: ClassVar = ["first_name", "last_name", "username", "email", "password1"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = "User name"
        self.fields["username"].help_text = "May be your e-mail address."
        self.fields["email"].label = "E-mail"
        self.fields["password1"].label = "Password"
        self.fields["password1"].help_text = PASSWORD_HINT
        limit_length(self.fields["email"], 254)
        dress(
            self,
            first_name="given-name",
            last_name="family-name",
            username="username",
            email="email",
            password1="new-password",
        )
        plain_names(self)

    def save(self, request: HttpRequest) -> User:
        """Save user, address and personal account, all or nothing."""
        with transaction.atomic():
            user: User = super().save(request)
        return user

    def save_unless_known(self, request: HttpRequest) -> User | None:
        """Save the user, or return None in about the same time if the address has an account.

        Raises:
            ValidationError: somebody took the user name after it was checked.
        """
        if self.account_already_exists:
            make_password(self.cleaned_data["password1"])  # as long as saving takes
            return None
        try:
            return self.save(request)
        except IntegrityError as error:
            self._lost_race(error)
            return None

    def try_save(self, request: HttpRequest) -> tuple[User | None, HttpResponse | None]:
        """Save the user, or answer as if: a known address gets a mail, and here the same page.

        Raises:
            ValidationError: as `save_unless_known`.
        """
        user = self.save_unless_known(request)
        return user, None if user else flows.signup.prevent_enumeration(request, email=self.cleaned_data["email"])

    def _lost_race(self, error: IntegrityError) -> None:
        """Find out which of two sign-ups at once was first: by user name (raise) or by address (return)."""
        constraint = str(getattr(getattr(error.__cause__, "diag", None), "constraint_name", ""))
        own_address = self.cleaned_data["username"].lower() == self.cleaned_data["email"].lower()
        if "email" in constraint or ("username" in constraint and own_address):
            return
        if "username" in constraint:
            raise get_adapter().validation_error("username_taken") from error
        raise error


class CodeForm(forms.Form):
    """The look of the six-digit field."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["code"]
        field.label = "Code"
        field.error_messages["required"] = "Type the 6 digits from the mail."
        field.widget.attrs.pop("placeholder", None)
        field.widget.attrs.update(
            {"class": "six", "inputmode": "numeric", "maxlength": "6", "pattern": "[0-9]{6}", "autofocus": True}
        )


class ConfirmEmailForm(CodeForm, allauth_forms.ConfirmEmailVerificationCodeForm):  # type: ignore[misc]  # allauth has no types
    """The code that confirms the e-mail address."""


class RecoverCodeForm(CodeForm, allauth_forms.ConfirmPasswordResetCodeForm):  # type: ignore[misc]  # allauth has no types
    """The code that allows a new password."""


class RecoverForm(allauth_forms.ResetPasswordForm):  # type: ignore[misc]  # allauth has no types
    """The address that the code goes to."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = "E-mail"
        limit_length(self.fields["email"], 254)
        dress(self, email="email")
        plain_names(self)

    def clean_email(self) -> str:
        """Take the address; whose it is is not looked at here (see accounts/services/recovery.py)."""
        return str(get_adapter().clean_email(self.cleaned_data["email"].lower()))

    def save(self, request: HttpRequest, **kwargs: Any) -> str:
        """Keep a code in the session and have it sent, to whoever has the address.

        Raises:
            MailNotTaken: it could not be handed over.
        """
        email = str(self.cleaned_data["email"])
        process = PasswordResetVerificationProcess(request, PasswordResetVerificationProcess.initial_state(None, email))
        process.state["code"] = get_adapter().generate_password_reset_code()
        mail.send_recovery(email, process.code)
        process.persist()
        return email


def ask_once(form: forms.Form) -> None:
    """Have a form of allauth's ask for a new password once."""
    del form.fields["password2"]
    form.fields["password1"].label = "New password"
    form.fields["password1"].help_text = PASSWORD_HINT
    dress(form, password1="new-password")


class NewPasswordForm(allauth_forms.ResetPasswordKeyForm):  # type: ignore[misc]  # allauth has no types
    """The new password, once: a second field only doubles the typing errors."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        ask_once(self)


class TokenForm(forms.Form):
    """Name, scope and end of a new API token."""

    name = forms.CharField(
        max_length=60, validators=[validate_visible_text], help_text="What will use it, for example “grafana”."
    )
    scopes = forms.MultipleChoiceField(
        label="It may",
        choices=ApiToken.Scope.choices,
        initial=[ApiToken.Scope.CONTROL],
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose what the token may do."},
    )
    lifetime = forms.TypedChoiceField(
        label="It ends",
        choices=[("", "Never"), ("7", "In 7 days"), ("30", "In 30 days"), ("90", "In 90 days"), ("365", "In a year")],
        coerce=int,
        empty_value=None,
        required=False,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dress(self, name="off")

    def expires_at(self) -> datetime | None:
        """Return the moment the token is to end, or None."""
        days = self.cleaned_data["lifetime"]
        return timezone.now() + timedelta(days=days) if days else None
