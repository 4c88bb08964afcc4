"""The admin's name and door."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts import staff_door
from accounts.services.sessions import tell_end


class PortalAdminSite(admin.AdminSite):
    """The operators' site: one sign-in with its limits for all, and a second factor for who works here."""

    site_header = "IoT Portal operators"
    site_title = "IoT Portal"
    index_title = "Operations"

    def has_permission(self, request: HttpRequest) -> bool:
        """Say whether the request may see the admin; asked before each of its pages."""
        return staff_door.may_enter(request)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Lead to what is missing."""
        return staff_door.sign_in(request)

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Sign out, here and in the pages that are open elsewhere."""
        key = request.session.session_key
        response = super().logout(request, extra_context)
        tell_end(key, request)
        return response

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Send operators where everybody changes the password: that also ends the tokens made with the old one."""
        return redirect("account_reset_password")
