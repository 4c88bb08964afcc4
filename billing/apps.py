"""The billing app."""

from django.apps import AppConfig
from django.core.checks import register


class BillingConfig(AppConfig):
    """Register the app, and what operators may see of it."""

    name = "billing"

    def ready(self) -> None:
        """Let operators look; moving credits takes a permission of its own."""
        from accounts import operators
        from accounts.hooks import account_exported
        from billing import exports, reactions
        from billing.checks import check_payments
        from billing.hooks import balance_low

        register(check_payments)
        account_exported.register(exports.add_billing)
        balance_low.register(reactions.on_low_balance)

        operators.need(
            "billing.view_ledgeraccount", "billing.view_entry", "billing.view_posting", "billing.view_plan", "billing.view_price",
            "billing.view_package", "billing.view_order", "billing.view_paymenttransaction", "billing.view_paymentnotice",
            "billing.view_vatrate", "billing.view_promocode", "billing.view_promoredemption",
        )  # fmt: skip
