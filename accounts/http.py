"""Requests as views see them."""

from collections.abc import Callable
from typing import Any, TypeVar

from allauth.account.adapter import get_adapter
from allauth.account.decorators import reauthentication_required
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest
from django.views.decorators.cache import never_cache

from accounts.models import User

AREA = {"area": "menu"}  # where the Account pages stand in the menu


class AuthedRequest(HttpRequest):
    """A request behind `login_required`: its user is never anonymous."""

    user: User


View = TypeVar("View", bound=Callable[..., Any])


def recent_sign_in(view: View) -> View:
    """Let in who is signed in and has confirmed within the last minutes that it is them; others do that first."""
    guarded: View = login_required(never_cache(reauthentication_required(app="allauth.mfa")(view)))
    return guarded


def whence(request: HttpRequest) -> dict[str, str]:
    """Return where a request comes from, as `services.log_in` and `services.renew_login` note it."""
    return {"ip": get_adapter().get_client_ip(request), "user_agent": request.headers.get("User-Agent", "")}
