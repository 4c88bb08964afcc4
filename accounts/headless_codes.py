"""Codes of mails in allauth's JSON flows: the same limits as on the pages, and each guess counted before it is looked at.

allauth counts wrong codes in the session, where of a hundred requests at once each reads the same number, and looks at once
whose an address is. Here nobody is looked up before the right code shows that the mail was read.
"""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.internal.userkit import user_id_to_str
from allauth.core.internal.cryptokit import compare_user_code
from allauth.headless.account import response, views
from allauth.headless.base.response import APIResponse, AuthenticationResponse, ConflictResponse
from allauth.headless.internal.restkit import inputs
from allauth.headless.internal.restkit.response import ErrorResponse
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse

from accounts import known_browsers, mail
from accounts.forms import RecoverForm
from accounts.models import User
from accounts.services import codes, recovery, tries
from accounts.services.tries import TriesUsedUp


class RecoverInput(RecoverForm, inputs.Input):  # type: ignore[misc]  # allauth has no types
    """The address of somebody who forgot name or password."""


class KeyInput(inputs.Input):  # type: ignore[misc]  # allauth has no types
    """The code of the mail; `user` is whose it is, once it is right."""

    key = inputs.CharField()
    user: User | None = None

    def __init__(self, *args: Any, code: str, email: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._code, self._email = code, email

    def clean_key(self) -> str:
        """Check the code."""
        key = str(self.cleaned_data["key"])
        if compare_user_code(actual=key, expected=self._code):
            self.user = recovery.find_owner(self._email)
        if self.user is None:
            raise get_adapter().validation_error("incorrect_code")
        return key


class NewPasswordInput(KeyInput):
    """The code, and the new password, of which whoever has no code hears nothing."""

    password = inputs.CharField()

    def clean(self) -> dict[str, Any]:
        """Check the password."""
        cleaned: dict[str, Any] = super().clean()
        if self.user is not None and "password" in cleaned:
            try:
                get_adapter().clean_password(cleaned["password"], user=self.user)
            except ValidationError as error:
                self.add_error("password", error)
        return cleaned


class RecoverView(views.RequestPasswordResetView):  # type: ignore[misc]  # allauth has no types
    """Has the mail with a code sent, unless there were many."""

    input_class = RecoverInput

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Send it, to whoever has the address."""
        email = self.input.cleaned_data["email"]
        try:
            tries.begin("recover", name=email, origin=known_browsers.origin(request, email))
            self.input.save(request)
        except TriesUsedUp as error:
            return _later(request, 429, error.wait_s)
        except mail.MailNotTaken:
            return _later(request, 503, 60)
        answer: HttpResponse = AuthenticationResponse(request)
        return answer


class NewPasswordView(views.ResetPasswordView):  # type: ignore[misc]  # allauth has no types
    """Sets a new password with the code."""

    input_class = NewPasswordInput

    def get_input_kwargs(self) -> dict[str, Any]:
        """Say what code is right."""
        return {"code": self.process.code, "email": self.process.state["email"]}

    def handle_input(self, data: Any) -> HttpResponse | None:
        """Count the guess before it is looked at."""
        refused: HttpResponse | None = self._counted() or super().handle_input(data)
        if refused is None:
            self._right(self.input.user)
        return refused

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Say whose code it is; that is a guess too."""
        if refused := self._counted():
            return refused
        given = KeyInput({"key": request.headers.get("X-Password-Reset-Key", "")}, **self.get_input_kwargs())
        if not given.is_valid() or given.user is None:
            self.process.record_invalid_attempt()
            wrong: HttpResponse = ErrorResponse(request, input=given)
            return wrong
        self._right(given.user)
        self.process.confirm_code()
        answer: HttpResponse = response.PasswordResetKeyResponse(request, given.user)
        return answer

    def _counted(self) -> HttpResponse | None:
        """Count a guess for this code and for its address; return the refusal if there were too many."""
        email = self.process.state["email"]
        if refused := _used_up(self.request, self.process):
            return refused
        try:
            self._try = tries.begin("recover_code", name=email, origin=known_browsers.origin(self.request, email))
        except TriesUsedUp as error:
            self.process.abort()
            return _later(self.request, 429, error.wait_s)
        return None

    def _right(self, user: User) -> None:
        self._try.take_back()
        self.process.state["user_id"] = user_id_to_str(user)


class VerifyEmailView(views.VerifyEmailView):  # type: ignore[misc]  # allauth has no types
    """Confirms an address with the code, if no newer one was sent."""

    def handle_input(self, data: Any) -> HttpResponse | None:
        """Count the guess before it is looked at."""
        refused: HttpResponse | None = self._refused() or super().handle_input(data)
        return refused

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Say whether the code is right; that is a guess too."""
        answer: HttpResponse = self._refused() or super().get(request, *args, **kwargs)
        return answer

    def _refused(self) -> HttpResponse | None:
        user, process = self.process.user, self.process
        if user is not None and not codes.is_live(user=user, address=process.email, code=process.code):
            stale: HttpResponse = ConflictResponse(self.request)
            return stale
        return _used_up(self.request, process)


def _used_up(request: HttpRequest, process: Any) -> HttpResponse | None:
    """Count a guess at the code of `process`; end it and return the refusal if it had all its guesses."""
    if codes.count_guess(f"{request.session.session_key}:{process.state['at']}") <= process.max_attempts:
        return None
    process.abort()
    refused: HttpResponse = ConflictResponse(request)
    return refused


def _later(request: HttpRequest, status: int, wait_s: int) -> HttpResponse:
    answer: HttpResponse = APIResponse(request, status=status)
    answer["Retry-After"] = str(wait_s)
    return answer


VIEWS: dict[str, type[Any]] = {"request": RecoverView, "reset": NewPasswordView, "email/verify": VerifyEmailView}
