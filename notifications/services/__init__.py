"""What pages, the API, tasks and hooks ask of notifications."""

from notifications.services import alerts, consent, intake, outbox, payments, receipts, recipients, standard

__all__ = ["alerts", "consent", "intake", "outbox", "payments", "receipts", "recipients", "standard"]
