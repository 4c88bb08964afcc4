"""People: find them, see what they have, help them in, shut them out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from allauth.account.models import EmailAddress
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth.models import Permission
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from accounts import services
from accounts.admin.base import Acting, ReadOnlyAdmin, Refused, Shelf, TabularInline, asks_why, within_reach
from accounts.models import ApiToken, Membership, User
from accounts.services import factors, support
from accounts.services.sessions import live_sessions

_STANDING = ("is_staff", "is_superuser", "groups", "user_permissions")  # only a superuser may lend these
_SHOWN = 20


class FactorFilter(admin.SimpleListFilter):
    """Who signs in with a second factor."""

    title = "second factor"
    parameter_name = "factor"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices beside "All"."""
        return [("yes", "Has one"), ("no", "Has none")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        """Narrow the list."""
        if self.value() not in {"yes", "no"}:
            return queryset
        having = support.with_factor(User.objects.all()).values("pk")
        return queryset.filter(pk__in=having) if self.value() == "yes" else queryset.exclude(pk__in=having)


class LockedFilter(admin.SimpleListFilter):
    """Whose sign-ins are refused at the moment, because there were too many wrong ones."""

    title = "lock-out"
    parameter_name = "locked"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choice beside "All"."""
        return [("yes", "Locked now")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        """Narrow the list; the counts are in the cache, so all active users are looked up there."""
        if self.value() != "yes":
            return queryset
        return queryset.filter(pk__in=support.locked(User.objects.filter(is_active=True)))


class MembershipInline(ReadOnlyAdmin, TabularInline):
    """Who is in an account, or which accounts a user is in."""

    model = Membership
    extra = 0
    can_delete = False
    fields = ("user", "account", "role", "created_at")
    readonly_fields = fields


def sessions_of(user: User) -> Shelf:
    """Return the browsers in which the user is signed in; never the key of a session."""
    rows = [(one.ip, one.user_agent, one.created_at, one.last_seen_at) for one in live_sessions(user)[:_SHOWN]]
    more = f"{reverse('admin:usersessions_usersession_changelist')}?user__id__exact={user.pk}"
    return Shelf("Browsers signed in", ("Address", "Browser", "Since", "Last used"), rows, more)


def tokens_of(user: User) -> Shelf:
    """Return the user's tokens by their first letters."""
    tokens = ApiToken.objects.filter(user=user)[:_SHOWN]
    rows = [(one.name, one.kind, f"{one.prefix}…", one.scope_words(), one.expires_at, one.last_used_at) for one in tokens]
    more = f"{reverse('admin:accounts_apitoken_changelist')}?user__id__exact={user.pk}"
    return Shelf("Tokens", ("Name", "Kind", "Begins with", "May", "Expires", "Last used"), rows, more)


def addresses_of(user: User) -> Shelf:
    """Return the user's e-mail addresses."""
    rows = [(one.email, one.verified, one.primary) for one in EmailAddress.objects.filter(user=user)[:_SHOWN]]
    return Shelf("E-mail addresses", ("Address", "Confirmed", "Used"), rows)


@admin.register(User)
class UserAdmin(Acting):
    """People: search, see what they are in, shut out and let in again."""

    act_permission = "accounts.change_user"
    actions = (
        "deactivate", "reactivate", "end_sessions", "resend_code", "send_recovery", "remove_factors", "unlock",
    )  # fmt: skip
    shelves: ClassVar[list[Callable[[Any], Shelf]]] = [addresses_of, sessions_of, tokens_of]
    list_display = ("username", "email", "first_name", "last_name", "is_active", "is_staff", "date_joined", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser", FactorFilter, LockedFilter)
    search_fields = ("username", "email", "first_name", "last_name", "uuid")
    search_help_text = "User name, e-mail, name or id"
    ordering = ("-date_joined",)
    show_full_result_count = False  # counting a large table twice a page helps nobody
    filter_horizontal = ("groups", "user_permissions")
    inlines: ClassVar = [MembershipInline]
    fieldsets: ClassVar = [
        (None, {"fields": ("username", "email", "first_name", "last_name", "phone", "uuid")}),
        ("Signing in", {"fields": ("is_active", "locked", "factor", "last_login")}),
        ("Works here", {"fields": _STANDING}),
        ("Times and settings", {"fields": ("date_joined", "delete_at", "time_zone", "language", "theme")}),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        """Let nobody change what is the user's own, nor anybody but a superuser hand out rights."""
        names = [str(name) for name in flatten_fieldsets(self.fieldsets)]
        return [name for name in names if name not in _STANDING or not request.user.is_superuser]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Fetch the names of all rights at once."""
        if db_field.name == "user_permissions":
            kwargs["queryset"] = Permission.objects.select_related("content_type")
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """People sign up themselves."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Deactivate instead: a deletion must take the devices' certificates along."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Let superusers alone change anything in the form: there is nothing but rights to change."""
        return bool(request.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Ask for the right that Django's permissions name."""
        return request.user.has_perms(["accounts.view_user"])

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Write the rights that were changed, and no column that somebody else changed while the form was open."""
        obj.save(update_fields=[name for name in ("is_staff", "is_superuser") if name in form.changed_data])

    @admin.display(boolean=True)
    def locked(self, user: User) -> bool:
        """Say whether sign-ins are refused now."""
        return support.is_locked(user)

    @admin.display(description="second factor")
    def factor(self, user: User) -> str:
        """Say what there is; nothing of what it is made of."""
        ways = factors.ways(user)
        words = ["app"] * ways.app + [f"{ways.passkeys} passkeys"] * bool(ways.passkeys)
        words += [f"code by {ways.code}"] * bool(ways.code) + [f"{ways.recovery_codes} recovery codes"] * bool(
            ways.recovery_codes
        )
        return ", ".join(words) or "none"

    @asks_why(
        "Deactivate",
        says="They are signed out everywhere at once, their tokens end for good, and they can send no more commands. "
        "What they own stays as it is: their devices stay connected.",
    )
    def deactivate(self, request: HttpRequest, user: User) -> None:
        """Shut out."""
        within_reach(request, user)
        services.deactivate_user(user=user)

    @asks_why("Reactivate", says="They can sign in again, with the password as it was. Tokens must be made anew.")
    def reactivate(self, request: HttpRequest, user: User) -> None:
        """Let in again."""
        within_reach(request, user)
        _helped(support.reactivate_user, user)

    @asks_why("End all sessions", says="They are signed out of every browser and program. Personal tokens go on working.")
    def end_sessions(self, request: HttpRequest, user: User) -> None:
        """Sign out everywhere."""
        within_reach(request, user)
        services.end_others(user=user, keep=None)

    @asks_why(
        "Send a new confirmation code",
        says="The code goes to their own address. Codes that were sent before stop working.",
        only_mail=True,
    )
    def resend_code(self, request: HttpRequest, user: User) -> None:
        """Send the code that confirms the address."""
        _helped(support.resend_confirmation, user)

    @asks_why(
        "Send recovery mail",
        says="The mail names their user name and leads to the page on which they set a new password.",
        only_mail=True,
    )
    def send_recovery(self, request: HttpRequest, user: User) -> None:
        """Send the way to a new password."""
        _helped(support.send_recovery, user)

    @asks_why(
        "Remove second factors",
        says="Their password alone is enough from now on, until they set a second factor up again. A mail tells them. Be sure "
        "that it is they who ask.",
    )
    def remove_factors(self, request: HttpRequest, user: User) -> None:
        """Remove app, passkeys, recovery codes and codes by message."""
        within_reach(request, user)
        _helped(support.remove_factors, user)

    @asks_why("Unlock", says="Wrong passwords and codes are counted anew, so that they can try again now.")
    def unlock(self, request: HttpRequest, user: User) -> None:
        """Lift a lock-out."""
        within_reach(request, user)
        support.unlock(user=user)


def _helped(help_out: Callable[..., None], user: User) -> None:
    """Call a service of support.

    Raises:
        Refused: it did not help.
    """
    try:
        help_out(user=user)
    except (support.NothingToDo, support.TooManyMails) as error:
        raise Refused(str(error)) from error
