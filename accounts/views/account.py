"""The Account page and the profile.

The page is a column of groups; each group is made of fragments `templates/accounts/_NAME.html`. What a fragment shows comes from
a function in `SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable

from allauth.account.models import EmailAddress
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts import services
from accounts.forms import ProfileForm, focus_first_error
from accounts.http import AREA, AuthedRequest
from accounts.views import factors, organisations, sessions, social, tokens

Section = Callable[[AuthedRequest], dict[str, object]]


def _profile(request: AuthedRequest) -> dict[str, object]:
    return {"account": services.personal_account(request.user)}


def _sign_in(request: AuthedRequest) -> dict[str, object]:
    user = request.user
    return {"confirmed": EmailAddress.objects.filter(user=user, email=user.email.lower(), verified=True).exists()}


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


@login_required
@require_http_methods(["GET", "POST"])
@never_cache
def profile(request: AuthedRequest) -> HttpResponse:
    """Change the name."""
    form = ProfileForm(request.POST or None, instance=request.user)
    if request.method == "POST" and form.is_valid():
        form.save()
        return redirect("accounts:account")
    focus_first_error(form)
    return render(request, "accounts/profile.html", {**AREA, "form": form}, status=400 if form.errors else 200)
