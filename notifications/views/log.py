"""The log of notifications: what was said to whom, what became of it, and saying it again."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.crypto import get_random_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts.access import Action
from accounts.http import AuthedRequest
from devices.models import Device
from iotportal.cursor import BadCursor
from notifications import selectors
from notifications.access import access_notification
from notifications.forms import LogForm
from notifications.services import estimates, intake

AREA = {"area": "notifications"}
DEVICES = 200  # to choose from


@login_required
@require_GET
@never_cache
def log(request: AuthedRequest) -> HttpResponse:
    """Show what was said, newest first."""
    form = LogForm(request.GET, user=request.user)
    devices = list(Device.objects.for_user(request.user).only("id", "name").order_by("name")[:DEVICES])
    choices = [(one.hex, one.name) for one in devices]
    if not form.is_valid():
        return render(request, "notifications/log.html", {**AREA, "form": form, "devices": choices}, status=400)
    status, cursor = 200, request.GET.get("cursor")
    try:
        page = selectors.log(request.user, form.wanted, cursor)
    except BadCursor:  # a link that somebody cut off: the first page is what it can show
        page, status, cursor = selectors.log(request.user, form.wanted), 400, None
    context = {**AREA, "form": form, "page": page, "devices": choices, "filtered": any(request.GET.values())}
    return render(request, "notifications/log.html", context, status=status)


@login_required
@require_GET
@never_cache
def detail(request: AuthedRequest, notification_id: str) -> HttpResponse:
    """Show one: its text, its way, and each try."""
    one = access_notification(request.user, notification_id)
    again = estimates.row(account=one.account, recipient=one.recipient, message=one.message, device=one.device)
    again.language = one.language  # it has its words
    context = {
        **AREA,
        "one": one,
        "line": selectors.lines([one], request.user)[0],
        "attempts": one.attempts.all(),
        "key": get_random_string(12),
        "cost": estimates.sentences([again])[0],
    }
    return render(request, "notifications/detail.html", context)


@login_required
@require_POST
def resend(request: AuthedRequest, notification_id: str) -> HttpResponse:
    """Say the same once more."""
    one = access_notification(request.user, notification_id, Action.CONTROL)
    again = intake.resend(notification=one, user=request.user, key=request.POST.get("key", "")[:24])
    intake.announce([again])
    messages.success(request, "It is on its way again.")
    return redirect("notifications:detail", again.hex)
