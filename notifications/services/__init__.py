"""What pages, the API, tasks and hooks ask of notifications."""

from notifications.services import (
    alerts,
    browsers,
    consent,
    estimates,
    intake,
    named,
    outbox,
    payments,
    previews,
    quiet,
    receipts,
    recipients,
    rules,
    standard,
    templates,
)  # fmt: skip

__all__ = [
    "alerts", "browsers", "consent", "estimates", "intake", "named", "outbox", "payments", "previews", "quiet", "receipts",
    "recipients", "rules", "standard", "templates",
]  # fmt: skip
