"""What operators see of devices: whose they are, their certificates, their pins; never a key. Writes go through the services."""

from __future__ import annotations

import json
from typing import Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms import ChoiceField, ModelForm
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from accounts.admin import Acting, ReadOnlyAdmin, Shelf, asks_why
from accounts.admin.base import ModelAdmin, NarrowLookups, TabularInline, WhyForm
from accounts.admin.organisations import AccountAdmin
from accounts.admin.people import UserAdmin
from accounts.models import Account, User
from devices import services
from devices.access import parse_device_id
from devices.models import Certificate, Device, OwnProfile, Pin
from devices.names import InvalidName, clean_name
from devices.selectors import profile_choices


class LiveFilter(admin.SimpleListFilter):
    """Registered or deleted; the registered ones unless asked."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices beside "All"."""
        return [("live", "Registered"), ("deleted", "Deleted")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Device]) -> QuerySet[Device]:
        """Narrow the list."""
        return queryset.filter(deleted_at__isnull=self.value() == "live") if self.value() else queryset


class CertificateInline(ReadOnlyAdmin, TabularInline):
    """The certificates of a device."""

    model = Certificate
    extra = 0
    can_delete = False
    fields = ("serial", "fingerprint", "key_algorithm", "status", "not_before", "not_after", "revoked_at", "key_kept")
    readonly_fields = fields

    @admin.display(boolean=True, description="key kept")
    def key_kept(self, certificate: Certificate) -> bool:
        """Say whether the portal has the sealed key."""
        return certificate.sealed_key is not None


class PinInline(TabularInline):
    """The pins somebody used or named."""

    model = Pin
    extra = 0
    fields = ("number", "name")


class DeviceForm(ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """A device's name and profile."""

    profile = ChoiceField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields.get("profile")
        if isinstance(field, ChoiceField):
            field.choices = profile_choices(self.instance.account)

    def clean_name(self) -> str:
        """Take the names that the owner could take; the constraint cannot be asked, as the account is not in the form."""
        try:
            name = clean_name(self.cleaned_data["name"])
        except InvalidName as error:
            raise ValidationError(str(error)) from error
        others = Device.objects.live().filter(account_id=self.instance.account_id).exclude(pk=self.instance.pk)
        if others.filter(name__iexact=name).exists():
            raise ValidationError("The owner has a device of that name already.")
        return name


@admin.register(Device)
class DeviceAdmin(NarrowLookups, ModelAdmin):
    """Devices: find by name, id or owner; rename, re-profile, delete."""

    lookups = ("account",)
    list_display = ("name", "hex", "account", "profile", "created_at", "deleted_at")
    list_filter = (LiveFilter, "profile", "account__kind")
    list_select_related = ("account",)
    search_fields = ("name", "account__name")
    search_help_text = "Name, device id or owner"
    ordering = ("-created_at",)
    show_full_result_count = False  # counting a large table twice a page helps nobody
    fields = ("hex", "account", "name", "profile", "created_at", "deleted_at")
    readonly_fields = ("hex", "account", "created_at", "deleted_at")
    form = DeviceForm
    inlines: ClassVar = [CertificateInline, PinInline]

    @admin.display(description="device id", ordering="id")
    def hex(self, device: Device) -> str:
        """Show the id as devices and topics spell it."""
        return device.hex

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Device], search_term: str
    ) -> tuple[QuerySet[Device], bool]:
        """Look a whole device id up by the key; anything else by name and owner."""
        device_id = parse_device_id(search_term.strip())
        if device_id is not None:
            return queryset.filter(pk=device_id), False
        return super().get_search_results(request, queryset, search_term)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A device is registered by its owner, who is shown its key."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Device | None = None) -> bool:
        """What was deleted stays as it was."""
        return super().has_change_permission(request, obj) and (obj is None or obj.deleted_at is None)

    def has_delete_permission(self, request: HttpRequest, obj: Device | None = None) -> bool:
        """Once is enough."""
        return super().has_delete_permission(request, obj) and (obj is None or obj.deleted_at is None)

    def save_model(self, request: HttpRequest, obj: Device, form: ModelForm[Device], change: bool) -> None:
        """Rename and re-profile as the owner's own pages do."""
        try:
            if "name" in form.changed_data:
                services.rename_device(device=obj, name=obj.name)
            if "profile" in form.changed_data:
                services.change_profile(device=obj, profile=obj.profile)
        except (services.NameTaken, services.UnknownProfile, services.DeviceGone) as error:  # since the form was checked
            messages.error(request, f"Not changed: {error}")

    def delete_model(self, request: HttpRequest, obj: Device) -> None:
        """Revoke its certificates and cut its connection; the row and the history stay."""
        if not services.delete_device(device=obj):
            messages.error(request, f"Not deleted: {services.DeviceGone()}")

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Device]) -> None:
        """Delete each as one alone would be."""
        for device in queryset.live():  # type: ignore[attr-defined]  # it is a DeviceQuerySet
            services.delete_device(device=device)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Tell what really happens: no row goes, so there is nothing that follows and nothing in the way."""
        lines = [f"{device.name} ({device.hex}): certificates revoked, connection cut, history kept" for device in objs]
        return lines, {"devices": len(lines)}, set(), []


_SHOWN = 20


def devices_of_account(account: Account) -> Shelf:
    """Return the devices of an account."""
    rows = [(one.name, one.hex, one.profile, one.created_at) for one in account.devices.live()[:_SHOWN]]
    more = f"{reverse('admin:devices_device_changelist')}?account__id__exact={account.pk}"
    return Shelf("Devices", ("Name", "Device id", "Kind", "Registered"), rows, more)


def devices_of_user(user: User) -> Shelf:
    """Return the devices that a user sees."""
    devices = Device.objects.for_user(user).select_related("account")[:_SHOWN]
    rows = [(one.name, one.hex, one.profile, one.account.name, one.created_at) for one in devices]
    more = f"{reverse('admin:devices_device_changelist')}?{urlencode({'q': user.username})}"
    return Shelf("Devices that they see", ("Name", "Device id", "Kind", "Owner", "Registered"), rows, more)


AccountAdmin.shelves.append(devices_of_account)
UserAdmin.shelves.append(devices_of_user)


class RevokeForm(WhyForm):
    """What a revocation list says of the reason, and the operator's own words."""

    reason = forms.ChoiceField(choices=Certificate.Reason.choices, initial=Certificate.Reason.KEY_COMPROMISE)


@admin.register(Certificate)
class CertificateAdmin(ReadOnlyAdmin, Acting):
    """Certificates by device, serial number or fingerprint; no key."""

    list_per_page = 50
    act_permission = "devices.change_certificate"
    actions = ("revoke",)

    list_display = ("serial", "device", "account", "key_algorithm", "status", "not_after", "revoked_at")
    list_filter = ("status", "key_algorithm")
    list_select_related = ("device__account",)
    search_fields = ("=serial", "=fingerprint", "device__name")
    search_help_text = "Serial number or fingerprint (whole, hex), or the device's name"
    date_hierarchy = "not_after"
    show_full_result_count = False
    fields = (
        "device", "serial", "fingerprint", "key_algorithm", "status", "not_before", "not_after", "created_at", "revoked_at",
        "key_kept", "pem",
    )  # fmt: skip
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Certificate]:
        """Leave the long columns out of the list; the page of one certificate reads them by itself."""
        return super().get_queryset(request).defer("pem", "sealed_key")

    @asks_why(
        "Revoke",
        says="It opens nothing any more, for ever, and a connection made with it is cut. The device needs a new one.",
        form=RevokeForm,
    )
    def revoke(self, request: HttpRequest, certificate: Certificate, reason: str) -> None:
        """Revoke a certificate as its owner could."""
        services.revoke_certificate(certificate=certificate, reason=reason, by=request.user)  # type: ignore[arg-type]  # users alone get here

    @admin.display(ordering="device__account__name")
    def account(self, certificate: Certificate) -> str:
        """Show whose device it is."""
        return certificate.device.account.name

    @admin.display(boolean=True, description="key kept")
    def key_kept(self, certificate: Certificate) -> bool:
        """Say whether the portal has the sealed key."""
        return certificate.sealed_key is not None


@admin.register(OwnProfile)
class OwnProfileAdmin(ReadOnlyAdmin, ModelAdmin):
    """Kinds of devices that accounts have described themselves; they are theirs to change."""

    list_display = ("name", "slug", "account", "version", "changed_at")
    list_select_related = ("account",)
    search_fields = ("name", "=slug", "account__name")
    search_help_text = "Name, slug or owner"
    show_full_result_count = False
    fields = ("hex", "account", "slug", "name", "version", "created_at", "changed_at", "document")
    readonly_fields = fields

    @admin.display(description="profile id")
    def hex(self, profile: OwnProfile) -> str:
        """Show the id as addresses spell it."""
        return profile.hex

    @admin.display
    def document(self, profile: OwnProfile) -> str:
        """Show the newest version."""
        return format_html("<pre>{}</pre>", json.dumps(services.document_of(profile), indent=2, ensure_ascii=False))
