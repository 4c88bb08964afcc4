"""What the pages of one device share."""

from __future__ import annotations

from django.conf import settings
from django.forms import Form
from django.http import HttpResponse
from django.shortcuts import render

from accounts.access import Action
from accounts.http import AuthedRequest
from accounts.models import Account, User
from accounts.selectors import memberships_of
from accounts.services import personal_account
from devices import hooks, selectors
from devices.certificates import shelf
from devices.downloads import slug
from devices.forms import NameForm, ProfileForm
from devices.models import Device

AREA = {"area": "devices"}


def owners_for(user: User) -> list[Account]:
    """Return the accounts in which `user` may register devices, the personal one first."""
    found = [one.account for one in memberships_of(user, Action.MANAGE)]
    if not found or found[0].kind != Account.Kind.PERSONAL:
        found.insert(0, personal_account(user))
    return found


def device_context(request: AuthedRequest, device: Device) -> dict[str, object]:
    """Return what the pages of one device know of it."""
    certificates = shelf(device)
    active = certificates.active
    return {
        **AREA,
        "device": device,
        "profile": selectors.profile_of(device),
        "profile_key": device.profile if device.own_profile_id is None else device.own_profile_id.hex,
        "lamp": selectors.lamp(device),
        "may": selectors.powers(request.user, device),
        "certificate": active,
        "certificates": certificates,
        "key_kept": active is not None and active.sealed_key is not None,
        "slug": slug(device),
        "device_host": settings.DEVICE_HOST,
        "emulators": settings.EMULATORS,
        "device_port": settings.DEVICE_PORT,
    }


def device_page(request: AuthedRequest, device: Device, **forms: Form) -> HttpResponse:
    """Render the View page; a form with errors makes it a 400."""
    context = device_context(request, device)
    context["name_form"] = forms.get("name_form") or NameForm(initial={"name": device.name}, auto_id="name-%s")
    context["profile_form"] = forms.get("profile_form") or ProfileForm(
        initial={"profile": device.profile}, auto_id="kind-%s", profiles=selectors.profiles_of(device.account)
    )
    page = selectors.DevicePage(request.user, device)
    hooks.device_shown(page)
    context |= page.more
    context |= {"password": getattr(device, "secret", None), "passwords": settings.DEVICE_PASSWORDS}
    context["claim_code"] = selectors.claim_code_of(device)
    return render(request, "devices/detail.html", context, status=400 if any(form.errors for form in forms.values()) else 200)


def shown_before(request: AuthedRequest, *, of: str, back: str, again: str) -> HttpResponse:
    """Say that a page that shows a secret once was sent again, and made nothing; `again` is the page that makes another."""
    return render(request, "devices/shown_before.html", {**AREA, "of": of, "back": back, "again": again}, status=409)
