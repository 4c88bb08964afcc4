"""What pages, the API, tasks and hooks ask of notifications."""

from notifications.services import (
    alerts,
    browsers,
    consent,
    intake,
    named,
    outbox,
    payments,
    receipts,
    recipients,
    rules,
    standard,
)

__all__ = [
    "alerts",
    "browsers",
    "consent",
    "intake",
    "named",
    "outbox",
    "payments",
    "receipts",
    "recipients",
    "rules",
    "standard",
]
