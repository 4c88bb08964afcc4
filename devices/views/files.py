"""What an owner takes to the device."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access import Action
from accounts.http import AuthedRequest
from devices import services
from devices.access import access_device
from devices.downloads import PUBLIC_FILES, Download, File, download, pkcs12
from devices.forms import PasswordForm
from devices.models import Device
from devices.views.common import AREA


@login_required
@require_GET
@never_cache
def device_file(request: AuthedRequest, device_id: str, name: str) -> HttpResponse:
    """Send one of the device's files; those with the private key go to those who manage the device."""
    try:
        file = File(name)
    except ValueError:
        raise Http404("No such file.") from None
    device = access_device(request.user, device_id, Action.READ if file in PUBLIC_FILES else Action.MANAGE)
    try:
        return as_response(download(device, file))
    except services.KeyUnavailable as error:
        return _refused(request, device, name, error)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def pkcs12_file(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Ask for a password, then send certificate and key in one file that is encrypted with it."""
    device = access_device(request.user, device_id, Action.MANAGE)
    form = PasswordForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            return as_response(pkcs12(device, form.cleaned_data["password"]))
        except services.KeyUnavailable as error:
            return _refused(request, device, "the PKCS #12 file", error)
    context = {**AREA, "device": device, "form": form}
    return render(request, "devices/pkcs12.html", context, status=400 if form.errors else 200)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def forget_key(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Ask, then destroy the portal's copy of the device's key."""
    device = access_device(request.user, device_id, Action.MANAGE)
    if request.method != "POST":
        return render(request, "devices/forget_key.html", {**AREA, "device": device})
    services.forget_key(device=device, by=request.user)
    messages.success(request, "The portal has no copy of the private key any more. The device keeps working with its own.")
    return redirect("devices:detail", device.hex)


def _refused(request: AuthedRequest, device: Device, name: str, error: Exception) -> HttpResponse:
    context = {**AREA, "device": device, "reason": str(error), "file": name}
    return render(request, "devices/no_file.html", context, status=409)


def as_response(made: Download) -> HttpResponse:
    """Return a file that is saved."""
    headers = {"Content-Disposition": f'attachment; filename="{made.filename}"', "X-Content-Type-Options": "nosniff"}
    return HttpResponse(made.content, content_type=made.content_type, headers=headers)
