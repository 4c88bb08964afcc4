"""List, register, view, rename, delete."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import Action, access_account
from accounts.http import AuthedRequest
from devices import hooks, selectors, services
from devices.access import access_device, parse_device_id
from devices.downloads import CSR_COMMAND
from devices.forms import NameForm, ProfileForm, RegisterForm, SearchForm
from devices.views.common import AREA, device_context, device_page, owners_for


@login_required
@require_GET
def device_list(request: AuthedRequest) -> HttpResponse:
    """Show the devices, with what they are doing."""
    form = SearchForm(request.GET)
    if not form.is_valid() and form.has_error("account"):
        raise Http404("No such account.")
    text, show, account_id = form.cleaned_data.get("q", ""), form.cleaned_data.get("show", ""), form.cleaned_data["account"]
    listed = selectors.device_list(request.user, text=text, show=show, account_id=account_id, page=request.GET.get("page", 1))
    hooks.device_list_shown(listed)
    return render(request, "devices/list.html", {**AREA, "list": listed, "text": text, "show": show})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def register(request: AuthedRequest) -> HttpResponse:
    """Register a device and show what to take to it."""
    owners = owners_for(request.user)
    offered = selectors.profiles_offered(owners)
    form = RegisterForm(
        request.POST or None,
        request.FILES or None,
        owners=owners,
        profiles=[one.profile for one in offered],
        initial={"account": _wanted(request)},
    )
    if request.method == "POST" and form.is_valid():
        try:
            made = services.register_device(account=form.owner, by=request.user, **form.described, **form.key_wanted)
        except (services.NameTaken, services.InvalidName) as error:
            form.add_error("name", str(error))
        except services.UnknownProfile:  # another account's, or deleted since the form was checked
            form.add_error("profile", f"{form.owner.name} has no such kind. Choose another kind, or another owner.")
        except services.CsrRefused as error:
            form.add_error("csr", str(error))
        else:
            return redirect("devices:registered", made.device.hex)
    context = {**AREA, "form": form, "offered": offered, "csr_command": CSR_COMMAND}
    return render(request, "devices/register.html", context, status=400 if form.errors else 200)


def _wanted(request: AuthedRequest) -> str:
    """Return the account that the address names as the owner, "" if none.

    Raises:
        Http404, PermissionDenied: the user may not register devices there.
    """
    named = request.GET.get("account")
    if named is None:
        return ""
    account_id = parse_device_id(named)
    if account_id is None:
        raise Http404("No such account.")
    return access_account(request.user, account_id, Action.MANAGE).pk.hex


@login_required
@require_GET
@never_cache
def registered(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Show a new device's id, files and first steps, and wait for it to connect."""
    device = access_device(request.user, device_id)
    return render(request, "devices/registered.html", device_context(request, device))


@login_required
@require_GET
@never_cache
def detail(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Show what a device is: name, kind, certificate, files."""
    return device_page(request, access_device(request.user, device_id, beside=["presence", "secret", "claim_code"]))


@login_required
@require_POST
def rename(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Give the device another name."""
    device = access_device(request.user, device_id, Action.MANAGE)
    form = NameForm(request.POST, auto_id="name-%s")
    if form.is_valid():
        try:
            services.rename_device(device=device, name=form.cleaned_data["name"], by=request.user)
        except (services.NameTaken, services.InvalidName) as error:
            form.add_error("name", str(error))
        else:
            messages.success(request, f"It is called {device.name} now.")
            return redirect("devices:detail", device.hex)
    device.refresh_from_db(fields=["name"])
    return device_page(request, device, name_form=form)


@login_required
@require_POST
def change_profile(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Say what kind of device it is."""
    device = access_device(request.user, device_id, Action.MANAGE)
    form = ProfileForm(request.POST, auto_id="kind-%s", profiles=selectors.profiles_of(device.account))
    if not form.is_valid():
        return device_page(request, device, profile_form=form)
    try:
        services.change_profile(device=device, profile=form.cleaned_data["profile"], by=request.user)
    except services.UnknownProfile as error:  # deleted since the form was checked
        form.add_error("profile", str(error))
        return device_page(request, device, profile_form=form)
    messages.success(request, f"The portal treats it as {selectors.profile_of(device).name} from now on.")
    return redirect("devices:detail", device.hex)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def delete(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Ask, then delete the device."""
    device = access_device(request.user, device_id, Action.MANAGE)
    if request.method != "POST":
        return render(request, "devices/delete.html", {**AREA, "device": device})
    if not services.delete_device(device=device):  # deleted or claimed since it was asked for
        raise services.DeviceGone
    messages.success(request, f"{device.name} is deleted. Its certificate opens nothing any more; its history stays.")
    return redirect("devices:list")
