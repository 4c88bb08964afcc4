"""What accounts do around every request."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts.services import sessions


def note_session_use(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Note when and from where each signed-in browser was used last."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            sessions.note_use(request)
        return get_response(request)

    return middleware


def say_when_again(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Tell those who came too often when to come again, where allauth refused them: its limits are by the minute."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if response.status_code == 429:
            response.headers.setdefault("Retry-After", "60")
        return response

    return middleware


# Where one may still go: the door, what belongs to leaving, and what is for programs or for everybody.
_OPEN_TO_LEAVERS = (
    "/account/delete/", "/account/leaving/", "/account/keep/", "/account/export/", "/accounts/", "/api/", "/static/", "/help/",
    "/terms/", "/privacy/", "/pki/",
)  # fmt: skip


def ask_who_leaves(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Show those whose account is to be deleted the page that offers to keep it, before any other."""

    def middleware(request: HttpRequest) -> HttpResponse:
        user = request.user
        if user.is_authenticated and user.delete_at is not None and not request.path.startswith(_OPEN_TO_LEAVERS):
            return redirect("accounts:leaving")
        return get_response(request)

    return middleware
