"""Parts of other apps' pages that show what an account may use."""

from __future__ import annotations

from uuid import UUID

from django import template
from django.db import DatabaseError
from django.urls import reverse
from django.utils.html import format_html
from redis.exceptions import RedisError

from accounts.access import Action, role_may
from accounts.models import Account, Membership, User
from billing import money, providers, services
from billing.models import Entry, Order, Package
from billing.services import counter, payments, promo_codes
from iotportal.words import plural

register = template.Library()


@register.inclusion_tag("billing/_subscription.html")
def subscription(account: Account, *, may_buy: bool = True) -> dict[str, object]:
    """Draw the box with the kind of subscription and the messages used this month, and the way to more."""
    found = services.subscription(account.pk)
    used, limit = found.used, found.limit
    return {
        "paid": found.paid,
        "credits": found.credits,
        "credits_text": f"{found.credits:,}",
        "used": used,
        "limit": limit,
        "used_text": f"{used:,}",
        "limit_text": f"{limit:,}",
        "left_text": f"{limit - used:,}" if used < limit else "none",
        "account": account,
        "buy_url": reverse("billing:buy", args=[account.pk]) if may_buy and providers.current() else "",
        "since": f"1 {found.today:%B}",
        "zone": account.time_zone.replace("_", " "),
    }


@register.filter
def price(package: Package) -> str:
    """Write what a package costs."""
    return money.words(package.price_minor, package.currency)


@register.filter
def each(package: Package) -> str:
    """Say what one credit of a package costs."""
    cost = package.price_minor / package.credits / 10 ** money.decimals(package.currency)
    return f"{package.currency} {cost:.4f}".rstrip("0").rstrip(".") + " each"


@register.filter
def bonus(package: Package, percent: int) -> str:
    """Say how many credits more a package brings with a promo code."""
    return f"+{promo_codes.bonus(package.credits, percent):,}"


@register.filter
def net(order: Order) -> str:
    """Write the price of an order without the tax in it."""
    return money.words(order.price_minor - order.tax_minor, order.currency)


@register.filter
def tax(order: Order) -> str:
    """Write the tax in the price of an order."""
    return money.words(order.tax_minor, order.currency)


@register.simple_tag
def paid_back(order: Order) -> str:
    """Say how much of an order's price was paid back, and what that took with it."""
    minor, credits = payments.paid_back(order)
    took = f"{plural(credits, 'credit')} {'was' if credits == 1 else 'were'} taken back with it."
    return format_html("<b>{} was paid back.</b> {}", money.words(minor, order.currency), took)


@register.filter
def percent(basis_points: int) -> str:
    """Write a rate."""
    return money.percent(basis_points)


@register.filter
def signed(amount: int) -> str:
    """Write a number of credits with what it does: +500, -3."""
    return f"{amount:+,}"


@register.filter
def movement(entry: Entry) -> str:
    """Say what an entry was."""
    words = {
        Entry.Cause.PURCHASE: "Bought",
        Entry.Cause.SPEND: "Used",
        Entry.Cause.GIFT: "Given by the operator",
        Entry.Cause.PROMOTION: "Promo code",
        Entry.Cause.REFUND: "Taken back, because money was paid back",
        Entry.Cause.CORRECTION: "Corrected by the operator",
        Entry.Cause.REVERSAL: "Undone by the operator",
    }
    return words[Entry.Cause(entry.cause)]


@register.filter
def unlocal(value: float) -> str:
    """Write a number for SVG, whatever the language."""
    return f"{value:g}"


@register.inclusion_tag("billing/_command_cost.html")
def what_a_command_costs(user: User, account_id: UUID) -> dict[str, object]:
    """Say before a command is sent what it costs, or that there is none left, and where there are more."""
    try:
        cost = counter.command_cost(account_id)
    except RedisError:  # the page shows the device all the same
        return {}
    role = (
        Membership.objects.filter(user=user, account_id=account_id).values_list("role", flat=True).first()
        if not cost.left
        else ""
    )
    may_buy = bool(role) and role_may(role or "", Action.BILLING) and providers.current() is not None
    return {"cost": cost, "account_id": account_id, "may_buy": may_buy}


@register.inclusion_tag("billing/_counter.html")
def message_counter(user: User) -> dict[str, object]:
    """Draw what is left, for the head of every page; looked up once in a while."""
    try:
        account_id, left = counter.messages_left(user)
    except (DatabaseError, RedisError):  # the page that says what is wrong has this head as well
        return {}
    return {"account_id": account_id, "left": left}
