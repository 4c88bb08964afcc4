"""The profile, and the phone number, confirmed by a code where this server can send one."""

from __future__ import annotations

import time
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.forms import VerifyPhoneForm
from allauth.account.internal.flows.phone_verification import ChangePhoneVerificationProcess
from allauth.core.exceptions import RateLimited
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST
from django.views.generic.edit import FormView

from accounts import code_channels, phones
from accounts.code_channels import CodeNotSent
from accounts.forms import CodeForm, focus_first_error
from accounts.http import AREA, AuthedRequest, recent_sign_in
from accounts.profile_forms import PhoneForm, ProfileForm
from accounts.services import profile as services
from accounts.services.profile import PhoneInUse
from accounts.views.door import CodeTriesMixin
from iotportal.time_zones import time_zones

JUST_SENT = "A code was sent there a moment ago. Wait a minute, then try again."
IN_USE = "Codes by SMS go to this number. Switch them off first."


@login_required
@require_http_methods(["GET", "POST"])
@never_cache
def profile(request: AuthedRequest) -> HttpResponse:
    """Change name, time zone and language."""
    form = ProfileForm(request.POST or None, instance=request.user)
    if request.method == "POST" and form.is_valid():
        services.change_profile(user=request.user, **form.cleaned_data)
        return redirect("accounts:account")
    focus_first_error(form)
    context = {**AREA, "form": form, "zones": time_zones()}
    return render(request, "accounts/profile.html", context, status=400 if form.errors else 200)


@recent_sign_in
@require_http_methods(["GET", "POST"])
def phone(request: AuthedRequest) -> HttpResponse:
    """Change the phone number: at once where no code can be sent, after the code where one can."""
    user = request.user
    country, number = phones.split(user.phone)
    form = PhoneForm(request.POST or None, initial={"country": country, "phone": number})
    channel = code_channels.find("sms")
    if request.method == "POST" and form.is_valid():
        try:
            return _change_phone(request, form.number, verify=channel is not None)
        except PhoneInUse:
            form.add_error("phone", IN_USE)
        except (RateLimited, CodeNotSent) as error:
            form.add_error("phone", str(error) or JUST_SENT)
    focus_first_error(form)
    context = {**AREA, "form": form, "countries": [("", "Country"), *phones.countries()], "sms": channel is not None}
    return render(request, "accounts/phone.html", context, status=400 if form.errors else 200)


def _change_phone(request: AuthedRequest, number: str, *, verify: bool) -> HttpResponse:
    user = request.user
    if number == user.phone and (user.phone_verified or not verify):
        return redirect("accounts:account")
    if verify:
        ChangePhoneVerificationProcess.initiate(request, number)
        return redirect("account_verify_phone")
    services.set_phone(user=user, phone=number, verified=False)
    _tell_owner(request)
    return redirect("accounts:account")


@recent_sign_in
@require_POST
def remove_phone(request: AuthedRequest) -> HttpResponse:
    """Forget the phone number."""
    try:
        services.set_phone(user=request.user, phone="", verified=False)
    except PhoneInUse:
        messages.error(request, IN_USE)
        return redirect("accounts:phone")
    _tell_owner(request)
    return redirect("accounts:account")


def _tell_owner(request: AuthedRequest) -> None:
    user = request.user
    words = {"phone": phones.show(user.phone), "verified": user.phone_verified}
    get_adapter(request).send_notification_mail("account/email/phone_changed", user, words)


class PhoneCodeForm(CodeForm, VerifyPhoneForm):  # type: ignore[misc]  # allauth has no types
    """The code that confirms the number."""


@method_decorator([login_required, never_cache], name="dispatch")
class PhoneCodeView(CodeTriesMixin, FormView):  # type: ignore[type-arg]  # FormView has no parameter at run time
    """The six digits that confirm the number; until then the old one stays."""

    form_class = PhoneCodeForm
    template_name = "accounts/phone_code.html"
    start_again = "accounts:phone"
    extra_context = AREA

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Go on only while a code is on its way."""
        self._process = ChangePhoneVerificationProcess.resume(request) if request.user.is_authenticated else None
        if request.user.is_authenticated and self._process is None:
            return redirect(self.start_again)
        return super().dispatch(request, *args, **kwargs)

    def is_guess(self) -> bool:
        """Tell a code from the wish for another one."""
        return self.request.POST.get("action") != "resend" and super().is_guess()

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Take the code, or send another one, which has its own tries."""
        if request.POST.get("action") != "resend":
            return super().post(request, *args, **kwargs)
        state = self._process.state
        before = dict(state)
        state.update(at=time.time(), failed_attempts=0)
        try:
            self._process.send()
        except (RateLimited, CodeNotSent) as error:
            state.update(before)
            messages.error(request, str(error) or JUST_SENT)
        return redirect("account_verify_phone")

    def get_form_kwargs(self) -> dict[str, Any]:
        """Say what code is right."""
        kwargs: dict[str, Any] = super().get_form_kwargs()
        return {**kwargs, "code": self._process.code, "user": self.request.user, "phone": self._process.phone}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add where the code went and how long it works."""
        context = super().get_context_data(**kwargs)
        shown = phones.show(self._process.phone)
        more = {"phone": shown, "code_minutes": settings.CODE_MINUTES, "wait_s": self._wait_s(), "verify_form": context["form"]}
        return {**context, **more}

    def form_valid(self, form: PhoneCodeForm) -> HttpResponse:
        """Keep the number."""
        self._process.finish()
        _tell_owner(self.request)  # type: ignore[arg-type]  # login_required
        return redirect("accounts:account")

    def form_invalid(self, form: PhoneCodeForm) -> HttpResponse:
        """Count."""
        return self.wrong_code(form)
