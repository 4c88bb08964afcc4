"""What somebody wants to be told of by mail."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.http import AuthedRequest
from notifications import services
from notifications.views import push


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def preferences(request: AuthedRequest) -> HttpResponse:
    """Show and keep it. Whoever unsubscribed their own address by a link can take that back here."""
    if request.method == "POST":
        if "again" in request.POST:
            services.recipients.subscribe_again(user=request.user)
            messages.success(request, "You are written to again.")
        else:
            wanted = {cause: cause.value in request.POST for cause in services.alerts.CHOICES}
            services.alerts.set_preferences(user=request.user, wanted=wanted)
            messages.success(request, "Saved.")
        return redirect("notifications:preferences")
    context = {
        "area": "notifications",
        "wanted": services.alerts.preferences(request.user).items(),
        "left": services.recipients.left_by(request.user),
        **push.shown(request.user),
    }
    return render(request, "notifications/preferences.html", context)
