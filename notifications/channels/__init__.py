"""The senders that this portal has, in the order in which they are asked."""

from __future__ import annotations

from django.conf import settings

from notifications.channels.base import Sender


def senders(channel: str) -> list[Sender]:
    """Return new senders of a channel; whoever asks closes them."""
    if channel == "email":
        from notifications.channels.email import EmailSender

        return [EmailSender("smtp", settings.EMAIL_BACKEND)]
    return []
