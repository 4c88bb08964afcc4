"""The door: sign up, sign in, codes, recovery; on allauth's views."""

from __future__ import annotations

import time
from email.utils import parseaddr
from typing import Any

from allauth.account import views as allauth_views
from allauth.account.internal.flows.email_verification_by_code import EMAIL_VERIFICATION_CODE_SESSION_KEY
from allauth.account.internal.stagekit import clear_login, get_pending_stage
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from accounts import services
from accounts.forms import counted, focus_first_error
from accounts.stages import SecondFactorStage

SENDER = parseaddr(settings.DEFAULT_FROM_EMAIL)[1]


class BadRequestMixin:
    """Answers 400 with a form that has errors, 429 once there were too many tries; allauth answers 200."""

    def form_invalid(self, form: BaseForm) -> HttpResponse:
        """Set the status, and the cursor."""
        focus_first_error(form)
        response: HttpResponse = super().form_invalid(form)  # type: ignore[misc]
        response.status_code = 429 if form.has_error("password", "too_many_login_attempts") else 400
        return response


class SignInView(BadRequestMixin, allauth_views.LoginView):  # type: ignore[misc]  # allauth has no types
    """Sign in with user name or e-mail."""


class SignUpView(BadRequestMixin, allauth_views.SignupView):  # type: ignore[misc]
    """Sign up; the code page follows."""

    def form_valid(self, form: BaseForm) -> HttpResponse:
        """Show a user name that went to somebody else a moment ago as taken, like any other."""
        try:
            response: HttpResponse = super().form_valid(form)
        except ValidationError as error:
            form.add_error("username", error)
            response = self.form_invalid(form)
        return response


class CodeTriesMixin:
    """Counts wrong codes aloud, and does not count an empty field as one."""

    request: HttpRequest
    _process: Any

    def wrong_code(self, form: BaseForm, start_again: str) -> HttpResponse:
        """Show the page again with the tries left, or send the person to `start_again` when there are none."""
        if form.has_error("code", "required") or self._process.record_invalid_attempt():
            left = self._process.max_attempts - self._process.state["failed_attempts"]
            context = self.get_context_data(form=form, tries_left=counted(left))  # type: ignore[attr-defined]
            response: HttpResponse = self.render_to_response(context, status=400)  # type: ignore[attr-defined]
            return response
        messages.error(self.request, f"{settings.CODE_TRIES} wrong codes, so that code no longer works. Ask for a new one.")
        return redirect(start_again)


class ConfirmEmailView(CodeTriesMixin, allauth_views.ConfirmEmailVerificationCodeView):  # type: ignore[misc]
    """The six digits that confirm the address, and the button that sends new ones."""

    def _wait_s(self) -> int:
        """Return the seconds until another code may be asked for."""
        since = time.time() - self._process.state["at"]
        return max(0, int(settings.CODE_RESEND_S - since + 0.999))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add how long the code works and when the next may be sent."""
        context: dict[str, Any] = super().get_context_data(**kwargs)
        return {**context, "code_minutes": settings.CODE_MINUTES, "wait_s": self._wait_s(), "sender": SENDER}

    def _resend_form_valid(self, form: BaseForm) -> HttpResponse:
        """Send a new code, which replaces the old one, has its own ten minutes and tries; too early, say when."""
        if self._wait_s():
            context = self.get_context_data(form=self._get_verify_form_class()(), too_early=True)
            too_early: HttpResponse = self.render_to_response(context, status=429, headers={"Retry-After": str(self._wait_s())})
            return too_early
        self._process.state.update(at=time.time(), failed_attempts=0)
        response: HttpResponse = super()._resend_form_valid(form)
        return response

    def _verify_form_invalid(self, form: BaseForm) -> HttpResponse:
        return self.wrong_code(form, "account_login")


class RecoverView(BadRequestMixin, allauth_views.PasswordResetView):  # type: ignore[misc]
    """Ask for the user name and a new password."""


class RecoverCodeView(CodeTriesMixin, allauth_views.ConfirmPasswordResetCodeView):  # type: ignore[misc]
    """The six digits that allow a new password."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add how long the code works."""
        context: dict[str, Any] = super().get_context_data(**kwargs)
        return {**context, "code_minutes": settings.CODE_MINUTES, "sender": SENDER}

    def form_invalid(self, form: BaseForm) -> HttpResponse:
        """Count the wrong code."""
        return self.wrong_code(form, "account_reset_password")


class NewPasswordView(BadRequestMixin, allauth_views.CompletePasswordResetView):  # type: ignore[misc]
    """The new password, after the code."""


@require_POST
def start_over(request: HttpRequest) -> HttpResponse:
    """Leave a sign-up or sign-in half done and begin again; what this browser signed up a moment ago is forgotten."""
    stage = get_pending_stage(request)
    signs_in = stage is not None and stage.key == SecondFactorStage.key
    if stage is not None and stage.login.signup and stage.login.user is not None:
        services.abandon_sign_up(user=stage.login.user)
    clear_login(request)
    request.session.pop(EMAIL_VERIFICATION_CODE_SESSION_KEY, None)
    return redirect("account_login" if signs_in else "account_signup")
