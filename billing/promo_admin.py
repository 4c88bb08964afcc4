"""What operators see and make of promo codes: the codes, and who redeemed them."""

from __future__ import annotations

import secrets
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.forms import ModelForm
from django.http import HttpRequest
from django.urls import reverse

from accounts.admin import ReadOnlyAdmin, Shelf
from accounts.admin.base import ModelAdmin, NarrowLookups
from accounts.models import Account
from billing.models import PromoCode, PromoRedemption
from billing.services import promo_codes

_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # none that is taken for another
_SHOWN = 20
_TOO_FEW = "At least 1, and not fewer than there were already. Leave it empty for no limit; to stop the code, set when it ends."
_LONG = 12  # 59 random bits


def redemptions_of_account(account: Account) -> Shelf:
    """Return the promo codes that an owner redeemed last."""
    some = promo_codes.redemptions_of(account).select_related("order")[:_SHOWN]
    rows = [(one.redeemed_at, one.promo_code.code, _brings(one)) for one in some]
    more = f"{reverse('admin:billing_promoredemption_changelist')}?account={account.pk}"
    return Shelf("Promo codes", ("When", "Code", "Brings"), rows, more)


def _brings(one: PromoRedemption) -> str:
    if one.credits:
        return f"{one.credits:,} credits"
    if one.order is None:
        return f"{one.percent} % more, waits for a package"
    return f"{one.percent} % more, {one.order.bonus_credits:,} credits"


class PromoCodeForm(ModelForm):  # type: ignore[type-arg]  # generic to the type checker alone
    """A code that is typed as people write it, or made up."""

    code = forms.CharField(
        required=False,
        max_length=promo_codes.MAX_TYPED,
        help_text="4 to 32 letters and digits; capitals, spaces and hyphens do not matter. Empty: one that nobody guesses.",
    )

    class Meta:
        help_texts: ClassVar = {
            "max_uses": "By all accounts together. Empty: no limit but that of each account. Not 0: to stop a code, let it end.",
            "max_uses_per_account": "1 to 1,000. A person who is in several accounts has so many in all of them.",
        }

    def clean_code(self) -> str:
        """Bring it to the form in which codes are compared."""
        typed: str = self.cleaned_data["code"]
        if not typed:
            return "".join(secrets.choice(_LETTERS) for _ in range(_LONG))
        code = promo_codes.compared(typed)
        if not code:
            raise ValidationError("4 to 32 letters from A to Z and digits.")
        if PromoCode.objects.filter(code=code).exists():
            raise ValidationError("There is such a code.")
        return code

    def clean_max_uses(self) -> int | None:
        """Refuse fewer than there were; the database has the last word."""
        most: int | None = self.cleaned_data["max_uses"]
        if most is not None and most < max(1, self.instance.used):
            raise ValidationError(_TOO_FEW)
        return most


@admin.register(PromoCode)
class PromoCodeAdmin(NarrowLookups, ModelAdmin):
    """Codes that bring credits. What one brings stays as it was given away; when, and how often, can be changed."""

    form = PromoCodeForm
    list_display = ("code", "brings", "starts_at", "ends_at", "used_of", "max_uses_per_account", "first_purchase_only")
    list_filter = ("first_purchase_only",)
    search_fields = ("code",)
    fields = (
        "code", "credits", "percent", "starts_at", "ends_at", "max_uses", "max_uses_per_account", "first_purchase_only", "used",
    )  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: PromoCode | None = None) -> tuple[str, ...]:
        """Keep what people were told."""
        return ("used",) if obj is None else ("code", "credits", "percent", "used")

    def has_delete_permission(self, request: HttpRequest, obj: PromoCode | None = None) -> bool:
        """What was used stays; let it end instead."""
        return super().has_delete_permission(request, obj) and (obj is None or not obj.used)

    def save_model(self, request: HttpRequest, obj: PromoCode, form: Any, change: bool) -> None:
        """Save what was changed and nothing else: somebody may redeem it at this moment, and a use is not given back."""
        if not change:
            obj.save(force_insert=True)
            return
        try:
            with transaction.atomic():
                obj.save(update_fields=form.changed_data)
        except IntegrityError:
            messages.error(request, "Not changed: it was used more often meanwhile.")

    @admin.display(description="brings")
    def brings(self, code: PromoCode) -> str:
        """Say what it is for."""
        return f"{code.percent} % more with a package" if code.percent else f"{code.credits:,} credits"

    @admin.display(description="used", ordering="used")
    def used_of(self, code: PromoCode) -> str:
        """Say how often it was used, and may be."""
        return f"{code.used:,}" if code.max_uses is None else f"{code.used:,} of {code.max_uses:,}"


@admin.register(PromoRedemption)
class PromoRedemptionAdmin(ReadOnlyAdmin, ModelAdmin):
    """Who used which code, and what came of it."""

    lookups: ClassVar[tuple[str, ...]] = ("promo_code", "account")
    list_display = ("redeemed_at", "promo_code", "account", "brings", "order", "entry")
    list_select_related = ("promo_code", "account", "order", "entry")
    search_fields = ("=promo_code__code", "account__name", "=id")
    search_help_text = "Code, the owner's name, or the id"
    date_hierarchy = "redeemed_at"
    show_full_result_count = False
    fields = ("id", "redeemed_at", "promo_code", "account", "user", "number", "brings", "order", "entry")
    readonly_fields = fields

    @admin.display
    def brings(self, one: PromoRedemption) -> str:
        """Say what was promised, and whether it waits."""
        return _brings(one)
