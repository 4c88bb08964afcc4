"""A device's certificates: look at them, renew, revoke, let an expired one in again; and what ends when."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access import Action
from accounts.http import AuthedRequest
from devices import selectors, services
from devices.access import access_device
from devices.certificates import Forecast, access_certificate, chosen
from devices.downloads import CSR_COMMAND, active_certificate
from devices.forms import RenewForm, RevokeForm
from devices.models import Certificate
from devices.views.common import AREA


@login_required
@require_GET
@never_cache
def certificate(request: AuthedRequest, device_id: str, certificate_id: UUID) -> HttpResponse:
    """Show one certificate."""
    found = access_certificate(request.user, device_id, certificate_id)
    may = selectors.powers(request.user, found.device)
    return render(request, "devices/certificate.html", {**AREA, "device": found.device, "certificate": found, "may": may})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def renew(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Ask for which key, then issue a new certificate; the old one works until the device has been seen with the new."""
    device = access_device(request.user, device_id, Action.MANAGE)
    old = active_certificate(device)
    form = RenewForm(request.POST or None, request.FILES or None, initial={"key_algorithm": _kind_of(old)})
    if request.method == "POST" and form.is_valid():
        try:
            services.renew_certificate(device=device, by=request.user, **form.key_wanted)
        except services.CsrRefused as error:
            form.add_error("csr", str(error))
        else:
            messages.success(request, "It has a new certificate. Take the new files to the device.")
            return redirect("devices:detail", device.hex)
    context = {**AREA, **_renewing(), "device": device, "certificate": old, "form": form}
    return render(request, "devices/renew.html", context, status=400 if form.errors else 200)


def _renewing() -> dict[str, object]:
    """Return what the pages of a renewal say of all renewals."""
    return {"overlap_days": settings.RENEWAL_OVERLAP_DAYS, "csr_command": CSR_COMMAND}


def _kind_of(old: Certificate | None) -> str:
    """Return the key that a device most likely wants next: one like the one it has."""
    if old is None:
        return "ec"
    return "csr" if old.key_origin == Certificate.KeyOrigin.DEVICE else old.key_algorithm


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def revoke(request: AuthedRequest, device_id: str, certificate_id: UUID) -> HttpResponse:
    """Ask for the reason, then revoke."""
    found = access_certificate(request.user, device_id, certificate_id, Action.MANAGE)
    form = RevokeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        services.revoke_certificate(certificate=found, reason=form.cleaned_data["reason"], by=request.user)
        messages.success(request, "The certificate is revoked. It opens nothing any more; a connection made with it is cut.")
        return redirect("devices:detail", found.device.hex)
    context = {**AREA, "device": found.device, "certificate": found, "form": form}
    return render(request, "devices/revoke.html", context, status=400 if form.errors else 200)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def rescue(request: AuthedRequest, device_id: str, certificate_id: UUID) -> HttpResponse:
    """Ask, then let the device in with its expired certificate for a day."""
    found = access_certificate(request.user, device_id, certificate_id, Action.MANAGE)
    if request.method != "POST":
        return render(request, "devices/rescue.html", {**AREA, "device": found.device, "certificate": found})
    try:
        services.rescue_certificate(certificate=found, by=request.user)
    except services.NotExpired as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "It is let in for 24 hours. Renew its certificate in that time.")
    return redirect("devices:detail", found.device.hex)


# --- what ends when --------------------------------------------------------------------------------------------------------


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def forecast(request: AuthedRequest) -> HttpResponse:
    """Show which certificates end when; renew several in one go, once that was confirmed."""
    selected = chosen(request.user, request.POST.getlist("certificate"))
    if not selected:
        asked = request.method == "POST"
        context = {**AREA, "forecast": Forecast(request.user), "none_chosen": asked}
        return render(request, "devices/forecast.html", context, status=400 if asked else 200)
    if "confirmed" not in request.POST:
        return render(request, "devices/forecast_confirm.html", {**AREA, **_renewing(), "certificates": selected})
    devices = services.renew_several(certificates=selected, by=request.user)
    return render(request, "devices/forecast_done.html", {**AREA, "devices": devices})
