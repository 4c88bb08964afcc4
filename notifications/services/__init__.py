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
    quiet,
    receipts,
    recipients,
    rules,
    standard,
)  # fmt: skip

__all__ = [
    "alerts", "browsers", "consent", "estimates", "intake", "named", "outbox", "payments", "quiet", "receipts", "recipients",
    "rules", "standard",
]  # fmt: skip
