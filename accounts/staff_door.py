"""The admin's door: who works here comes in with a second factor that was shown in this session."""

from __future__ import annotations

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import get_authentication_records
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache

from accounts.models import User
from accounts.services import factors


def may_enter(request: HttpRequest) -> bool:
    """Say whether the request may see the admin; asked before each of its pages."""
    user = request.user
    if not (isinstance(user, User) and user.is_active and user.is_staff):
        return False
    return not settings.ADMIN_REQUIRES_FACTOR or _factor_was_shown(request, user)


@never_cache
def sign_in(request: HttpRequest) -> HttpResponse:
    """Lead to what is missing: the sign-in, the second factor, or a page that says how to set one up."""
    target = _target(request)
    user = request.user
    if not isinstance(user, User):
        return redirect_to_login(target)
    if not user.is_staff:
        raise PermissionDenied
    if may_enter(request):
        return redirect(target)
    ways = factors.ways(user)
    if ways.app or ways.passkeys:
        name = "mfa_reauthenticate_webauthn" if ways.passkeys else "mfa_reauthenticate"
        return redirect(f"{reverse(name)}?{urlencode({'next': target})}")
    return render(request, "accounts/staff_factor.html", {"area": "menu", "ways": ways}, status=403)


def _factor_was_shown(request: HttpRequest, user: User) -> bool:
    """Say whether this session has shown a second factor.

    That the user has one is not enough: a browser that was left signed in from before knows nothing of it.
    """
    shown = any(record.get("method") == "mfa" for record in get_authentication_records(request, user))
    return shown and factors.needs_second_factor(user)


def _target(request: HttpRequest) -> str:
    asked = request.GET.get("next") or request.POST.get("next") or ""
    return asked if asked.startswith(reverse("admin:index")) and get_adapter().is_safe_url(asked) else reverse("admin:index")
