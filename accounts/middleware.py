"""What accounts do around every request."""

from __future__ import annotations

from collections.abc import Callable

from allauth.headless.base.response import APIResponse
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts import waiting
from accounts.headless import too_many_tries
from accounts.services import sessions


def note_session_use(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Note when and from where each signed-in browser was used last."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            sessions.note_use(request)
        return get_response(request)

    return middleware


def say_when_again(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Tell those who came too often when to come again, where allauth refused them: its answers do not say."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if isinstance(response, APIResponse) and b'"too_many_login_attempts"' in response.content:
            return too_many_tries(response, getattr(request, "wait_s", 0) or waiting.wait_s(request))
        if response.status_code == 429 and not response.has_header("Retry-After"):
            response["Retry-After"] = str(waiting.wait_s(request))
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
