"""Signing in with a passkey, and the ways in which a person who is signed in confirms that it is them."""

from __future__ import annotations

import json
from typing import Any

from allauth.account import views as allauth_account
from allauth.mfa.base import views as allauth_mfa
from allauth.mfa.webauthn import views as allauth_webauthn
from allauth.mfa.webauthn.internal.auth import begin_authentication
from django.conf import settings
from django.contrib import messages
from django.forms import BaseForm
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache

from accounts.factor_forms import ConfirmByCodeForm, ConfirmByPasskeyForm, ConfirmByPasswordForm, PasskeySignInForm
from accounts.http import AREA
from accounts.views.door import BadRequestMixin


@method_decorator(never_cache, name="dispatch")
class SignInView(allauth_webauthn.LoginWebAuthnView):  # type: ignore[misc]  # allauth has no types
    """Sign in with a passkey alone: it is something that one has, opened by something that one is or knows."""

    form_class = PasskeySignInForm

    def form_valid(self, form: PasskeySignInForm) -> HttpResponse:
        """Sign in, for as long as the browser is open unless the person wants more."""
        response: HttpResponse = super().form_valid(form)
        self.request.session.set_expiry(settings.ACCOUNT_SESSION_COOKIE_AGE if "remember" in self.request.POST else 0)
        return response

    def form_invalid(self, form: BaseForm) -> HttpResponse:
        """Say on the sign-in page that it was not accepted."""
        messages.error(self.request, str(form.errors["credential"][0]))
        return redirect("account_login")


class ConfirmByPasswordView(BadRequestMixin, allauth_account.ReauthenticateView):  # type: ignore[misc]  # allauth has no types
    """Confirm that it is oneself with the password."""

    template_name = "accounts/confirm_by_password.html"
    form_class = ConfirmByPasswordForm
    extra_context = AREA


class ConfirmByCodeView(BadRequestMixin, allauth_mfa.ReauthenticateView):  # type: ignore[misc]  # allauth has no types
    """Confirm that it is oneself with a code of the app or a recovery code."""

    form_class = ConfirmByCodeForm
    template_name = "accounts/confirm_by_code.html"
    extra_context = AREA

    def form_valid(self, form: ConfirmByCodeForm) -> HttpResponse:
        """Go on to what was asked for."""
        form.save(self.request)
        response: HttpResponse = super(allauth_mfa.ReauthenticateView, self).form_valid(form)
        return response


class ConfirmByPasskeyView(allauth_webauthn.ReauthenticateWebAuthnView):  # type: ignore[misc]  # allauth has no types
    """Confirm that it is oneself with a passkey."""

    form_class = ConfirmByPasskeyForm
    template_name = "accounts/confirm_by_passkey.html"

    def form_invalid(self, form: BaseForm) -> HttpResponse:
        """Stay on the page; allauth would go to the sign-in page, which sends those who are signed in away."""
        response: HttpResponse = self.render_to_response(self.get_context_data(form=form), status=400)
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Ask for one of the person's passkeys."""
        context = super(allauth_webauthn.ReauthenticateWebAuthnView, self).get_context_data(**kwargs)
        return {**AREA, **context, "options": json.dumps(begin_authentication(self.request.user))}
