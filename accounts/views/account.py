"""The Account page and the profile."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts import services
from accounts.forms import ProfileForm, focus_first_error
from accounts.http import AREA, AuthedRequest
from accounts.models import ApiToken


@login_required
@require_safe
@never_cache
def account(request: AuthedRequest) -> HttpResponse:
    """Show profile, subscription and API tokens."""
    context = {
        **AREA,
        "account": services.personal_account(request.user),
        "confirmed": EmailAddress.objects.filter(user=request.user, email=request.user.email.lower(), verified=True).exists(),
        "tokens": request.user.api_tokens.filter(kind=ApiToken.Kind.PERSONAL),
    }
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
