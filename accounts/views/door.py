"""The door: sign up, sign in, codes, recovery; on allauth's views."""

from __future__ import annotations

import re
import time
from email.utils import parseaddr
from typing import Any

from allauth.account import views as allauth_views
from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.email_verification_by_code import EMAIL_VERIFICATION_CODE_SESSION_KEY
from allauth.account.internal.stagekit import clear_login, get_pending_stage
from allauth.account.internal.userkit import user_id_to_str
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from accounts import known_browsers, mail, services
from accounts.forms import counted, focus_first_error
from accounts.services import codes, recovery, tries
from accounts.services.tries import TriesUsedUp
from accounts.stages import SecondFactorStage
from iotportal.words import wait

SENDER = parseaddr(settings.DEFAULT_FROM_EMAIL)[1]


class BadRequestMixin:
    """Answers 400 with a form that has errors, 429 once there were too many tries; allauth answers 200."""

    def form_invalid(self, form: BaseForm) -> HttpResponse:
        """Set the status, and the cursor."""
        focus_first_error(form)
        response: HttpResponse = super().form_invalid(form)  # type: ignore[misc]  # of the class that it is mixed into
        wait_s = getattr(self.request, "wait_s", None)  # type: ignore[attr-defined]  # of the class that it is mixed into
        response.status_code = 429 if wait_s else 400
        if wait_s:
            response["Retry-After"] = str(wait_s)
        return response


class SignInView(BadRequestMixin, allauth_views.LoginView):  # type: ignore[misc]  # allauth has no types
    """Sign in with user name or e-mail."""


class SignUpView(BadRequestMixin, allauth_views.SignupView):  # type: ignore[misc]  # allauth has no types
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
    """Counts guesses aloud, each before it is looked at, and does not count an empty field as one."""

    request: HttpRequest
    _process: Any
    start_again: str  # the name of the page that sends another code

    def is_guess(self) -> bool:
        """Say whether the request has a code."""
        return bool(self.request.POST.get("code", "").strip())

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Count the guess."""
        self._guesses = codes.count_guess(self._challenge()) if self.is_guess() else self._process.state["failed_attempts"]
        if self._guesses > self._process.max_attempts:
            return self._used_up()
        response: HttpResponse = super().post(request, *args, **kwargs)  # type: ignore[misc]  # of the class that it is mixed into
        return response

    def wrong_code(self, form: BaseForm) -> HttpResponse:
        """Show the page again with the tries left, or lead to where there is a new code when there are none."""
        left = self._process.max_attempts - self._guesses
        if not left:
            return self._used_up()
        self._process.state["failed_attempts"] = self._guesses  # for the page; what counts is in the cache
        self._process.persist()
        context = self.get_context_data(form=form, tries_left=counted(left))  # type: ignore[attr-defined]  # as above
        response: HttpResponse = self.render_to_response(context, status=400)  # type: ignore[attr-defined]  # as above
        return response

    def _wait_s(self) -> int:
        """Return the seconds until another code may be asked for."""
        since = time.time() - self._process.state["at"]
        return max(0, int(settings.CODE_RESEND_S - since + 0.999))

    def _challenge(self) -> str:
        return f"{self.request.session.session_key}:{self._process.state['at']}"

    def _used_up(self) -> HttpResponse:
        self._process.abort()
        messages.error(self.request, f"{settings.CODE_TRIES} wrong codes, so that code no longer works. Ask for a new one.")
        return redirect(self.start_again)


class ConfirmEmailView(CodeTriesMixin, allauth_views.ConfirmEmailVerificationCodeView):  # type: ignore[misc]  # allauth has no types
    """The six digits that confirm the address, and the button that sends new ones."""

    @property
    def start_again(self) -> str:  # type: ignore[override]  # an attribute elsewhere
        """Lead to where a new code comes from: signing in, or changing the address once more."""
        return "accounts:change_email" if self.request.user.is_authenticated else "account_login"

    def is_guess(self) -> bool:
        """Tell a code from the wish for another one."""
        return self._action == "verify" and super().is_guess()

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

    def _verify_form_valid(self, form: BaseForm) -> HttpResponse:
        """Confirm the address, unless a newer code was sent, to another browser."""
        process = self._process
        if not codes.is_live(user=process.user, address=process.email, code=process.code):
            form.add_error("code", "A newer code was sent, and only that works. Or send one again.")
            return self.wrong_code(form)
        response: HttpResponse = super()._verify_form_valid(form)
        return response

    def _verify_form_invalid(self, form: BaseForm) -> HttpResponse:
        """Take a newer code that was sent to the same person's address, by an operator or to another browser."""
        process, typed = self._process, re.sub(r"\D", "", str(form.data.get("code", "")))[:10]
        about = {"user": process.user, "address": process.email}
        another = typed not in {"", process.code} and process.user is not None and not process.state.get("account_already_exists")
        if another and codes.guess_live(**about, code=typed) and codes.take_live(**about):
            response: HttpResponse = super()._verify_form_valid(form)
            return response
        return self.wrong_code(form)


class RecoverView(BadRequestMixin, allauth_views.PasswordResetView):  # type: ignore[misc]  # allauth has no types
    """Ask for the user name and a new password."""

    def form_valid(self, form: BaseForm) -> HttpResponse:
        """Have the mail sent, unless there were many; whether anybody has the address is not looked at."""
        email = form.cleaned_data["email"]
        try:
            tries.begin("recover", name=email, origin=known_browsers.origin(self.request, email))
            form.save(self.request)  # type: ignore[attr-defined]  # the form of this view
        except TriesUsedUp as error:
            self.request.wait_s = error.wait_s
            form.add_error(
                "email", f"Many mails went there already. Look into the mailbox, or try again in {wait(error.wait_s)}."
            )
            return self.form_invalid(form)
        except mail.MailNotTaken:
            return render(self.request, "account/mail_failed.html", status=503)
        return redirect(self.get_success_url())


class RecoverCodeView(CodeTriesMixin, allauth_views.ConfirmPasswordResetCodeView):  # type: ignore[misc]  # allauth has no types
    """The six digits that allow a new password."""

    start_again = "account_reset_password"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add how long the code works."""
        context: dict[str, Any] = super().get_context_data(**kwargs)
        return {**context, "code_minutes": settings.CODE_MINUTES, "sender": SENDER}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Count the guess for the address too: many codes with five guesses each are many guesses."""
        email = self._process.state["email"]
        try:
            self._try = tries.begin("recover_code", name=email, origin=known_browsers.origin(request, email))
        except TriesUsedUp as error:
            self._process.abort()
            messages.error(request, f"Too many wrong codes for that address. Try again in {wait(error.wait_s)}.")
            return redirect(self.start_again)
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: BaseForm) -> HttpResponse:
        """Find out whose address it is, now that the code shows that the mail was read; a lucky guess finds nobody."""
        user = recovery.find_owner(self._process.state["email"])
        if user is None:
            form.add_error("code", get_adapter().validation_error("incorrect_code"))
            return self.form_invalid(form)
        self._try.take_back()
        self._process.state["user_id"] = user_id_to_str(user)
        response: HttpResponse = super().form_valid(form)
        return response

    def form_invalid(self, form: BaseForm) -> HttpResponse:
        """Show what is wrong."""
        return self.wrong_code(form)


class NewPasswordView(BadRequestMixin, allauth_views.CompletePasswordResetView):  # type: ignore[misc]  # allauth has no types
    """The new password, after the code."""

    def form_valid(self, form: BaseForm) -> HttpResponse:
        """Set it, and know the browser from now on: whoever else tries passwords now cannot keep it from signing in."""
        response: HttpResponse = super().form_valid(form)
        known_browsers.remember(self.request, response, self._process.user)
        return response


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
