"""Where the user is signed in."""

from __future__ import annotations

from uuid import UUID

from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from accounts import services
from accounts.http import AREA, AuthedRequest, recent_sign_in
from accounts.services import sessions
from accounts.user_agents import describe
from iotportal.words import plural


def section(request: AuthedRequest) -> dict[str, object]:
    """Return what the Account page shows: browsers, this one first, then programs."""
    browsers = [
        {
            "id": sessions.session_id(row),
            "agent": describe(row.user_agent),
            "address": row.ip,
            "since": row.created_at,
            "used": row.last_seen_at,
            "current": row.session_key == request.session.session_key,
        }
        for row in sessions.live_sessions(request.user)
    ]
    programs = [
        {
            "id": row.pk,
            "agent": describe(row.user_agent),
            "address": row.ip,
            "since": row.created_at,
            "used": row.last_used_at or row.created_at,
        }
        for row in sessions.live_logins(request.user)
    ]
    browsers.sort(key=lambda row: not row["current"])
    return {"browsers": browsers, "programs": programs, "elsewhere": len(browsers) + len(programs) > 1}


@login_required
@require_POST
def end_session(request: AuthedRequest, session_id: UUID) -> HttpResponse:
    """Sign a browser out."""
    found = next((row for row in UserSession.objects.filter(user=request.user) if sessions.session_id(row) == session_id), None)
    if found is None:
        raise Http404("No such session.")
    if found.session_key == request.session.session_key:
        return redirect("account_logout")
    services.end_session(session=found)
    messages.success(request, f"{describe(found.user_agent).words} is signed out.")
    return redirect("accounts:account")


@login_required
@require_POST
def end_login(request: AuthedRequest, login_id: UUID) -> HttpResponse:
    """Sign a program out."""
    login = get_object_or_404(sessions.live_logins(request.user), pk=login_id)
    services.revoke_token(token=login)
    messages.success(request, f"{describe(login.user_agent).words} is signed out.")
    return redirect("accounts:account")


@recent_sign_in
@require_http_methods(["GET", "POST"])
def end_others(request: AuthedRequest) -> HttpResponse:
    """Ask, then sign out everywhere else."""
    if request.method == "POST":
        ended = services.end_others(user=request.user, keep=request.session.session_key)
        messages.success(
            request, f"Signed out in {plural(ended, 'other place')}." if ended else "You were signed in nowhere else."
        )
        return redirect("accounts:account")
    return render(request, "accounts/sessions_end.html", AREA)
