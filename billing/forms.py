"""The forms of buying credits."""

from __future__ import annotations

from django import forms

from billing.models import Package, VatRate
from billing.services import low_balance, packages
from billing.services.promo_codes import MAX_TYPED


class BuyForm(forms.Form):
    """Which package, and where the buyer is, for the tax that the price includes."""

    package = forms.ModelChoiceField(
        queryset=Package.objects.none(), empty_label=None, error_messages={"required": "Choose one."}
    )
    country = forms.ChoiceField(required=False, label="Country")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # Django's own arguments, handed on
        self.packages = packages()
        package, country = self.fields["package"], self.fields["country"]
        package.queryset = self.packages  # type: ignore[attr-defined]  # of the ModelChoiceField that it is
        rates = [(rate.country, f"{rate.country}, {rate.name} included") for rate in VatRate.objects.all()]
        country.choices = [("", "Another country"), *rates]  # type: ignore[attr-defined]  # of the ChoiceField that it is


class LowBalanceForm(forms.Form):
    """When an account's people are told that its credits run low."""

    below = forms.IntegerField(min_value=0, max_value=low_balance.MOST, label="Credits")


class PromoCodeForm(forms.Form):
    """A promo code, as it was read or heard."""

    code = forms.CharField(max_length=MAX_TYPED, label="Code", error_messages={"required": "Type the code."})
