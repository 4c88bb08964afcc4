"""What operators see of people: no password, no token, and every change in the admin's log."""

from __future__ import annotations

from typing import ClassVar

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts import services, staff_door
from accounts.models import Account, ApiToken, Membership, User

admin.site.site_header = "IoT Portal operators"
admin.site.site_title = "IoT Portal"
admin.site.index_title = "Operations"
admin.site.login = staff_door.sign_in  # type: ignore[method-assign]  # one sign-in, with its limits, for all
admin.site.has_permission = staff_door.may_enter  # type: ignore[method-assign]


def change_own_password(request: HttpRequest, extra_context: object = None) -> HttpResponse:
    """Send operators where everybody changes the password: that also ends the tokens made with the old one."""
    return redirect("account_reset_password")


admin.site.password_change = change_own_password  # type: ignore[assignment, method-assign]

# allauth's own pages for these would show secrets, and let an operator change what only its owner may.
for model in (Authenticator, SocialAccount, SocialApp, SocialToken, UserSession):
    admin.site.unregister(model)

_STANDING = ("is_staff", "is_superuser", "groups", "user_permissions")  # only a superuser may lend these


class ReadOnlyAdmin:
    """An admin page that shows and changes nothing."""

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Rows come from the portal itself."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Look only."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Rows go through the portal's services."""
        return False


class MembershipInline(ReadOnlyAdmin, admin.TabularInline):  # type: ignore[type-arg]
    """Who is in an account, or which accounts a user is in."""

    model = Membership
    extra = 0
    can_delete = False
    fields = ("user", "account", "role", "created_at")
    readonly_fields = fields


@admin.register(User)
class UserAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """People: search, see what they are in, shut out and let in again."""

    list_display = ("username", "email", "first_name", "last_name", "is_active", "is_staff", "date_joined", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("username", "email", "first_name", "last_name", "uuid")
    ordering = ("-date_joined",)
    filter_horizontal = ("groups", "user_permissions")
    inlines: ClassVar = [MembershipInline]
    fieldsets: ClassVar = [
        (None, {"fields": ("username", "email", "first_name", "last_name", "uuid", "is_active")}),
        ("Works here", {"fields": _STANDING}),
        ("Times and settings", {"fields": ("date_joined", "last_login", "time_zone", "theme")}),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Let nobody change what identifies a user, nor anybody but a superuser hand out rights."""
        fixed = ("username", "email", "uuid", "date_joined", "last_login", "time_zone", "theme")
        return fixed if request.user.is_superuser else (*fixed, *_STANDING)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """People sign up themselves."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Deactivate instead: a deletion must take the devices' certificates along."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Keep operators from changing a superuser."""
        if obj is not None and obj.is_superuser and not request.user.is_superuser:
            return False
        return super().has_change_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm[User], change: bool) -> None:
        """Save; a deactivation ends sessions and tokens as well."""
        super().save_model(request, obj, form, change)
        if "is_active" in form.changed_data and not obj.is_active:
            services.deactivate_user(user=obj)


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin, admin.ModelAdmin):  # type: ignore[type-arg]
    """Who owns things."""

    list_display = ("name", "kind", "id", "created_at")
    list_filter = ("kind",)
    search_fields = ("name", "id", "members__username", "members__email")
    inlines: ClassVar = [MembershipInline]


@admin.register(Membership)
class MembershipAdmin(ReadOnlyAdmin, admin.ModelAdmin):  # type: ignore[type-arg]
    """Who may do what where."""

    list_display = ("user", "account", "role", "created_at")
    list_filter = ("role",)
    list_select_related = ("user", "account")
    search_fields = ("user__username", "user__email", "account__name")


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin, admin.ModelAdmin):  # type: ignore[type-arg]
    """Tokens by their first letters; deleting one revokes it."""

    list_display = ("name", "kind", "prefix", "user", "scopes", "created_at", "expires_at", "last_used_at")
    list_filter = ("kind",)
    list_select_related = ("user",)
    search_fields = ("name", "prefix", "user__username", "user__email")
    fields = ("name", "kind", "prefix", "user", "scopes", "created_at", "expires_at", "last_used_at")

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Ask for the right that Django's permissions name."""
        return admin.ModelAdmin.has_delete_permission(self, request, obj)

    def delete_model(self, request: HttpRequest, obj: ApiToken) -> None:
        """Revoke."""
        services.revoke_token(token=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        """Revoke them all."""
        for token in queryset:
            services.revoke_token(token=token)
