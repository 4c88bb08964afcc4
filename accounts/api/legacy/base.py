"""What the paths below `/api/user/` and the others that need a token share."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from django.contrib.sessions.backends.cache import SessionStore
from django.forms import BaseForm
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.permissions import AllowAny

from accounts.api.legacy.authentication import LegacyAuthentication
from accounts.forms import PASSWORD_MAX_LENGTH
from iotportal.legacy import Body, LegacyView
from iotportal.legacy_schema import LegacySchema
from iotportal.problems import Problem
from iotportal.serializers import TextField

NAME_LENGTH = 254
TOKEN = "iotp_3kd0…"  # in examples
WRONG_CODE = "That code is not right, or it no longer works."
ON_ITS_WAY = "If the portal knows that {0}, a code is on its way by e-mail. It works for 10 minutes."


class NameField(TextField):
    """A user name or e-mail address."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": NAME_LENGTH, "help_text": "The user name; the e-mail address does as well.", **options})


class PasswordField(TextField):
    """A password."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": PASSWORD_MAX_LENGTH, **options})


class CodeField(TextField):
    """The six digits of a mail; spaces and dashes in them do not count."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": 32, "help_text": "The 6 digits of the mail.", **options})

    def to_internal_value(self, data: Any) -> str:
        """Return the digits."""
        return re.sub(r"[\s-]", "", super().to_internal_value(data))


@extend_schema_field(
    {
        "oneOf": [{"type": "string"}, {"type": "object", "required": ["access"], "properties": {"access": {"type": "string"}}}],
        "description": "What the login answered, as text or as the object `token`. It may also come as `token`, or in the header "
        "`Authorization: Bearer …`.",
    }
)
class AccessTokenField(serializers.JSONField):
    """A token; `LegacyAuthentication` reads it."""


class SignedIn(Body):
    """Who asks."""

    username = NameField()
    access_token = AccessTokenField(required=False)


class SignedInView(LegacyView):
    """A path for those who have a token."""

    authentication_classes = (LegacyAuthentication,)
    schema = LegacySchema()


class OpenView(LegacyView):
    """A path for everybody."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    http_method_names = ("post",)  # secrets and codes travel here, and nothing may carry them out twice
    schema = LegacySchema()

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Give allauth a session to write into that nobody keeps: a program must not be handed a cookie."""
        kept, request.session = request.session, SessionStore()
        try:
            return super().dispatch(request, *args, **kwargs)
        finally:
            request.session = kept


class ConfirmBody(Body):
    """The code of the mail."""

    username = NameField()
    confirmation = CodeField()
    aliases: ClassVar = {"confirmation": ("confirmationcode",)}


def wrong_code() -> Problem:
    """Return the answer to every code that is not right, whatever is wrong with it."""
    return Problem(400, "invalid_code", WRONG_CODE)


# How allauth's forms call what this API calls otherwise.
FORM_NAMES = {"first_name": "firstname", "last_name": "lastname", "password1": "password"}


def sentences(form: BaseForm) -> dict[str, list[str]]:
    """Return what is wrong with one of allauth's forms, per field of this API."""
    return {FORM_NAMES.get(name, name): [str(one) for one in errors] for name, errors in form.errors.items()}
