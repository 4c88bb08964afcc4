"""Making devices theirs who have a code, and making the codes."""

from __future__ import annotations

from typing import cast
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts import qr
from accounts.access import Action
from accounts.http import AuthedRequest
from devices import selectors, services
from devices.access import access_device, access_job
from devices.claiming import claim
from devices.downloads import Download
from devices.forms import ClaimForm
from devices.models import Device
from devices.services.claims import Code
from devices.views.common import AREA, shown_before
from devices.views.files import as_response
from iotportal.csv_text import csv_lines
from iotportal.once import sent_before
from iotportal.problems import Problem
from iotportal.throttle import client_address


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def claim_device(request: HttpRequest) -> HttpResponse:
    """Ask for a code, and move its device to the user's personal account; whoever has not signed in is told to do that first."""
    if request.user.is_authenticated or request.method == "POST":
        return _claim(cast("AuthedRequest", request))
    return render(request, "devices/claim_door.html", {**AREA, "next": urlencode({"next": reverse("devices:claim")})})


@login_required
def _claim(request: AuthedRequest) -> HttpResponse:
    form = ClaimForm(request.POST or None)
    status = 400
    if request.method == "POST" and form.is_valid():
        address = client_address(request.META.get("REMOTE_ADDR"), request.META.get("HTTP_X_FORWARDED_FOR"))
        try:
            device = claim(request.user, form.cleaned_data["code"], address)
        except (services.ClaimRefused, services.NameTaken) as error:
            form.add_error("code", str(error))
        except Problem as problem:
            form.add_error("code", problem.detail)
            status = problem.status
        else:
            text = '{} is yours now. Whoever had it before may still hold its key: <a href="{}">renew its certificate</a>.'
            messages.success(request, format_html(text, device.name, reverse("devices:renew", args=[device.hex])))
            return redirect("devices:detail", device.hex)
    return render(request, "devices/claim.html", {**AREA, "form": form}, status=status if form.errors else 200)


@login_required
@require_POST
@never_cache
def job_claim_codes(request: AuthedRequest, job_id: str) -> HttpResponse:
    """Make a code for each device of a job, and show them this once: to print, or as CSV."""
    job = access_job(request.user, job_id, Action.MANAGE)
    if "csv" not in request.POST and sent_before(request):
        page = reverse("devices:job", args=[job.hex])
        return shown_before(request, of="The job", back=page, again=page)
    devices = Device.objects.filter(job_line__job=job)
    return _shown(request, services.make_claim_codes(account=job.account, devices=devices, by=request.user))


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def claim_code(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Ask, then make a code for one device and show it, this once."""
    device = access_device(request.user, device_id, Action.MANAGE)
    if request.method != "POST":
        context = {"device": device, "claim_code": selectors.claim_code_of(device), "days": settings.CLAIM_CODE_DAYS}
        return render(request, "devices/claim_code.html", {**AREA, **context})
    if sent_before(request):
        page = reverse("devices:detail", args=[device.hex])
        return shown_before(request, of=device.name, back=page, again=request.path)
    return _shown(request, services.make_claim_codes(account=device.account, devices=[device], by=request.user), of=device)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def withdraw_claim_code(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Ask, then make the device's code worthless."""
    device = access_device(request.user, device_id, Action.MANAGE)
    if request.method != "POST":
        return render(request, "devices/claim_code_withdraw.html", {**AREA, "device": device})
    services.withdraw_claim_code(device=device)
    messages.success(request, "No code gives this device to anybody.")
    return redirect("devices:detail", device.hex)


def _shown(request: AuthedRequest, codes: list[Code], *, of: Device | None = None) -> HttpResponse:
    """Show codes as a page to print, or send them as CSV. `of`: the one device that they were wanted for."""
    address = settings.PORTAL_URL + reverse("devices:claim")
    if "csv" in request.POST:
        rows = [(one.device.name, one.device.hex, one.text, f"{address}#{one.text}") for one in codes]
        content = csv_lines([("name", "device_id", "claim_code", "address"), *rows])
        return as_response(Download("claim-codes.csv", "text/csv; charset=utf-8", content.encode()))
    cards = [{"code": one, "qr": qr.draw(f"{address}#{one.text}")} for one in codes]
    context = {**AREA, "cards": cards, "address": address, "days": settings.CLAIM_CODE_DAYS, "device": of}
    return render(request, "devices/claim_codes.html", context, status=200 if codes else 409)
