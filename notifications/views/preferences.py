"""What somebody wants to be told of, by what, and when not."""

from __future__ import annotations

from collections.abc import Mapping

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.dateparse import parse_time
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.http import AuthedRequest
from notifications import services
from notifications.models import Cause, Channel
from notifications.services.alerts import Choice
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
        elif "quiet" in request.POST:
            _set_quiet_hours(request)
        else:
            choices = services.alerts.preferences(request.user)
            wanted = {(cause, channel): f"{cause}.{channel}" in request.POST for cause, channel in choices}
            services.alerts.set_preferences(user=request.user, wanted=wanted)
            messages.success(request, "Saved.")
        return redirect("notifications:preferences")
    context = {
        "area": "notifications",
        "channels": services.alerts.channels_of(request.user),
        "wanted": _rows(services.alerts.preferences(request.user)),
        "quiet": services.quiet.hours_of(request.user),
        "left": services.recipients.left_by(request.user),
        **push.shown(request.user),
    }
    return render(request, "notifications/preferences.html", context)


def _rows(choices: Mapping[Choice, bool]) -> list[tuple[Cause, list[tuple[Channel, bool]]]]:
    """Return what can be chosen, a row a cause."""
    return [
        (cause, [(channel, yes) for (one, channel), yes in choices.items() if one == cause]) for cause in services.alerts.CHOICES
    ]


def _set_quiet_hours(request: AuthedRequest) -> None:
    try:
        starts, ends = (parse_time(request.POST.get(name, "")) for name in ("starts", "ends"))
        services.quiet.set_hours(user=request.user, starts=starts, ends=ends)
    except ValueError:  # no time of day, or quiet.BadHours
        messages.error(request, "Not saved: say when the quiet hours begin and when they end, or leave both empty.")
    else:
        messages.success(request, "Saved.")
