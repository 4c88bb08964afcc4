"""Parts of other apps' pages that show what an account may use."""

from __future__ import annotations

from datetime import UTC, datetime

from django import template

from accounts.models import Account
from billing import services

register = template.Library()


@register.inclusion_tag("billing/_subscription.html")
def subscription(account: Account) -> dict[str, object]:
    """Draw the box with the kind of subscription and the messages used this month."""
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
        "since": f"1 {datetime.now(UTC):%B}",
    }
