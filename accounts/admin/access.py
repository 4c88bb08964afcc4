"""What people are signed in with: browsers and tokens, and their end."""

from __future__ import annotations

from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from accounts import services
from accounts.admin.base import Acting, ReadOnlyAdmin, asks_why, within_reach
from accounts.models import ApiToken, User


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin, Acting):
    """Tokens by their first letters, and logins over the API; neither secret nor hash."""

    act_permission = "accounts.delete_apitoken"
    actions = ("revoke",)
    lookups = ("user",)
    list_display = ("name", "kind", "prefix", "user", "scopes", "created_at", "expires_at", "last_used_at")
    list_filter = ("kind",)
    list_select_related = ("user",)
    search_fields = ("name", "prefix", "user__username", "user__email")
    show_full_result_count = False
    fields = ("name", "kind", "prefix", "user", "scopes", "created_at", "expires_at", "last_used_at", "ip", "user_agent")

    def in_log(self, one: ApiToken) -> tuple[Model, str]:
        """Log it beside its user, by its first letters."""
        return one.user, f"{one.prefix}…"

    @asks_why("Revoke", says="The program can do nothing more with it, from now on. Nothing brings it back.")
    def revoke(self, request: HttpRequest, token: ApiToken) -> None:
        """End a token."""
        _own_or_within_reach(request, token.user)
        services.revoke_token(token=token)


admin.site.unregister(UserSession)  # allauth's page would show the key


@admin.register(UserSession)
class UserSessionAdmin(ReadOnlyAdmin, Acting):
    """Who signed in when, from where, with what, and used it last when; never the key, which would let anybody in."""

    act_permission = "usersessions.delete_usersession"
    actions = ("end",)
    lookups = ("user",)
    list_display = ("user", "ip", "user_agent", "created_at", "last_seen_at")
    list_filter = ("created_at", "last_seen_at")
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email", "ip")
    search_help_text = "User name, e-mail or address"
    ordering = ("-created_at",)
    date_hierarchy = "created_at"
    show_full_result_count = False
    fields = ("user", "ip", "user_agent", "created_at", "last_seen_at")

    def in_log(self, one: UserSession) -> tuple[Model, str]:
        """Log it beside its user, without address and browser."""
        return one.user, "a session"

    @asks_why("End", says="The browser is signed out at once, and its open pages close.")
    def end(self, request: HttpRequest, session: UserSession) -> None:
        """Sign a browser out."""
        _own_or_within_reach(request, session.user)
        services.end_session(session=session)


def _own_or_within_reach(request: HttpRequest, owner: User) -> None:
    if owner.pk != request.user.pk:
        within_reach(request, owner)
