"""Second factors on the Account page: an app, passkeys, codes that are sent, recovery codes; on allauth's views."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import UUID

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import record_authentication
from allauth.mfa.internal.flows.add import redirect_if_add_not_allowed
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.flows import auto_generate_recovery_codes, generate_recovery_codes
from allauth.mfa.totp import views as allauth_totp
from allauth.mfa.totp.internal import flows as totp_flows
from allauth.mfa.webauthn import views as allauth_webauthn
from allauth.mfa.webauthn.internal import auth as webauthn_auth
from allauth.mfa.webauthn.internal import flows as webauthn_flows
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import IntegrityError, transaction
from django.forms import BaseForm
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST
from django.views.generic.edit import FormView

from accounts import qr
from accounts.factor_forms import AppForm, CodeFactorForm, PasskeyForm, PasskeyNameForm
from accounts.http import AREA, AuthedRequest, recent_sign_in
from accounts.mfa_adapter import MfaAdapter
from accounts.services import factor_settings, factors
from accounts.views.door import BadRequestMixin

_CODES = re.compile(r"([0-9]{5}-[0-9]{5}\n){1,16}\Z")


def section(request: AuthedRequest) -> dict[str, object]:
    """Return what the Account page shows of second factors."""
    rows = factors.authenticators(request.user)
    passkeys = [row for row in rows if row.type == Authenticator.Type.WEBAUTHN]
    return {
        "factors": factors.ways(request.user, rows),
        "app": next((row for row in rows if row.type == Authenticator.Type.TOTP), None),
        "passkeys": [(one, factor_settings.passkey_id(one)) for one in passkeys],
        "code_ways": factor_settings.code_ways(request.user),
    }


def _done(request: HttpRequest, new_codes: Authenticator | None) -> HttpResponse:
    """Go back to the Account page, or show the recovery codes that were just made, this once."""
    if new_codes is None:
        return redirect("accounts:account")
    wrapped = new_codes.wrap()
    codes = [f"{code[:5]}-{code[5:]}" for code in wrapped.get_unused_codes()]
    wrapped.mark_as_viewed()
    return render(request, "accounts/recovery_codes.html", {**AREA, "codes": codes})


def _tell_owner(request: AuthedRequest, mail: str, **words: object) -> None:
    get_adapter(request).send_notification_mail(f"account/email/{mail}", request.user, words)


# --- the app ------------------------------------------------------------------------------------------------------------------


@method_decorator([redirect_if_add_not_allowed, recent_sign_in], name="dispatch")
class AddAppView(BadRequestMixin, allauth_totp.ActivateTOTPView):  # type: ignore[misc]  # allauth has no types
    """Show the secret, as a QR code and as text, and take the first code."""

    form_class = AppForm
    template_name = "accounts/factor_app.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Draw the QR code."""
        context = FormView.get_context_data(self, **kwargs)  # allauth's own would draw it as a data: address
        secret = context["form"].secret
        url = MfaAdapter().build_totp_url(self.request.user, secret)
        groups = [secret[start : start + 4] for start in range(0, len(secret), 4)]
        return {**AREA, **context, "url": url, "qr": qr.draw(url), "secret": groups}

    def form_valid(self, form: AppForm) -> HttpResponse:
        """Keep the app; the code that proved it is used up, and has shown the second factor in this session."""
        try:
            with transaction.atomic():
                app, new_codes = totp_flows.activate_totp(self.request, form)
                factor_settings.use_up(app=app, step=form.step)
        except IntegrityError:  # two tabs at once
            return redirect("accounts:account")
        record_authentication(self.request, self.request.user, "mfa", type=Authenticator.Type.TOTP, reauthenticated=True)
        return _done(self.request, new_codes)


@method_decorator(recent_sign_in, name="dispatch")
class RemoveAppView(allauth_totp.DeactivateTOTPView):  # type: ignore[misc]  # allauth has no types
    """Ask, then take the app away."""

    template_name = "accounts/factor_remove.html"
    extra_context = {**AREA, "what": "the authenticator app", "loss": "Its codes no longer sign you in."}  # noqa: RUF012

    def form_valid(self, form: BaseForm) -> HttpResponse:
        """Remove it; who still gets codes by message gets new recovery codes, which would be gone with it."""
        totp_flows.deactivate_totp(self.request, self.authenticator)
        return _done(self.request, _codes_again(self.request))


def _codes_again(request: AuthedRequest) -> Authenticator | None:
    made: Authenticator | None = auto_generate_recovery_codes(request) if request.user.code_factor else None
    return made


# --- passkeys -----------------------------------------------------------------------------------------------------------------


@method_decorator([redirect_if_add_not_allowed, recent_sign_in], name="dispatch")
class AddPasskeyView(BadRequestMixin, allauth_webauthn.AddWebAuthnView):  # type: ignore[misc]  # allauth has no types
    """Have the browser make a passkey and keep it."""

    form_class = PasskeyForm
    template_name = "accounts/factor_passkey.html"

    def dispatch(self, request: AuthedRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Let nobody have more than anybody needs."""
        if len(factor_settings.passkeys(request.user)) >= factor_settings.MAX_PASSKEYS:
            messages.error(request, f"You have {factor_settings.MAX_PASSKEYS} passkeys, and that is the most. Remove one first.")
            return redirect("accounts:account")
        response: HttpResponse = super().dispatch(request, *args, **kwargs)
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Ask for one that also signs in without a password."""
        context = FormView.get_context_data(self, **kwargs)
        options = webauthn_auth.begin_registration(self.request.user, passwordless=True)
        return {**AREA, **context, "options": json.dumps(options)}

    def form_valid(self, form: PasskeyForm) -> HttpResponse:
        """Keep it; making it has shown the second factor in this session."""
        name, credential = form.cleaned_data["name"], form.cleaned_data["credential"]
        _, new_codes = webauthn_flows.add_authenticator(self.request, name=name, credential=credential)
        record_authentication(self.request, self.request.user, "mfa", type=Authenticator.Type.WEBAUTHN, reauthenticated=True)
        return _done(self.request, new_codes)


def _passkey_or_404(request: AuthedRequest, passkey_id: UUID) -> Authenticator:
    passkey = factor_settings.find_passkey(request.user, passkey_id)
    if passkey is None:
        raise Http404("No such passkey.")
    return passkey


@recent_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def rename_passkey(request: AuthedRequest, passkey_id: UUID) -> HttpResponse:
    """Give a passkey another name."""
    passkey = _passkey_or_404(request, passkey_id)
    form = PasskeyNameForm(request.POST or None, instance=passkey)
    if request.method == "POST" and form.is_valid():
        form.save()
        return redirect("accounts:account")
    context = {**AREA, "form": form, "passkey": passkey.wrap(), "passkey_id": passkey_id}
    return render(request, "accounts/passkey_name.html", context, status=400 if form.errors else 200)


@recent_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def remove_passkey(request: AuthedRequest, passkey_id: UUID) -> HttpResponse:
    """Ask, then take a passkey away."""
    passkey = _passkey_or_404(request, passkey_id)
    if request.method == "POST":
        webauthn_flows.remove_authenticator(request, passkey)
        return _done(request, _codes_again(request))
    loss = "It no longer signs you in. Your device may still list it: remove it there too."
    return render(request, "accounts/factor_remove.html", {**AREA, "what": f"the passkey {passkey.wrap().name}", "loss": loss})


# --- codes that are sent ------------------------------------------------------------------------------------------------------

_WORDS = {"email": "e-mail", "sms": "SMS"}


@recent_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def add_codes(request: AuthedRequest) -> HttpResponse:
    """Choose how codes are sent, and switch them on."""
    form = CodeFactorForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        way = form.cleaned_data["way"]
        try:
            factor_settings.switch_code_factor(user=request.user, way=way)
        except factor_settings.WayNotThere:
            form.add_error(None, "Codes cannot be sent to you that way.")
        else:
            _tell_owner(request, "code_factor_on", way=_WORDS[way])
            return _done(request, auto_generate_recovery_codes(request))
    ways = factor_settings.code_ways(request.user)
    context = {**AREA, "form": form, "code_ways": ways, "chosen": request.user.code_factor or (ways or [""])[0]}
    return render(request, "accounts/factor_codes.html", context, status=400 if form.errors else 200)


@recent_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def remove_codes(request: AuthedRequest) -> HttpResponse:
    """Ask, then send no more codes."""
    way = request.user.code_factor
    if not way:
        return redirect("accounts:account")
    if request.method == "POST":
        factor_settings.switch_code_factor(user=request.user, way="")
        _tell_owner(request, "code_factor_off", way=_WORDS[way])
        return redirect("accounts:account")
    context = {**AREA, "what": f"codes by {_WORDS[way]}", "loss": "You are not sent codes at sign-in any more."}
    return render(request, "accounts/factor_remove.html", context)


# --- recovery codes, and all of it ----------------------------------------------------------------------------------------------


@recent_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def new_recovery_codes(request: AuthedRequest) -> HttpResponse:
    """Ask, then make new recovery codes, which end the old ones, and show them."""
    if not factors.needs_second_factor(request.user):
        return redirect("accounts:account")
    if request.method == "POST":
        return _done(request, generate_recovery_codes(request))
    return render(request, "accounts/recovery_codes_new.html", {**AREA, "factors": factors.ways(request.user)})


@login_required
@require_POST
@never_cache
def download_recovery_codes(request: AuthedRequest) -> HttpResponse:
    """Return as a file the codes that the page shows and sends along: they are not to be had anywhere else."""
    codes = request.POST.get("codes", "").replace("\r\n", "\n").strip() + "\n"
    if not _CODES.match(codes):
        return redirect("accounts:account")
    text = f"Recovery codes of {request.user.get_username()} at IoT Portal. Each works once.\n\n{codes}"
    disposition = {"Content-Disposition": 'attachment; filename="iot-portal-recovery-codes.txt"'}
    return HttpResponse(text, content_type="text/plain; charset=utf-8", headers=disposition)


@recent_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def switch_all_off(request: AuthedRequest) -> HttpResponse:
    """Ask, then have the password be enough."""
    if not factors.needs_second_factor(request.user):
        return redirect("accounts:account")
    if request.method == "POST":
        factor_settings.switch_all_off(user=request.user)
        _tell_owner(request, "factors_off")
        return redirect("accounts:account")
    return render(request, "accounts/factors_off.html", {**AREA, "factors": factors.ways(request.user)})
