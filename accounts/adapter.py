"""How allauth's flows meet our models, words and mails."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, ClassVar

from allauth.account import app_settings as account_settings
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.login import get_authentication_records
from allauth.account.models import EmailAddress
from allauth.core import context as allauth_context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.core.internal.httpkit import is_headless_request
from allauth.headless.internal.restkit.response import ErrorResponse
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.crypto import constant_time_compare

from accounts import code_channels, known_browsers, mail, services
from accounts.code_channels import CodeNotSent, Purpose
from accounts.models import User
from accounts.services import codes, profile, sessions, tries
from accounts.services.tries import TriesUsedUp, Try
from accounts.validators import validate_plain_address, validate_user_name
from iotportal.legacy import is_legacy
from iotportal.words import wait

logger = logging.getLogger(__name__)

_BEGAN_WITH = "accounts_login_began_with"  # the hash of the password with which the sign-in under way began


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth has no types
    """Our rules for names, our wording, our mails, and a personal account for everybody who signs up."""

    error_messages: ClassVar[dict[str, Any]] = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": "User name and password do not match.",
        "email_password_mismatch": "User name and password do not match.",
        "too_many_login_attempts": "A code was sent to you already. Type that one, or wait for another.",
        "username_taken": "That user name is taken.",
        "username_blacklisted": "That user name is taken.",
        "email_taken": "That e-mail address is taken.",
        "duplicate_email": "That is your address already.",
        "incorrect_code": "That code is not right.",
        "rate_limited": "Too many requests. Wait a minute, then try again.",
    }

    def clean_username(self, username: str, shallow: bool = False) -> str:
        """Check the shape; a name with @ is left to the form, which knows whether it is the person's own address."""
        validate_user_name(username)
        return str(super().clean_username(username, shallow=shallow or "@" in username))

    def clean_email(self, email: str) -> str:
        """Refuse look-alike letters."""
        validate_plain_address(email)
        return email

    def add_message(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        """Leave a word for the next page; a program has none."""
        if not is_legacy(request.path):
            super().add_message(request, *args, **kwargs)

    def save_user(self, request: HttpRequest, user: User, form: BaseForm, commit: bool = True) -> User:
        """Save who signs up, together with their personal account."""
        try:
            with transaction.atomic():
                saved: User = super().save_user(request, user, form, commit=commit)
                if commit:
                    services.create_personal_account(saved)
        except IntegrityError as error:  # somebody took the name or address a moment ago; the page's form has its own words
            if is_headless_request(request):
                taken = self.validation_error("username_taken")
                raise ImmediateHttpResponse(ErrorResponse(request, exception=taken, status=409)) from error
            raise
        return saved

    def set_password(self, user: User, password: str) -> None:
        """Change the password and end what the old one had opened."""
        services.change_password(user=user, password=password)

    def logout(self, request: HttpRequest) -> None:
        """Sign out, here and in the pages that are open elsewhere."""
        key = request.session.session_key
        super().logout(request)
        sessions.tell_end(key, request)

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count a try before the password is looked at.

        Raises:
            ValidationError: there were too many; its cause is `TriesUsedUp`.
        """
        name = str(credentials.get("email") or credentials.get("username") or "")
        try:
            self._try: Try | None = tries.begin("sign_in", name=name, origin=known_browsers.origin(request, name))
        except TriesUsedUp as error:
            request.wait_s = error.wait_s  # type: ignore[attr-defined]  # for the form
            words = f"Too many wrong passwords. Try again in {wait(error.wait_s)}, or get a new password by mail."
            raise ValidationError(words, code="too_many_login_attempts") from error
        self._login_failed_rl_usage = self._try  # which allauth takes back when the password was right

    def get_login_stages(self) -> list[str]:
        """Return the steps of a sign-in: a confirmed address, then the second factor."""
        return ["allauth.account.stages.EmailVerificationStage", "accounts.stages.SecondFactorStage"]

    def pre_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse | None:
        """Begin a sign-in: who planted the session that this browser had does not get to see the steps that follow."""
        response: HttpResponse | None = super().pre_login(request, user, **kwargs)
        if response is None:
            if request.session.session_key:  # one that begins now gets its key later
                request.session.cycle_key()
            request.session[_BEGAN_WITH] = user.get_session_auth_hash()
        return response

    def login(self, request: HttpRequest, user: User) -> None:
        """End a sign-in, unless since its first step the password was changed or the user was shut out.

        Raises:
            ImmediateHttpResponse: it was, so the next thing to see is the sign-in page or why there is none.
        """
        began_with = request.session.pop(_BEGAN_WITH, "")
        if not user.is_active:
            raise ImmediateHttpResponse(self.respond_user_inactive(request, user))
        if not constant_time_compare(began_with, user.get_session_auth_hash()):
            raise ImmediateHttpResponse(redirect("account_login"))
        with transaction.atomic():  # one commit for all that a sign-in writes
            super().login(request, user)
            sessions.note_sign_in(request, address=self.get_client_ip(request))

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """Leave word for the form of how many tries are left."""
        request.tries_left = self._try.left if self._try else None  # type: ignore[attr-defined]  # for the form

    def post_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse:
        """Know the browser from now on, and tell of one that was not known."""
        response: HttpResponse = super().post_login(request, user, **kwargs)
        if known_browsers.is_new(request, user):
            sessions.tell_new_place(request, user=user, address=self.get_client_ip(request))
        known_browsers.remember(request, response, user)
        return response

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Ask again who it is, unless the sign-in itself is recent: nobody wants to type a password twice in a row."""
        records = get_authentication_records(self.request, self.request.user)
        return not any(time.time() - record["at"] < account_settings.REAUTHENTICATION_TIMEOUT for record in records)

    def confirm_email(self, request: HttpRequest, email_address: EmailAddress) -> bool:
        """Confirm an address, all or nothing, unless somebody else did so a moment ago."""
        try:
            with transaction.atomic():
                return bool(super().confirm_email(request, email_address))
        except IntegrityError:
            words = {"email": email_address.email}
            self.add_message(request, messages.ERROR, "account/messages/email_confirmation_failed.txt", words)
            return False

    def get_phone(self, user: User) -> tuple[str, bool] | None:
        """Return the number and whether it was confirmed."""
        return (user.phone, user.phone_verified) if user.phone else None

    def set_phone(self, user: User, phone: str, verified: bool) -> None:
        """Keep a number."""
        profile.set_phone(user=user, phone=phone, verified=verified)

    def set_phone_verified(self, user: User, phone: str) -> None:
        """Keep a number that was confirmed just now."""
        profile.set_phone(user=user, phone=phone, verified=True)

    def get_user_by_phone(self, phone: str) -> User | None:
        """Nobody signs in with a number, so several may have the same, and whose it is is nobody's business."""
        return None

    def send_verification_code_sms(self, user: User, phone: str, code: str, **kwargs: Any) -> None:
        """Send the code that confirms a number.

        Raises:
            CodeNotSent: there is nothing on this server that could.
        """
        channel = code_channels.find("sms")
        if channel is None:
            raise CodeNotSent("SMS is not set up on this server.")
        channel.send(user=user, address=phone, code=code, purpose=Purpose.CONFIRM_PHONE)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send a mail of `templates/emails/`; where the queue is away, the caller's request ends with a page that says so."""
        words = {key: value for key, value in context.items() if key not in {"request", "current_site"}}
        try:
            mail.send(template_prefix.rpartition("/")[2], email, words)
        except mail.MailNotTaken as error:
            logger.error("Could not hand over mail %s", template_prefix)
            raise ImmediateHttpResponse(_mail_failed(allauth_context.request)) from error

    def send_confirmation_mail(self, request: HttpRequest, emailconfirmation: Any, signup: bool) -> None:
        """Send a code, which is the only one that works from now on."""
        address = emailconfirmation.email_address
        codes.make_live(user=address.user, address=address.email, code=emailconfirmation.key)
        super().send_confirmation_mail(request, emailconfirmation, signup)

    def send_notification_mail(
        self, template_prefix: str, user: User, context: dict[str, Any] | None = None, email: str | None = None
    ) -> None:
        """Tell the owner about a change; it stands even if the mail cannot be sent."""
        with suppress(ImmediateHttpResponse):
            super().send_notification_mail(template_prefix, user, context, email)


def _mail_failed(request: HttpRequest) -> HttpResponse:
    """Return the page that says that no mail went out."""
    return render(request, "account/mail_failed.html", status=503)


class UserSessionsAdapter(DefaultUserSessionsAdapter):  # type: ignore[misc]  # allauth has no types
    """Where allauth's own flows end sessions."""

    def end_sessions(self, sessions: Iterable[UserSession]) -> None:
        """End them here as everywhere, with their open pages."""
        for session in sessions:
            services.end_session(session=session)
