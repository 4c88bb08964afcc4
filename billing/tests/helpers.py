"""What several tests of the ledger do: read it, and go around its guards as only the tables' owner can."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from django.db import connection
from django.db.models.functions import Now

from accounts.models import Account
from billing.models import (
    Entry,
    LedgerAccount,
    Order,
    Package,
    PaymentNotice,
    Plan,
    Price,
    PromoCode,
    PromoRedemption,
    VatRate,
)
from billing.services import Leg, credits_of, give_credits, operator_account, post_entry

TABLES = ("billing_posting", "billing_entry", "billing_ledgeraccount")


def with_credits(account: Account, credits: int) -> LedgerAccount:
    """Give an owner credits and return where they stand."""
    give_credits(account=account, credits=credits, reason="Welcome", key=f"gift:{account.pk.hex}:{credits}")
    return credits_of(account)


def total() -> int:
    """Return the sum of all balances."""
    return sum(LedgerAccount.objects.values_list("balance", flat=True))


def promised() -> int:
    """Return what the operator gave away and has not taken back."""
    return -operator_account(LedgerAccount.Kind.PROMOTIONS).balance


def settle() -> None:
    """Check now what a commit would check: a table with something pending can be neither altered nor truncated."""
    with connection.cursor() as db:
        db.execute("SET CONSTRAINTS ALL IMMEDIATE")
        db.execute("SET CONSTRAINTS ALL DEFERRED")


@contextmanager
def unguarded() -> Iterator[None]:
    """Switch the triggers of the ledger off, and on again as they were."""
    with connection.cursor() as db:
        settle()
        db.execute(
            "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE tgenabled = 'A' AND tgrelid = ANY(%s::regclass[])",
            [list(TABLES)],
        )
        always = db.fetchall()
        for table in TABLES:
            db.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield
        settle()
        for table in TABLES:
            db.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        for table, trigger in always:
            db.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")


def fill_billing() -> None:
    """Have one of everything in billing that hangs on no owner; the first price has begun, so it stays as it is."""
    kinds = LedgerAccount.Kind
    legs = [Leg(operator_account(kinds.REVENUE), 1), Leg(operator_account(kinds.PROMOTIONS), -1)]
    post_entry(cause=Entry.Cause.CORRECTION, key="filled", legs=legs, reason="To have one")
    begins = datetime(2098, 1, 1, tzinfo=UTC)
    if not Price.objects.exists():
        Price.objects.create(item=Price.Item.SMS, credits=10, starts_at=Now())
    Plan.objects.create(messages_per_month=1, starts_at=begins)
    Package.objects.get_or_create(credits=500, currency="USD", price_minor=500)
    VatRate.objects.create(country="SE", basis_points=2500)
    PaymentNotice.objects.create(provider="paypal_standard", body=b"a=1&b=2")
    PromoCode.objects.create(code="FILLED", percent=10)


def forget_billing() -> None:
    """Take away what `fill_billing` made."""
    forget_ledger()
    PromoCode.objects.filter(code="FILLED").delete()
    VatRate.objects.all().delete()
    Plan.objects.filter(starts_at__year=2098).delete()


def make_order(account: Account) -> Order:
    """Have an order that nobody paid, whoever sells."""
    return Order.objects.create(account=account, provider="paypal_standard", credits=500, price_minor=500, currency="USD")


def make_redemption(account: Account) -> PromoRedemption:
    """Have a redemption of the code that `fill_billing` made, which waits for a package."""
    code = PromoCode.objects.get(code="FILLED")
    over = {"credits": 0, "percent": code.percent}
    return PromoRedemption.objects.get_or_create(promo_code=code, account=account, number=1, defaults=over)[0]


def forget_ledger() -> None:
    """Empty the ledger, which the test's own end may not."""
    with unguarded(), connection.cursor() as db:
        db.execute(f"TRUNCATE {', '.join(TABLES)} CASCADE")


def forget_orders() -> None:
    """Take all orders, redemptions and notices away."""
    PromoRedemption.objects.all().delete()
    PaymentNotice.objects.all().delete()
    Order.objects.all().delete()
