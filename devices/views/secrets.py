"""The password of a device that cannot hold a certificate: make one, take it away."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.access import Action
from accounts.http import AuthedRequest
from devices import selectors, services
from devices.access import access_device
from devices.views.common import AREA, shown_before
from iotportal.once import sent_before


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def secret(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Ask, then make a password and show it, this once."""
    device = access_device(request.user, device_id, Action.MANAGE)
    if not settings.DEVICE_PASSWORDS:
        raise Http404("Device passwords are switched off.")
    if request.method != "POST":
        return render(request, "devices/secret.html", {**AREA, "device": device, "password": selectors.secret_of(device)})
    if sent_before(request):
        page = reverse("devices:detail", args=[device.hex])
        return shown_before(request, of=device.name, back=page, again=request.path)
    made = services.issue_secret(device=device, by=request.user)
    context = {"device": device, "secret": made, "host": settings.DEVICE_HOST, "port": settings.DEVICE_PASSWORD_PORT}
    return render(request, "devices/secret_made.html", {**AREA, **context})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def revoke_secret(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Ask, then take the password away."""
    device = access_device(request.user, device_id, Action.MANAGE)
    if request.method != "POST":
        return render(request, "devices/secret_revoke.html", {**AREA, "device": device})
    if services.revoke_secret(device=device, by=request.user):
        messages.success(request, "The password opens nothing any more; a connection made with it is cut.")
    else:
        messages.info(request, "It has no password.")
    return redirect("devices:detail", device.hex)
