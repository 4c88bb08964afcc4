"""A lost password, or user name.

As on the page, nobody looks in a request whose the address is: a worker does when the mail is written, and here it is looked at
once the right code comes back, under a user's name.
"""

from __future__ import annotations

from typing import ClassVar

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.email_verification import verify_email_indirectly
from allauth.account.internal.flows.password_reset import finalize_password_reset, reset_password
from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import mail
from accounts.api.legacy.base import (
    NAME_LENGTH,
    ON_ITS_WAY,
    WRONG_CODE,
    ConfirmBody,
    OpenView,
    PasswordField,
    sentences,
    wrong_code,
)
from accounts.api.legacy.limits import begin, mailing
from accounts.forms import RecoverForm
from accounts.models import User
from accounts.selectors import find_user
from accounts.services import codes, recovery
from iotportal.legacy import Body, answer
from iotportal.legacy_schema import Answer, describe
from iotportal.problems import invalid
from iotportal.serializers import TextField


class ForgotBody(Body):
    """Where the code is to go."""

    email = TextField(max_length=NAME_LENGTH)


class ForgotView(OpenView):
    """Ask for a code."""

    @describe(
        "user_forgot_password",
        "Forgot password or user name",
        takes=ForgotBody,
        answers=Answer,
        sent={"email": "alice@example.com"},
        got={"message": ON_ITS_WAY.format("address")},
    )
    def post(self, request: Request) -> Response:
        """Send a code and the user name to the address. The answer is the same whether or not anybody has it."""
        http = request._request
        form = RecoverForm(self.taken(request, ForgotBody))
        if not form.is_valid():
            raise invalid(sentences(form))
        email, code = form.cleaned_data["email"], get_adapter().generate_password_reset_code()
        begin("recover", http, email)
        with mailing(email):
            mail.send_recovery(email, code)
        codes.make_live(user=None, address=email, code=code)
        return answer(ON_ITS_WAY.format("address"))


class NewPasswordBody(ConfirmBody):
    """The code and the new password."""

    password = PasswordField(help_text="The new password, 10 characters or more.")
    aliases: ClassVar = {**ConfirmBody.aliases, "password": ("new_password", "newpassword", "new password")}


class NewPasswordView(OpenView):
    """Set a new password."""

    @describe(
        "user_confirm_forgot_password",
        "Set a new password",
        takes=NewPasswordBody,
        answers=Answer,
        sent={"username": "alice", "confirmation": "042195", "password": "blue valve 7 opens"},
        got={"message": "The new password is set. Sign in with it."},
        errors={400: ("invalid_code", WRONG_CODE)},
    )
    def post(self, request: Request) -> Response:
        """Take the code of the mail and set the password. All sessions and tokens of the user end."""
        http, taken = request._request, self.taken(request, NewPasswordBody)
        user = find_user(taken["username"])
        attempt = begin("recover_code", http, user.email if user else taken["username"])
        address = _guessed(user, taken["confirmation"])
        if user is None or address is None:
            raise wrong_code()
        try:
            get_adapter().clean_password(taken["password"], user)
        except ValidationError as error:  # the code stays good
            raise invalid({"password": list(error.messages)}) from error
        if not codes.take_live(user=None, address=address):
            raise wrong_code()
        attempt.take_back()
        verify_email_indirectly(http, user, address)  # the mail with the code has reached it
        reset_password(user, taken["password"])
        finalize_password_reset(http, user, address)
        return answer("The new password is set. Sign in with it.")


def _guessed(user: User | None, code: str) -> str | None:
    """Return the address of `user` that the code was sent to; counts as a guess at each that a code was sent to."""
    confirmed = EmailAddress.objects.filter(user=user, verified=True).values_list("email", flat=True) if user else ()
    addresses = {*confirmed, user.email.lower()} if user else ()
    good = [address for address in addresses if codes.guess_live(user=None, address=address, code=code)]
    return next((address for address in good if recovery.find_owner(address) == user), None)
