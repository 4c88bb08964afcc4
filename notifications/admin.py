"""What operators see of notifications: what was sent and what came of it, and the addresses that are left alone."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from accounts.admin import ReadOnlyAdmin
from accounts.admin.base import ModelAdmin, NarrowLookups, TabularInline
from billing.admin import NotRetroactively
from notifications.models import Attempt, Notification, Recipient, Rule, SenderHealth, Suppression, Tariff
from notifications.template_admin import TemplateAdmin

__all__ = ["TemplateAdmin"]  # registered there


class AttemptInline(ReadOnlyAdmin, TabularInline):
    """The tries of a notification."""

    model = Attempt
    extra = 0
    can_delete = False
    fields = ("at", "sender", "outcome", "took_ms", "vendor_id", "detail")
    readonly_fields = fields


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin, ModelAdmin):
    """Deliveries; the text of a message is its owner's."""

    list_display = ("created_at", "account", "device", "cause", "channel", "status", "reason", "tries", "credits")
    list_filter = ("status", "channel", "cause", "reason", "attempts__sender")
    list_select_related = ("account", "device")
    search_fields = ("=id", "=address", "account__name")
    search_help_text = "Id or address (whole), or the account's name"
    date_hierarchy = "created_at"
    show_full_result_count = False
    fields = (
        "id", "account", "device", "user", "cause", "channel", "address", "status", "reason", "detail", "asked_at", "created_at",
        "sent_at", "ended_at", "due_at", "tries", "credits", "paid",
    )  # fmt: skip
    readonly_fields = fields
    inlines: ClassVar = [AttemptInline]


@admin.register(Recipient)
class RecipientAdmin(ReadOnlyAdmin, ModelAdmin):
    """Addresses that agreed, or were asked."""

    list_display = ("address", "channel", "account", "asked_at", "confirmed_at")
    list_filter = ("channel",)
    list_select_related = ("account",)
    search_fields = ("=address", "account__name")


class SuppressionForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's takes no parameter at run time
    """An address that nobody is to write to."""

    def clean(self) -> dict[str, Any]:
        """Refuse one that is in the list already: it came back, say."""
        data: dict[str, Any] = super().clean() or {}
        if address := data.get("address"):
            data["address"] = address.strip().lower()
            if Suppression.objects.filter(account=None, channel=data.get("channel"), address=data["address"]).exists():
                raise ValidationError({"address": "Nothing is sent to that address already."})
        return data


@admin.register(Suppression)
class SuppressionAdmin(NarrowLookups, ModelAdmin):
    """Addresses that are not written to; an operator's own rows hold for the whole portal."""

    form = SuppressionForm

    list_display = ("address", "channel", "reason", "account", "created_at")
    list_filter = ("reason", "channel")
    list_select_related = ("account",)
    search_fields = ("=address",)
    fields = ("channel", "address", "detail")

    def has_change_permission(self, request: HttpRequest, obj: Suppression | None = None) -> bool:
        """Add or delete."""
        return False

    def save_model(self, request: HttpRequest, obj: Suppression, form: forms.ModelForm[Suppression], change: bool) -> None:
        """Have it hold for everybody."""
        obj.reason = Suppression.Reason.OPERATOR
        super().save_model(request, obj, form, change)


@admin.register(Tariff)
class TariffAdmin(NotRetroactively):
    """What senders ask of the operator: of those that are well, the cheapest for a country is asked first."""

    list_display = ("sender", "country", "amount", "starts_at")
    list_filter = ("sender", "country")
    fields = ("sender", "country", "amount", "starts_at")


@admin.register(SenderHealth)
class SenderHealthAdmin(ReadOnlyAdmin, ModelAdmin):
    """Senders that were away, and since when they are well again; one that never was is not listed."""

    list_display = ("sender", "failures", "avoided_until", "failed_at", "recovered_at", "detail")


@admin.register(Rule)
class RuleAdmin(ReadOnlyAdmin, ModelAdmin):
    """Rules; their words are their owner's."""

    list_display = ("device", "account", "api", "comparison", "every_minutes", "enabled", "told_at")
    list_filter = ("enabled", "comparison")
    list_select_related = ("device", "account")
    search_fields = ("account__name", "device__name")
    fields = ("id", "account", "device", "api", "comparison", "every_minutes", "urgent", "enabled", "created_at", "told_at")
    readonly_fields = fields
