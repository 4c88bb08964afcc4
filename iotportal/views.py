"""Pages that belong to no app."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from accounts.http import AuthedRequest
from iotportal.forms import SettingsForm


@require_GET
def help_page(request: HttpRequest) -> HttpResponse:
    """Show the guide."""
    curl = (
        f"curl -H 'Authorization: Bearer YOUR_TOKEN' -H 'Content-Type: application/json' "
        f'-d \'{{"api": "set_gpio", "arguments": {{"number": 10, "value": 1}}}}\' '
        f"{settings.PORTAL_URL}/api/v1/devices/DEVICE_ID/commands"
    )
    context = {"area": "help", "device_host": settings.DEVICE_HOST, "device_port": settings.DEVICE_PORT, "curl": curl}
    return render(request, "pages/help.html", context)


@require_GET
def terms(request: HttpRequest) -> HttpResponse:
    """Show the terms of service."""
    return render(request, "pages/terms.html")


@require_GET
def privacy(request: HttpRequest) -> HttpResponse:
    """Show the privacy policy."""
    return render(request, "pages/privacy.html", {"free_messages": settings.FREE_MESSAGES_PER_MONTH})


@login_required
@require_GET
def menu(request: AuthedRequest) -> HttpResponse:
    """Show what a phone's tab bar has no room for."""
    return render(request, "pages/menu.html", {"area": "menu"})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def user_settings(request: AuthedRequest) -> HttpResponse:
    """Change the theme."""
    form = SettingsForm(request.POST or None, initial={"theme": request.user.theme})
    if request.method == "POST" and form.is_valid():
        form.save(request.user)
        messages.success(request, "Saved.")
        return redirect("settings")
    return render(request, "pages/settings.html", {"area": "menu", "form": form}, status=400 if form.errors else 200)
