"""The pages of the registry: list, register, view, delete."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.forms import Form
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import Action
from accounts.http import AuthedRequest
from accounts.services import personal_account
from devices import hooks, selectors, services
from devices.access import access_device
from devices.downloads import Download, File, active_certificate, download, slug
from devices.forms import NameForm, ProfileForm, RegisterForm, SearchForm
from devices.models import Device
from devices.pki import KeyAlgorithm
from devices.profiles import all_profiles

AREA = {"area": "devices"}


@login_required
@require_GET
def device_list(request: AuthedRequest) -> HttpResponse:
    """Show the devices, with what they are doing."""
    form = SearchForm(request.GET)
    form.is_valid()
    text, show = form.cleaned_data.get("q", ""), form.cleaned_data.get("show", "")
    listed = selectors.device_list(request.user, text=text, show=show, page=request.GET.get("page", 1))
    hooks.device_list_shown(listed)
    return render(request, "devices/list.html", {**AREA, "list": listed, "text": text, "show": show})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def register(request: AuthedRequest) -> HttpResponse:
    """Register a device and show what to take to it."""
    form = RegisterForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = services.register_device(account=personal_account(request.user), **form.cleaned_data)
        except (services.NameTaken, services.InvalidName) as error:
            form.add_error("name", str(error))
        else:
            return redirect("devices:registered", made.device.hex)
    context = {**AREA, "form": form, "profiles": all_profiles()}
    return render(request, "devices/register.html", context, status=400 if form.errors else 200)


@login_required
@require_GET
@never_cache
def registered(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Show a new device's id, files and first steps, and wait for it to connect."""
    device = access_device(request.user, device_id)
    return render(request, "devices/registered.html", _context(request, device))


@login_required
@require_GET
@never_cache
def detail(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Show what a device is: name, kind, certificate, files."""
    return _detail(request, access_device(request.user, device_id))


@login_required
@require_POST
def rename(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Give the device another name."""
    device = access_device(request.user, device_id, Action.MANAGE)
    form = NameForm(request.POST, auto_id="name-%s")
    if form.is_valid():
        try:
            services.rename_device(device=device, name=form.cleaned_data["name"])
        except (services.NameTaken, services.InvalidName) as error:
            form.add_error("name", str(error))
        else:
            messages.success(request, f"It is called {device.name} now.")
            return redirect("devices:detail", device.hex)
    device.refresh_from_db(fields=["name"])
    return _detail(request, device, name_form=form)


@login_required
@require_POST
def change_profile(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Say what kind of device it is."""
    device = access_device(request.user, device_id, Action.MANAGE)
    form = ProfileForm(request.POST, auto_id="kind-%s")
    if not form.is_valid():
        return _detail(request, device, profile_form=form)
    services.change_profile(device=device, profile=form.cleaned_data["profile"])
    messages.success(request, f"The portal treats it as {selectors.profile_of(device).name} from now on.")
    return redirect("devices:detail", device.hex)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def forget_key(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Ask, then destroy the portal's copy of the device's key."""
    device = access_device(request.user, device_id, Action.MANAGE)
    if request.method != "POST":
        return render(request, "devices/forget_key.html", {**AREA, "device": device})
    services.forget_key(device=device)
    messages.success(request, "The portal has no copy of the private key any more. The device keeps working with its own.")
    return redirect("devices:detail", device.hex)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def new_certificate(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Ask, then replace the device's key and certificate."""
    device = access_device(request.user, device_id, Action.MANAGE)
    if request.method != "POST":
        return render(request, "devices/new_certificate.html", {**AREA, "device": device})
    old = active_certificate(device)
    services.renew_certificate(device=device, key_algorithm=old.key_algorithm if old else KeyAlgorithm.EC, by=request.user)
    messages.success(
        request, "It has a new key and certificate. Take them to the device: the old one works until it has been seen."
    )
    return redirect("devices:detail", device.hex)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def delete(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Ask, then delete the device."""
    device = access_device(request.user, device_id, Action.MANAGE)
    if request.method != "POST":
        return render(request, "devices/delete.html", {**AREA, "device": device})
    services.delete_device(device=device)
    messages.success(request, f"{device.name} is deleted. Its certificate opens nothing any more; its history stays.")
    return redirect("devices:list")


@login_required
@require_GET
@never_cache
def device_file(request: AuthedRequest, device_id: str, name: str) -> HttpResponse:
    """Send one of the device's files; those with the private key go to those who manage the device."""
    try:
        file = File(name)
    except ValueError:
        raise Http404("No such file.") from None
    secret = file not in {File.ROOT_CA, File.CERTIFICATE}
    device = access_device(request.user, device_id, Action.MANAGE if secret else Action.READ)
    try:
        return _as_response(download(device, file))
    except services.KeyUnavailable as error:
        context = {**AREA, "device": device, "reason": str(error), "file": name}
        return render(request, "devices/no_file.html", context, status=409)


def _as_response(made: Download) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{made.filename}"', "X-Content-Type-Options": "nosniff"}
    return HttpResponse(made.content, content_type=made.content_type, headers=headers)


def _detail(request: AuthedRequest, device: Device, **forms: Form) -> HttpResponse:
    """Render the View page; a form with errors makes it a 400."""
    context = _context(request, device)
    context["name_form"] = forms.get("name_form") or NameForm(initial={"name": device.name}, auto_id="name-%s")
    context["profile_form"] = forms.get("profile_form") or ProfileForm(initial={"profile": device.profile}, auto_id="kind-%s")
    return render(request, "devices/detail.html", context, status=400 if any(form.errors for form in forms.values()) else 200)


def _context(request: AuthedRequest, device: Device) -> dict[str, object]:
    """Return what the pages of one device share."""
    certificate = active_certificate(device)
    may = selectors.powers(request.user, device)
    return {
        **AREA,
        "device": device,
        "profile": selectors.profile_of(device),
        "lamp": selectors.lamp(device),
        "may": may,
        "certificate": certificate,
        "key_kept": certificate is not None and certificate.sealed_key is not None,
        "slug": slug(device),
        "device_host": settings.DEVICE_HOST,
        "device_port": settings.DEVICE_PORT,
    }
