"""The Account page.

The page is a column of groups; each group is made of fragments `templates/accounts/_NAME.html`. What a fragment shows comes from
a function in `SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable

from allauth.account.models import EmailAddress
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import code_channels, phones, services
from accounts.http import AREA, AuthedRequest
from accounts.views import factors, organisations, sessions, social, tokens
from iotportal.languages import languages

Section = Callable[[AuthedRequest], dict[str, object]]


def _profile(request: AuthedRequest) -> dict[str, object]:
    return {
        "account": services.personal_account(request.user),
        "phone": phones.show(request.user.phone),
        "language": languages().get(request.user.language, request.user.language),
    }


def _sign_in(request: AuthedRequest) -> dict[str, object]:
    user = request.user
    sms = code_channels.find("sms") is not None
    return {"sms": sms, "confirmed": EmailAddress.objects.filter(user=user, email=user.email.lower(), verified=True).exists()}


SECTIONS: tuple[Section, ...] = (
    _profile, _sign_in, factors.section, social.section, sessions.section, tokens.section, organisations.section,
)  # fmt: skip


@login_required
@require_safe
@never_cache
def account(request: AuthedRequest) -> HttpResponse:
    """Show everything about the user and what is theirs."""
    context: dict[str, object] = {**AREA}
    for section in SECTIONS:
        context |= section(request)
    return render(request, "accounts/account.html", context)
