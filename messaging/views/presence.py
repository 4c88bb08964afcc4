"""A device's timeline, and for how long it may be offline before its owner is told."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access import Action
from accounts.http import AuthedRequest
from devices.access import access_device
from devices.selectors import lamp
from iotportal.cursor import BadCursor
from iotportal.words import plural
from messaging.forms import OfflineLimitForm
from messaging.services.presence import set_offline_limit
from messaging.timeline import timeline

PAGE_SIZE = 50


@login_required
@require_GET
@never_cache
def timeline_page(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Show what happened to a device besides messages."""
    device = access_device(request.user, device_id)
    try:
        lines = timeline(device, request.GET.get("cursor") or None, PAGE_SIZE)
    except BadCursor as error:
        raise Http404("No such page.") from error
    context = {"area": "devices", "device": device, "lamp": lamp(device), "lines": lines}
    return render(request, "messaging/timeline.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def offline_limit(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Set for how long the device may be offline before its owner is told."""
    device = access_device(request.user, device_id, Action.MANAGE)
    presence = getattr(device, "presence", None)
    initial = {"minutes": presence and presence.offline_after_minutes}
    form = OfflineLimitForm(request.POST if "minutes" in request.POST else None, initial=initial, auto_id="limit-%s")
    if request.method == "POST" and form.is_valid():
        minutes = form.cleaned_data["minutes"]
        set_offline_limit(device=device, minutes=minutes)
        told = f"You will be told when it is offline for {plural(minutes, 'minute')}." if minutes else "You will not be told."
        messages.success(request, told)
        return redirect("devices:detail", device.hex)
    context = {"area": "devices", "device": device, "form": form}
    return render(request, "messaging/offline_limit.html", context, status=400 if request.method == "POST" else 200)
