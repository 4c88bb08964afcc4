"""Signing up: a code goes to the address, and comes back.

allauth keeps a code in the browser's session; a program has none. So it is found by user name instead, as the one live code of
that user's address (accounts/services/codes.py), whichever way it was asked for: there is one for pages and programs together.
"""

from __future__ import annotations

from typing import Any, ClassVar

from allauth.account import signals
from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.email_verification import (
    consume_email_verification_rate_limit,
    mark_email_address_as_verified,
)
from allauth.account.internal.flows.email_verification_by_code import EmailVerificationProcess
from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.legacy.base import (
    FORM_NAMES,
    NAME_LENGTH,
    ON_ITS_WAY,
    WRONG_CODE,
    ConfirmBody,
    NameField,
    OpenView,
    PasswordField,
    sentences,
    wrong_code,
)
from accounts.api.legacy.limits import CODE_MAIL, CONFIRM, RESEND, SIGN_UP, check, mailing, too_many
from accounts.forms import SignUpForm
from accounts.models import User
from accounts.selectors import find_user
from accounts.services import codes
from iotportal.legacy import Body, answer
from iotportal.legacy_schema import Answer, describe
from iotportal.problems import Problem, invalid
from iotportal.serializers import TextField


class SignUpBody(Body):
    """Who signs up."""

    username = NameField(help_text="3 letters or more: a to z, digits and . _ + -, or the e-mail address.")
    password = PasswordField(help_text="10 characters or more.")
    email = TextField(max_length=NAME_LENGTH)
    firstname = TextField(max_length=150)
    lastname = TextField(max_length=150)
    aliases: ClassVar = {"firstname": ("givenname",), "lastname": ("familyname",)}


class SignUpView(OpenView):
    """Sign up."""

    @describe(
        "user_sign_up",
        "Sign up",
        takes=SignUpBody,
        answers=Answer,
        sent={"username": "alice", "password": "green pump 42 runs", "email": "alice@example.com", "firstname": "Alice",
              "lastname": "Ames"},
        got={"message": "A 6-digit code is on its way to alice@example.com."},
        errors={
            403: ("sign_up_closed", "This portal takes no new users right now."),
            409: ("name_taken", "username: That user name is taken."),
        },
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Make a user and send a 6-digit code to the e-mail address; one that has an account already gets a mail that says so."""
        http = request._request
        check(SIGN_UP, http)
        if not get_adapter().is_open_for_signup(http):
            raise Problem(403, "sign_up_closed", "This portal takes no new users right now.")
        form = _sign_up_form(self.taken(request, SignUpBody))
        email = form.cleaned_data["email"]
        if not consume_email_verification_rate_limit(http, email, dry_run=True):
            raise too_many(CODE_MAIL.wait_s(email.lower(), http))
        try:
            user = form.save_unless_known(http)
        except ValidationError as error:
            raise _name_taken(str(error.message)) from error
        if user is not None:
            signals.user_signed_up.send(sender=User, request=http, user=user)
        with mailing(email):
            EmailVerificationProcess.initiate(request=http, user=user, email=email)
        return answer(f"A 6-digit code is on its way to {email}.")


def _sign_up_form(taken: dict[str, Any]) -> SignUpForm:
    """Return the form of the sign-up page, filled in and valid."""
    form = SignUpForm({name: taken[FORM_NAMES.get(name, name)] for name in SignUpForm.field_order})
    if not form.is_valid():
        if form.has_error("username", "username_taken"):
            raise _name_taken(str(form.errors["username"][0]))
        raise invalid(sentences(form))
    return form


def _name_taken(sentence: str) -> Problem:
    return Problem(409, "name_taken", sentence, errors={"username": [sentence]})


class ConfirmSignUpView(OpenView):
    """Confirm the address."""

    @describe(
        "user_confirm_sign_up",
        "Confirm the e-mail address",
        takes=ConfirmBody,
        answers=Answer,
        sent={"username": "alice", "confirmation": "042195"},
        got={"message": "Confirmed. Sign in now."},
        errors={400: ("invalid_code", WRONG_CODE)},
    )
    def post(self, request: Request) -> Response:
        """Take the code of the mail. It works for 10 minutes and 5 tries, and what is wrong with it is not told."""
        http, taken = request._request, self.taken(request, ConfirmBody)
        check(CONFIRM, http, taken["username"])
        address = _unconfirmed(taken["username"])
        if address is None or not codes.guess_live(user=address.user, address=address.email, code=taken["confirmation"]):
            raise wrong_code()
        if not codes.take_live(user=address.user, address=address.email) or not mark_email_address_as_verified(http, address):
            raise wrong_code()
        return answer("Confirmed. Sign in now.")


def _unconfirmed(name: str) -> EmailAddress | None:
    """Return the address that the user of this name has to confirm."""
    user = find_user(name)
    if user is None:
        return None
    unconfirmed = EmailAddress.objects.select_related("user").filter(user=user, email=user.email.lower(), verified=False)
    return unconfirmed.first()


class ResendBody(Body):
    """Who waits for a code."""

    username = NameField()


class ResendView(OpenView):
    """Send another code."""

    @describe(
        "user_resend_confirmation_code",
        "Send another code",
        takes=ResendBody,
        answers=Answer,
        sent={"username": "alice"},
        got={"message": ON_ITS_WAY.format("user")},
    )
    def post(self, request: Request) -> Response:
        """Send a new code, after which the old one no longer works, to a user whose address is not confirmed.

        The answer is the same for everybody.
        """
        http, name = request._request, self.taken(request, ResendBody)["username"]
        check(RESEND, http, name)
        address = _unconfirmed(name)
        # Where a mail went there a moment ago, that is the one on its way: to say 429 would tell who is known.
        if address and consume_email_verification_rate_limit(http, address.email, dry_run=True):
            with mailing(address.email):
                EmailVerificationProcess.initiate(request=http, user=address.user, email=address.email)
        return answer(ON_ITS_WAY.format("user"))
