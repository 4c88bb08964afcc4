"""Second factors in allauth's JSON flows: the same codes, limits and passkeys as on the pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.headless.base.response import AuthenticationResponse, ConflictResponse
from allauth.headless.constants import Client
from allauth.headless.internal.restkit.inputs import Input
from allauth.headless.mfa import views
from allauth.mfa.models import Authenticator
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import URLPattern, URLResolver, path

from accounts import headless_codes
from accounts.factor_forms import (
    AppForm,
    ConfirmByCodeForm,
    ConfirmByPasskeyForm,
    FactorCodeForm,
    PasskeyForm,
    PasskeySignInForm,
    PasskeyStepForm,
)
from accounts.headless import too_many_tries
from accounts.services import factor_settings, factors


class CodeInput(FactorCodeForm, Input):  # type: ignore[misc]  # allauth has no types
    """A code as a second factor."""


class ConfirmCodeInput(ConfirmByCodeForm, Input):  # type: ignore[misc]  # allauth has no types
    """A code of somebody who is signed in."""


class PasskeyStepInput(PasskeyStepForm, Input):  # type: ignore[misc]  # allauth has no types
    """A passkey as a second factor."""


class PasskeySignInInput(PasskeySignInForm, Input):  # type: ignore[misc]  # allauth has no types
    """A passkey in place of name and password."""


class ConfirmPasskeyInput(ConfirmByPasskeyForm, Input):  # type: ignore[misc]  # allauth has no types
    """A passkey of somebody who is signed in."""


class AppInput(AppForm, Input):  # type: ignore[misc]  # allauth has no types
    """The first code of a new app."""


class PasskeyInput(PasskeyForm, Input):  # type: ignore[misc]  # allauth has no types
    """A new passkey."""


class CodeView(views.AuthenticateView):  # type: ignore[misc]  # allauth has no types
    """Takes a code as the second factor; who has nothing but codes that are sent was sent one with the password."""

    input_class = CodeInput

    def handle(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Say how long to wait after too many wrong codes."""
        response: HttpResponseBase = super().handle(request, *args, **kwargs)
        wait_s = getattr(getattr(self, "input", None), "wait_s", 0)
        return too_many_tries(response, wait_s) if wait_s and isinstance(response, JsonResponse) else response

    def get_input_kwargs(self) -> dict[str, Any]:
        """Check the code against the one that was sent, too."""
        return {"user": self.stage.login.user, "challenge": self.stage.challenge}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Sign in."""
        user = self.stage.login.user
        self.input.save(request)
        if self.input.kind == Authenticator.Type.RECOVERY_CODES:
            left = factors.ways(user).recovery_codes
            get_adapter().send_notification_mail("account/email/recovery_code_used", user, {"left": left})
        response: HttpResponse = self.respond_next_stage()
        return response


class ConfirmCodeView(views.ReauthenticateView):  # type: ignore[misc]  # allauth has no types
    """Takes a code of somebody who is signed in."""

    input_class = ConfirmCodeInput

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Note that it was confirmed just now."""
        self.input.save(request)
        response: HttpResponse = AuthenticationResponse(request)
        return response


class PasskeyStepView(views.AuthenticateWebAuthnView):  # type: ignore[misc]  # allauth has no types
    """Takes a passkey as the second factor."""

    input_class = {"POST": PasskeyStepInput}  # noqa: RUF012


class PasskeySignInView(views.LoginWebAuthnView):  # type: ignore[misc]  # allauth has no types
    """Takes a passkey in place of name and password."""

    input_class = {"POST": PasskeySignInInput}  # noqa: RUF012


class ConfirmPasskeyView(views.ReauthenticateWebAuthnView):  # type: ignore[misc]  # allauth has no types
    """Takes a passkey of somebody who is signed in."""

    input_class = {"POST": ConfirmPasskeyInput}  # noqa: RUF012


class AppView(views.ManageTOTPView):  # type: ignore[misc]  # allauth has no types
    """Adds an app; the code that proved it is used up."""

    input_class = {"POST": AppInput}  # noqa: RUF012

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Add it, unless there is one."""
        response: HttpResponse
        if self._get_authenticator() is not None:
            response = ConflictResponse(request)
            return response
        response = super().post(request, *args, **kwargs)
        factor_settings.use_up(app=self._get_authenticator(), step=self.input.step)
        return response


class PasskeysView(views.ManageWebAuthnView):  # type: ignore[misc]  # allauth has no types
    """Adds, renames and removes passkeys."""

    input_class = {**views.ManageWebAuthnView.input_class, "POST": PasskeyInput}  # noqa: RUF012


_OURS: dict[str, type[Any] | None] = {
    "2fa/authenticate": CodeView,
    "2fa/reauthenticate": ConfirmCodeView,
    "webauthn/authenticate": PasskeyStepView,
    "webauthn/login": PasskeySignInView,
    "webauthn/reauthenticate": ConfirmPasskeyView,
    "totp": AppView,
    "webauthn": PasskeysView,
    **headless_codes.VIEWS,
    "code/confirm": None,  # allauth's own codes by mail, which the second factor has taken the place of
}


def with_second_factors(patterns: Sequence[URLPattern | URLResolver]) -> Iterator[URLPattern | URLResolver]:
    """Yield allauth's URL patterns with our views where they are about second factors and codes."""
    for one in patterns:
        if isinstance(one, URLResolver):
            kept = list(with_second_factors(one.url_patterns))
            yield URLResolver(one.pattern, kept, one.default_kwargs, one.app_name, one.namespace)
        elif str(one.pattern) not in _OURS:
            yield one
        elif (view := _OURS[str(one.pattern)]) is not None:
            yield path(str(one.pattern), view.as_api_view(client=Client.APP), name=one.name)
