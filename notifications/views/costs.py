"""What a notification costs, said on the Control page while it is typed."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts.access import Action
from accounts.http import AuthedRequest
from devices.access import access_device
from messaging import tiles
from messaging.tiles import Outcome
from messaging.views.control import page_of
from notifications.services import estimates, payments


@login_required
@require_POST
@never_cache
def cost(request: AuthedRequest, device_id: str) -> HttpResponse:
    """Say what the message in the tile's form would cost. Nothing is sent.

    A script gets the words alone, and for a recipient that is not whole yet the price list; without one it is the page again.
    """
    device, post = access_device(request.user, device_id, Action.CONTROL), request.POST.dict()
    is_part = "HX-Request" in request.headers
    try:
        recipient = tiles.recipient(post)
    except tiles.BadInput as error:
        if is_part:
            return render(request, "notifications/_cost.html", {"prices": payments.prices_in_words()})
        return page_of(request, device, {"notifications": Outcome(status=400, errors=error.errors, values=post)})
    found = estimates.estimate(account=device.account, recipient=recipient, message=post.get("message", ""), device=device)
    what, text = estimates.in_words(found)
    if is_part:
        return render(request, "notifications/_cost.html", {"found": found, "what": what, "text": text})
    kind = "warn" if found.reason else "live"
    return page_of(request, device, {"notifications": Outcome(ok=not found.reason, kind=kind, what=what, text=text, values=post)})
