"""What pages, the API, tasks and hooks ask of notifications."""

from notifications.services import consent, intake, outbox, payments, recipients

__all__ = ["consent", "intake", "outbox", "payments", "recipients"]
