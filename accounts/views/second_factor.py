"""The page between the password and being signed in: a code or a passkey."""

from __future__ import annotations

import json
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.internal.decorators import login_stage_required
from allauth.decorators import rate_limit
from allauth.mfa.internal.flows.trust import trust_browser
from allauth.mfa.webauthn.internal.auth import begin_authentication
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.debug import sensitive_post_parameters

from accounts.factor_forms import FactorCodeForm, PasskeyStepForm
from accounts.services import factors, sent_codes
from accounts.stages import SecondFactorStage

APP, PASSKEY, CODE, RECOVERY = "app", "passkey", "code", "recovery"

_in_the_step = login_stage_required(stage=SecondFactorStage.key, redirect_urlname="account_login")


@method_decorator([rate_limit(action="login"), _in_the_step, sensitive_post_parameters("code", "credential")], name="dispatch")
class SecondFactorView(View):
    """Takes the second factor; `?way=` chooses among those that the person has."""

    stage: SecondFactorStage
    ways: factors.Ways

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Find out who it is and what they have; who is gone, or has nothing any more, begins again."""
        self.stage = request._login_stage  # type: ignore[attr-defined]  # login_stage_required puts it there
        user = self.stage.login.user
        if user is None or not factors.needs_second_factor(user):
            gone: HttpResponse = self.stage.abort()
            return gone
        self.ways = factors.ways(user)
        return super().dispatch(request, *args, **kwargs)  # type: ignore[return-value]  # allauth has no types

    def get(self, request: HttpRequest) -> HttpResponse:
        """Ask for it."""
        return self._page(self._code_form())

    def post(self, request: HttpRequest) -> HttpResponse:
        """Take it."""
        if "credential" in request.POST:
            passkey = PasskeyStepForm(request.POST, user=self.stage.login.user)
            if passkey.is_valid():
                passkey.save()
                return self._let_in()
            return self._page(self._code_form(), status=400, refused=passkey.errors["credential"][0])
        form = self._code_form(request.POST)
        if form.is_valid():
            form.save(request)
            if form.kind == "recovery_codes":
                self._tell_owner("recovery_code_used", left=self.ways.recovery_codes - 1)
            return self._let_in()
        if form.wait_s:
            self._tell_of_wrong_codes()
        response = self._page(form, status=429 if form.wait_s else 400)
        if form.wait_s:
            response["Retry-After"] = str(form.wait_s)
        return response

    def _let_in(self) -> HttpResponse:
        """Go on with the sign-in, and from now on without this step here if the person wants that."""
        user = self.stage.login.user
        response: HttpResponse = self.stage.exit()
        if "trust" in self.request.POST and not user.is_staff:
            trust_browser(self.request, user, response)
        return response

    def _tell_owner(self, mail: str, **words: object) -> None:
        get_adapter(self.request).send_notification_mail(f"account/email/{mail}", self.stage.login.user, words)

    def _tell_of_wrong_codes(self) -> None:
        """Tell the owner, once a day, that somebody who has the password does not have the codes."""
        if factors.first_lock_today(self.stage.login.user):
            self._tell_owner("wrong_codes")

    def _has(self) -> list[str]:
        """Return the ways that the person has, the best first."""
        has = {PASSKEY: self.ways.passkeys, APP: self.ways.app, CODE: self.ways.code, RECOVERY: self.ways.recovery_codes}
        return [way for way, there in has.items() if there]

    def _way(self) -> str:
        """Return the way that was asked for if the person has it, else the best they have."""
        has, asked = self._has(), self.request.GET.get("way", "")
        return asked if asked in has else has[0]

    def _code_form(self, data: Any = None) -> FactorCodeForm:
        challenge, recovery = self.stage.challenge, self._way() == RECOVERY
        return FactorCodeForm(data, user=self.stage.login.user, challenge=challenge, recovery=recovery)

    def _page(self, form: FactorCodeForm, *, status: int = 200, refused: str = "") -> HttpResponse:
        way, user = self._way(), self.stage.login.user
        context = {
            "form": form,
            "way": way,
            "others": [other for other in self._has() if other != way],
            "ways": self.ways,
            "refused": refused or self.stage.take_word(),
            "may_trust": not user.is_staff,
            "trust_days": settings.MFA_TRUST_COOKIE_AGE // 86_400,
            "sent": bool(self.stage.challenge),
            "sent_to": sent_codes.hint(user=user) if way == CODE else "",
            "code_minutes": settings.CODE_MINUTES,
            "wait_s": sent_codes.next_code_s(user=user) if way == CODE else 0,
            "options": json.dumps(begin_authentication(user)) if way == PASSKEY else "",
        }
        return render(self.request, "account/second_factor.html", context, status=status)


@method_decorator([rate_limit(action="login"), _in_the_step], name="dispatch")
class SendCodeView(View):
    """Sends a code to those who have chosen that way, first or again."""

    http_method_names = ("post",)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Send it."""
        stage: SecondFactorStage = request._login_stage  # type: ignore[attr-defined]  # allauth's decorator sets it
        if stage.login.user is not None and stage.login.user.code_factor:
            stage.send_code()
        return redirect(reverse("mfa_authenticate") + f"?way={CODE}")
