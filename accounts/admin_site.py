"""The admin's name and door."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts import staff_door


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

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Send operators where everybody changes the password: that also ends the tokens made with the old one."""
        return redirect("account_reset_password")
