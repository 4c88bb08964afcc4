"""What operators see of credits: the ledger with its sums, which only new entries change, and what things cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminSplitDateTime
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import BigIntegerField, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from accounts.admin import Acting, ReadOnlyAdmin, Refused, Shelf, asks_why
from accounts.admin.base import ModelAdmin, NarrowLookups, TabularInline, WhyForm
from accounts.admin.organisations import AccountAdmin
from accounts.models import Account
from billing import payment_admin, promo_admin, services
from billing.models import Entry, LedgerAccount, Package, Plan, Posting, Price

_SHOWN = 20
_MOST = 1_000_000  # of one gift: more is a slip of the finger


class GiftForm(WhyForm):
    """How many credits, and why."""

    credits = forms.IntegerField(min_value=1, max_value=_MOST)


class CorrectionForm(WhyForm):
    """How many credits more or fewer, and why."""

    credits = forms.IntegerField(min_value=-_MOST, max_value=_MOST, help_text="Below zero takes credits away")

    def clean_credits(self) -> int:
        """Refuse to correct nothing."""
        credits: int = self.cleaned_data["credits"]
        if credits == 0:
            raise ValidationError("Nothing is nothing to correct.")
        return credits


def _why(request: HttpRequest) -> str:
    return request.POST["why"].strip()


def _key(what: str, account: Account, credits: int, why: str) -> str:
    """Return the key of a movement: the same one for the same reason on one day is a second click."""
    reason = sha256(why.encode()).hexdigest()[:16]
    key = f"{what}:{account.pk.hex}:{credits}:{timezone.now():%Y%m%d}:{reason}"
    if Entry.objects.filter(idempotency_key=key).exists():
        raise Refused("That was done today, for the same reason. Word the reason otherwise to do it again.")
    return key


@contextmanager
def _in_words() -> Iterator[None]:
    """Say in the admin what the books do not allow."""
    try:
        yield
    except services.BillingError as error:
        raise Refused(str(error)) from error


@asks_why(
    "Give credits",
    says="They are added at once and stand in the ledger with the reason, which the owner may read: no names, please.",
    form=GiftForm,
)
def give_credits(model_admin: Any, request: HttpRequest, account: Account, credits: int) -> None:
    """Give an owner credits."""
    why = _why(request)
    with _in_words():
        services.give_credits(account=account, credits=credits, reason=why, key=_key("gift", account, credits, why))


@asks_why(
    "Correct credits",
    says="Credits are added or taken away by an entry of its own, with the reason, which the owner may read: no names, please.",
    form=CorrectionForm,
)
def correct_credits(model_admin: Any, request: HttpRequest, account: Account, credits: int) -> None:
    """Put a balance right."""
    why = _why(request)
    with _in_words():
        services.correct_balance(account=account, credits=credits, reason=why, key=_key("correction", account, credits, why))


def credits_of_account(account: Account) -> Shelf:
    """Return the latest movements of an owner's credits."""
    moved = Posting.objects.filter(account__owner=account).select_related("entry").order_by("-id")[:_SHOWN]
    rows = [(one.entry.at, f"{one.amount:+,}", one.entry.get_cause_display(), one.entry.reason) for one in moved]
    more = f"{reverse('admin:billing_entry_changelist')}?postings__account__owner={account.pk}"
    return Shelf(f"Credits: {services.balance(account):,}", ("When", "Credits", "Cause", "Reason"), rows, more)


# Money is a superuser's, or of whoever was given this permission.
AccountAdmin.act_permission = "billing.move_credits"
AccountAdmin.actions = (give_credits, correct_credits)  # type: ignore[misc]  # the class's own, which has none yet
AccountAdmin.shelves += [credits_of_account, payment_admin.orders_of_account, promo_admin.redemptions_of_account]


@admin.register(LedgerAccount)
class LedgerAccountAdmin(ReadOnlyAdmin, Acting):
    """The accounts of the books, with what they hold and what was posted to them."""

    act_permission = "billing.move_credits"
    lookups = ("owner",)
    list_display = ("name", "currency", "balance_shown", "posted", "agrees", "opened_at")
    list_filter = ("kind", "currency")
    list_select_related = ("owner",)
    search_fields = ("owner__name", "=owner__id")
    search_help_text = "Owner's name or id"
    show_full_result_count = False
    fields = ("name", "kind", "currency", "balance_shown", "posted", "agrees", "opened_at")
    readonly_fields = fields

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Say what the books add up to."""
        sums = LedgerAccount.objects.order_by("currency").values_list("currency").annotate(Sum("balance"))
        said = ", ".join(f"{currency} {amount:,}" for currency, amount in sums) or "nothing yet"
        return super().changelist_view(request, {"subtitle": f"All accounts together: {said}", **(extra_context or {})})

    def get_queryset(self, request: HttpRequest) -> QuerySet[LedgerAccount]:
        """Add up what was posted."""
        posted = Posting.objects.filter(account=OuterRef("pk")).order_by().values("account").annotate(sum=Sum("amount"))
        sums = Coalesce(Subquery(posted.values("sum"), output_field=BigIntegerField()), 0)
        found: QuerySet[LedgerAccount] = super().get_queryset(request).annotate(posted_sum=sums)
        return found

    @admin.display(description="account", ordering="owner__name")
    def name(self, account: LedgerAccount) -> str:
        """Show whose it is."""
        return f"{account.owner}: {account.kind}" if account.owner else f"Operator: {account.kind}"

    @admin.display(description="balance", ordering="balance")
    def balance_shown(self, account: LedgerAccount) -> str:
        """Show the balance that is kept."""
        return f"{account.balance:,}"

    @admin.display(description="sum of postings", ordering="posted_sum")
    def posted(self, account: Any) -> str:
        """Show what the postings add up to."""
        return f"{account.posted_sum:,}"

    @admin.display(description="agree", boolean=True)
    def agrees(self, account: Any) -> bool:
        """Say whether both are the same."""
        return bool(account.balance == account.posted_sum)


class PostingInline(ReadOnlyAdmin, TabularInline):
    """What an entry moved."""

    model = Posting
    extra = 0
    can_delete = False
    fields = ("account_name", "amount", "currency")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Posting]:
        """Bring the owners along."""
        found: QuerySet[Posting] = super().get_queryset(request).select_related("account__owner")
        return found

    @admin.display(description="account")
    def account_name(self, posting: Posting) -> str:
        """Show whose account it is."""
        return _named(posting)

    @admin.display
    def currency(self, posting: Posting) -> str:
        """Show the unit."""
        return posting.account.currency


def _named(posting: Posting) -> str:
    owner = posting.account.owner
    return f"{owner or 'Operator'}: {posting.account.kind}"


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin, Acting):
    """What moved, when and why. What was wrong is put right by another entry."""

    list_per_page = 50
    act_permission = "billing.move_credits"
    actions = ("reverse",)
    lookups = ("postings__account__owner",)
    list_display = ("at", "cause", "moved", "reason", "idempotency_key")
    list_filter = ("cause",)
    search_fields = ("=idempotency_key", "reason", "postings__account__owner__name")
    search_help_text = "Idempotency key, a word of the reason, or the owner's name"
    date_hierarchy = "at"
    show_full_result_count = False
    fields = ("id", "at", "cause", "reason", "idempotency_key", "reverses", "reversed_by_shown")
    readonly_fields = fields
    inlines: ClassVar = [PostingInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Entry]:
        """Bring what was moved along."""
        found: QuerySet[Entry] = super().get_queryset(request)
        return found.select_related("reverses", "reversed_by").prefetch_related("postings__account__owner")

    @admin.display
    def moved(self, entry: Entry) -> str:
        """Show all postings in a line."""
        return " · ".join(f"{_named(one)} {one.amount:+,} {one.account.currency}" for one in entry.postings.all())

    @admin.display(description="reversed by")
    def reversed_by_shown(self, entry: Entry) -> str:
        """Show what undid it."""
        return str(getattr(entry, "reversed_by", "-"))

    @asks_why(
        "Reverse",
        says="An entry of its own moves everything back. It stands in the ledger with the reason, which the owner may read: "
        "no names, please.",
    )
    def reverse(self, request: HttpRequest, entry: Entry) -> None:
        """Undo an entry by another."""
        with _in_words():
            services.reverse_entry(entry=entry, reason=_why(request))


class StartForm(ModelForm):  # type: ignore[type-arg]  # generic to the type checker alone
    """Something that holds from a moment on, which is not in the past."""

    starts_at = forms.SplitDateTimeField(
        label="Starts",
        required=False,
        widget=AdminSplitDateTime,
        help_text="UTC. Empty: now. What has begun cannot be changed any more.",
    )

    def clean_starts_at(self) -> datetime:
        """Begin now or later, never before."""
        soon = timezone.now() + timedelta(seconds=5)  # not before the database has it, whose clock may be another
        asked: datetime | None = self.cleaned_data["starts_at"]
        if asked is not None and asked < timezone.now():
            raise ValidationError("That is in the past. Leave it empty to begin now.")
        return max(asked or soon, soon)


class NotRetroactively(NarrowLookups, ModelAdmin):
    """Rows that can be changed and deleted until they begin."""

    form = StartForm
    date_hierarchy = "starts_at"

    def has_change_permission(self, request: HttpRequest, obj: Price | Plan | None = None) -> bool:
        """What has begun stays."""
        return super().has_change_permission(request, obj) and (obj is None or obj.starts_at > timezone.now())

    def has_delete_permission(self, request: HttpRequest, obj: Price | Plan | None = None) -> bool:
        """What has begun stays."""
        return super().has_delete_permission(request, obj) and (obj is None or obj.starts_at > timezone.now())

    def save_model(self, request: HttpRequest, obj: Price | Plan, form: Any, change: bool) -> None:
        """Save it unless it began while the form was open."""
        try:
            with transaction.atomic():
                super().save_model(request, obj, form, change)
        except IntegrityError:
            if not change:
                raise
            messages.error(request, "Not changed: it has begun.")

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Delete what has not begun."""
        queryset.filter(starts_at__gt=timezone.now()).delete()


@admin.register(Price)
class PriceAdmin(NotRetroactively):
    """What things cost, and from when on."""

    list_display = ("item", "country", "credits", "per", "starts_at", "holds")
    list_filter = ("item", "country")
    fields = ("item", "country", "credits", "per", "starts_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Price]:
        """Find for each the one that holds of its kind."""
        begun = Price.objects.filter(item=OuterRef("item"), country=OuterRef("country"), starts_at__lte=timezone.now())
        held = Subquery(begun.order_by("-starts_at").values("pk")[:1])
        found: QuerySet[Price] = super().get_queryset(request).annotate(held=held)
        return found

    @admin.display(description="holds now", boolean=True)
    def holds(self, price: Any) -> bool:
        """Say whether it is the price at this moment."""
        return bool(price.pk == price.held)


@admin.register(Plan)
class PlanAdmin(NotRetroactively):
    """What a month has for nothing."""

    list_display = ("messages_per_month", "emulator_hours_per_month", "starts_at")
    fields = ("messages_per_month", "emulator_hours_per_month", "starts_at")


@admin.register(Package)
class PackageAdmin(NarrowLookups, ModelAdmin):
    """What can be bought."""

    list_display = ("credits", "price_minor", "currency", "offered")
    list_filter = ("offered", "currency")
    fields = ("credits", "price_minor", "currency", "offered")
