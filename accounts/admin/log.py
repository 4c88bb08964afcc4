"""What was done in the admin: by whom, to what, when and why. Nobody changes it here."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.admin.models import LogEntry

from accounts.admin.base import ModelAdmin, ReadOnlyAdmin


@admin.register(LogEntry)
class LogEntryAdmin(ReadOnlyAdmin, ModelAdmin):
    """The admin's log."""

    list_display = ("action_time", "user", "action_flag", "content_type", "object_repr", "what")
    list_filter = ("action_flag", "content_type", ("user", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("user", "content_type")
    search_fields = ("user__username", "object_repr", "change_message")
    search_help_text = "Who did it, to what, or a word of the reason"
    date_hierarchy = "action_time"
    show_full_result_count = False
    fields = ("action_time", "user", "action_flag", "content_type", "object_id", "object_repr", "what")
    readonly_fields = fields

    @admin.display(description="what and why")
    def what(self, entry: LogEntry) -> str:
        """Say it as the page of the object does."""
        return entry.get_change_message()
