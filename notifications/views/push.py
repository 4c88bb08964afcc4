"""Pushes: the browsers that somebody switched on, and the worker that shows them what is pushed."""

from __future__ import annotations

import hashlib
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.views.decorators.http import require_GET, require_POST

from accounts.http import AuthedRequest
from accounts.models import User
from accounts.services import personal_account
from devices.access import parse_device_id
from iotportal.uuid7 import uuid7
from notifications.models import Cause
from notifications.services import browsers, intake

# In the order in which they are looked for: most say that they are several.
_PROGRAMS = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"))
_SYSTEMS = (
    ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)  # fmt: skip


@require_GET
def worker(request: HttpRequest) -> HttpResponse:
    """Return the service worker; its address never changes, and browsers look for a newer one each time that they use it."""
    about = {"icon": static("icon-180.png")}
    answer = render(request, "notifications/push-worker.js", about, content_type="text/javascript; charset=utf-8")
    answer["Cache-Control"] = "no-cache"
    return answer


@login_required
@require_POST
def switch_on(request: AuthedRequest) -> HttpResponse:
    """Keep the browser that asks, or the catcher of this machine."""
    said = request.POST
    try:
        if "catcher" in said:
            browsers.add_catcher(user=request.user)
        else:
            browsers.add(
                user=request.user, endpoint=said.get("endpoint", ""), p256dh=said.get("p256dh", ""), auth=said.get("auth", ""),
                name=name_of(request.headers.get("User-Agent", "")),
            )  # fmt: skip
    except browsers.BrowserRefused as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "Switched on. Push something to try it.")
    return redirect("notifications:preferences")


@login_required
@require_POST
def remove(request: AuthedRequest, browser_id: str) -> HttpResponse:
    """Forget one of one's own browsers."""
    key = parse_device_id(browser_id)
    if key is None or not browsers.remove(user=request.user, browser_id=key):
        raise Http404("There is nothing here.")
    messages.success(request, "Nothing is pushed to it any more.")
    return redirect("notifications:preferences")


@login_required
@require_POST
def try_it(request: AuthedRequest) -> HttpResponse:
    """Push something to one's own browsers."""
    one = intake.take(
        account_id=personal_account(request.user).pk, user=request.user, cause=Cause.PERSON, source=f"push:{uuid7().hex}",
        recipient=f"push:{request.user.uuid.hex}", message=None, event="push",
    )  # fmt: skip
    if one is None:
        raise Http404("There is nothing here.")
    intake.announce([one])
    return redirect("notifications:detail", one.hex)


def shown(user: User) -> dict[str, Any]:
    """Return what the part of the page about pushes shows."""
    from notifications.channels.push import public_key  # loads its library

    rows = [{"row": one, "digest": hashlib.sha256(one.endpoint.encode()).hexdigest()} for one in user.browsers.all()]
    return {"browsers": rows, "push_key": public_key(), "push_catcher": bool(settings.PUSH_CATCHER)}


def name_of(user_agent: str) -> str:
    """Return what people call a browser, as far as it says: "Firefox on Linux"."""
    program = next((name for mark, name in _PROGRAMS if mark in user_agent), "A browser")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    return f"{program} on {system}" if system else program
