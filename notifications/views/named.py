"""Adding a webhook or another service. Where it leads is not shown again afterwards, and the secret of a webhook this once."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.access import Action
from accounts.http import AuthedRequest
from accounts.selectors import memberships_of
from notifications.forms import NamedForm
from notifications.services import named

AREA = {"area": "notifications"}


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def add_webhook(request: AuthedRequest) -> HttpResponse:
    """Add one and show its secret; that is sealed, so there is no page to come back to."""
    form = _form(request)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            one, secret = named.add_webhook(account=form.owner, name=data["name"], url=data["url"], user=request.user)
        except named.NamedRefused as error:
            form.add_error(error.about, str(error))
        else:
            return render(
                request,
                "notifications/webhook_made.html",
                {**AREA, "one": one, "secret": secret},
            )
    return render(request, "notifications/webhook.html", {**AREA, "form": form}, status=400 if form.errors else 200)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def add_service(request: AuthedRequest) -> HttpResponse:
    """Add another service."""
    form = _form(request)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            one = named.add_service(account=form.owner, name=data["name"], url=data["url"], user=request.user)
        except named.NamedRefused as error:
            form.add_error(error.about, str(error))
        else:
            messages.success(request, f"Added. Devices write to it as {one.spelled}.")
            return redirect("notifications:recipients")
    return render(request, "notifications/service.html", {**AREA, "form": form}, status=400 if form.errors else 200)


def _form(request: AuthedRequest) -> NamedForm:
    owners = [one.account for one in memberships_of(request.user, Action.MANAGE)]
    if not owners:
        raise PermissionDenied("Your role does not allow that.")
    return NamedForm(request.POST if request.method == "POST" else None, owners=owners)
