"""The history: filters, figures, charts, pages."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts.http import AuthedRequest
from accounts.models import User
from devices.profiles import all_profiles
from messaging import selectors
from messaging.charts import charts
from messaging.figures import Figures, figures
from messaging.forms import RANGE_WORDS, HistoryForm
from messaging.selectors import MessageFilter

PAGE_SIZE = 50


@login_required
@require_GET
@never_cache
def history(request: AuthedRequest) -> HttpResponse:
    """Show what passed between the portal and the devices, newest first."""
    form = HistoryForm(request.GET, user=request.user)
    context: dict[str, object] = {"area": "history", "form": form, "ranges": RANGE_WORDS, "apis": _apis()}
    if not form.is_valid():
        context |= {"devices": form.devices(), "range": form.range_key, "page": selectors.Page()}
        return render(request, "messaging/history.html", context, status=400)
    now = timezone.now()
    wanted, cursor = form.wanted(now), request.GET.get("cursor")
    status = 200
    try:
        page = selectors.messages(request.user, wanted, cursor, PAGE_SIZE)
    except selectors.BadCursor:  # a link that somebody cut off: the first page is what it can show
        page, cursor, status = selectors.messages(request.user, wanted, None, PAGE_SIZE), None, 400
    rows = selectors.history_rows(request.user, page.rows)
    found = _figures(request.user, wanted, now)
    context |= {
        "devices": form.devices(),
        "range": form.range_key,
        "page": page,
        "rows": rows,
        "count": found.count if found else selectors.Count(0),
        "figures": found,
        "charts": charts(found) if found and found.messages else None,
        "tail": not cursor and not wanted.until,
        "said": _said(form),
        "range_label": RANGE_WORDS.get(form.range_key, "").lower(),
        "wanted": wanted,
        "last": selectors.last_message(request.user, wanted.device_id) if not rows else None,
    }
    return render(request, "messaging/history.html", context, status=status)


def _apis() -> list[str]:
    """Return the names of all apis that shipped profiles know."""
    return sorted({name for profile in all_profiles() for name in profile.apis})


def _figures(user: User, wanted: MessageFilter, now: datetime) -> Figures | None:
    """Return the figures of the range that is shown, None where there never was a message."""
    until = min(wanted.until or now, now)
    since = wanted.since or selectors.first_message(user, wanted)
    if since is None:
        return None
    return figures(user, replace(wanted, since=None, until=None), since=min(since, until - timedelta(seconds=1)), until=until)


def _said(form: HistoryForm) -> str:
    """Say in words what is shown: "Last hour, all devices"."""
    key = form.range_key
    return f"{RANGE_WORDS[key] if key else 'Chosen times'}, {form.found.name if form.found else 'all devices'}"
