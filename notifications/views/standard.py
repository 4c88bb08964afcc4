"""Storing from the Control page to whom a device writes by default, and what."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from accounts.access import Action
from accounts.http import AuthedRequest
from devices.access import access_device
from devices.selectors import profile_of
from messaging import tiles
from notifications.addresses import BadRecipient
from notifications.services import standard


@login_required
@require_POST
def save(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Store what stands in the form of the tile."""
    device = access_device(request.user, device_id, Action.MANAGE)
    tile = tiles.tiles_of(profile_of(device)).get("notifications")
    try:
        asked = tiles.asks(tile, request.POST.dict(), device) if tile else []
        fields = asked[0][1] if asked else {}
        standard.set_standard(device=device, recipient=str(fields.get("recipient", "")), message=str(fields.get("message", "")))
    except (tiles.BadInput, BadRecipient) as error:
        messages.error(request, f"Not saved: {error}")
    else:
        messages.success(request, "Saved. The device uses it where it names no recipient or no message.")
    return redirect(f"{reverse('messaging:control', args=[device.hex])}#notifications")
