"""Requests as views see them."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast
from urllib.parse import urlencode, urlsplit

from allauth.account.adapter import get_adapter
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache

from accounts import waiting
from accounts.models import User
from iotportal.words import wait

AREA = {"area": "menu"}  # where the Account pages stand in the menu


class AuthedRequest(HttpRequest):
    """A request behind `login_required`: its user is never anonymous."""

    user: User


View = TypeVar("View", bound=Callable[..., Any])


def recent_sign_in(view: View) -> View:
    """Let in who has signed in, or confirmed that it is them, within the last minutes; others do that first.

    Then they are back at the page, or at the page with the form that was sent. What the form said is not kept meanwhile, as
    allauth would: it may be a new password, and sessions are stored. Nor is who has nothing to confirm it with
    let in for that reason, but signs in again.
    """

    @wraps(view)
    def guarded(request: AuthedRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not get_adapter(request).is_reauthentication_required(app="accounts"):
            return cast(HttpResponse, view(request, *args, **kwargs))
        query = urlencode({"next": _page(request)})
        ways = get_adapter(request).get_reauthentication_methods(request.user)
        if ways:
            return redirect(f"{ways[0]['url']}?{query}")
        return render(request, "accounts/sign_in_again.html", {**AREA, "next": f"{reverse('account_login')}?{query}"}, status=403)

    return cast(View, login_required(never_cache(guarded)))


def _page(request: HttpRequest) -> str:
    """Return the page that a person sees when they send this request."""
    if request.method in {"GET", "HEAD"}:
        return request.get_full_path()
    return urlsplit(request.headers.get("referer", "")).path or reverse("accounts:account")


def whence(request: HttpRequest) -> dict[str, str]:
    """Return where a request comes from, as `services.log_in` and `services.renew_login` note it."""
    return {"ip": get_adapter().get_client_ip(request), "user_agent": request.headers.get("User-Agent", "")}


def refused_by_allauth(request: HttpRequest) -> HttpResponse:
    """Return the page of one whom a limit of allauth's refused; it finds this as `handler429` beside the URLs."""
    return too_many(request, waiting.wait_s(request))


def too_many(request: HttpRequest, wait_s: int) -> HttpResponse:
    """Return the page that asks to come again in `wait_s` seconds: with the menu for who is in, at the door for others."""
    template = "429.html" if request.user.is_authenticated else "account/too_many.html"
    response = render(request, template, {"wait": wait(wait_s)}, status=429)
    response["Retry-After"] = str(wait_s)
    return response
