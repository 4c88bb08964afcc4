"""What operators see of connections: who is connected, from where, since when; and a way to cut one."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html

from accounts.admin import Acting, ReadOnlyAdmin, asks_why
from devices.access import parse_device_id
from devices.models import Certificate
from messaging.models import Presence
from messaging.services.connections import disconnect_device


@admin.register(Presence)
class ConnectionAdmin(ReadOnlyAdmin, Acting):
    """Live connections, the newest first."""

    act_permission = "messaging.change_presence"  # nothing else is to be changed here

    list_display = ("device", "hex", "account", "address", "connected_at", "protocol", "tls", "certificate")
    list_per_page = 50  # of eight columns
    list_select_related = ("device__account",)
    search_fields = ("device__name", "device__account__name", "=address")
    search_help_text = "Device's name or id, owner, or address"
    ordering = ("-connected_at",)
    show_full_result_count = False
    fields = (
        "device", "account", "connected", "connected_at", "address", "protocol", "tls", "disconnected_at", "disconnect_reason",
        "refused_at", "refused_reason", "last_message_at",
    )  # fmt: skip
    readonly_fields = fields
    actions = ("disconnect",)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Call the list what it is."""
        return super().changelist_view(request, {"title": "Live connections", **(extra_context or {})})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Presence]:
        """Show in the list who is connected; the page of one device's presence is there without a connection too."""
        rows = super().get_queryset(request)
        match = request.resolver_match
        if match is None or match.url_name != "messaging_presence_changelist":
            return rows
        active = Certificate.objects.filter(status=Certificate.Status.ACTIVE).only("serial", "device_id")
        return rows.filter(connected=True).prefetch_related(Prefetch("device__certificates", active, to_attr="active"))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Presence], search_term: str
    ) -> tuple[QuerySet[Presence], bool]:
        """Look a whole device id up by the key; anything else by name, owner and address."""
        device_id = parse_device_id(search_term.strip())
        if device_id is not None:
            return queryset.filter(pk=device_id), False
        return super().get_search_results(request, queryset, search_term)

    @admin.display(description="device id")
    def hex(self, presence: Presence) -> str:
        """Show the id as devices and topics spell it."""
        return presence.device.hex

    @admin.display(description="owner", ordering="device__account__name")
    def account(self, presence: Presence) -> str:
        """Show whose device it is."""
        return presence.device.account.name

    @admin.display(description="active certificate")
    def certificate(self, presence: Presence) -> str:
        """Link to the certificate that the device is to use; in a renewal's overlap it may have come with the earlier one."""
        for found in getattr(presence.device, "active", []):
            address = reverse("admin:devices_certificate_change", args=[found.pk])
            return format_html('<a href="{}">{}…</a>', address, found.serial[:16])
        return "none"

    @asks_why("Disconnect", says="The connection is cut at once. The device may come back at once, too: revoke to keep it out.")
    def disconnect(self, request: HttpRequest, presence: Presence) -> None:
        """Cut a connection."""
        disconnect_device(device=presence.device, by=request.user)  # type: ignore[arg-type]  # the admin is for users alone
