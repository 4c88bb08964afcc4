"""Parts of other apps' pages that show what an account may use."""

from __future__ import annotations

from datetime import UTC, datetime

from django import template

from accounts.models import Account
from billing.services import message_limit, messages_used

register = template.Library()


@register.inclusion_tag("billing/_subscription.html")
def subscription(account: Account) -> dict[str, object]:
    """Draw the box with the kind of subscription and the messages used this month."""
    used, limit = messages_used(account.pk), message_limit(account.pk)
    return {
        "used": used,
        "limit": limit,
        "used_text": f"{used:,}",
        "limit_text": f"{limit:,}",
        "left_text": f"{limit - used:,}" if used < limit else "none",
        "since": f"1 {datetime.now(UTC):%B}",
    }
