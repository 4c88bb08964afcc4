"""Accounts, personal ones and organisations, and who is in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from accounts.admin.base import Acting, ModelAdmin, ReadOnlyAdmin, Shelf
from accounts.admin.people import MembershipInline
from accounts.models import Account, Membership


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin, Acting):
    """Who owns things."""

    act_permission = "accounts.change_account"  # there is nothing to do yet
    shelves: ClassVar[list[Callable[[Any], Shelf]]] = []
    list_display = ("name", "kind", "members_counted", "id", "created_at")
    list_filter = ("kind",)
    search_fields = ("name", "id", "members__username", "members__email")
    search_help_text = "Name, id, or a member's user name or e-mail"
    show_full_result_count = False
    fields = ("name", "kind", "id", "created_at")
    readonly_fields = fields
    inlines: ClassVar = [MembershipInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        """Count the members."""
        found: QuerySet[Account] = super().get_queryset(request).annotate(counted=Count("memberships", distinct=True))
        return found

    @admin.display(description="members", ordering="counted")
    def members_counted(self, account: Any) -> int:
        """Show how many members there are."""
        return int(account.counted)


@admin.register(Membership)
class MembershipAdmin(ReadOnlyAdmin, ModelAdmin):
    """Who may do what where."""

    list_display = ("user", "account", "role", "created_at")
    list_filter = ("role",)
    list_select_related = ("user", "account")
    search_fields = ("user__username", "user__email", "account__name")
