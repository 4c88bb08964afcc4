"""The languages that people choose from: those of the pages, and those in which they are written to."""

from __future__ import annotations

from django.conf import settings


def languages() -> dict[str, str]:
    """Return them by code, with their own names. Whoever chooses one that the pages do not have gets those in the first."""
    return dict(settings.LANGUAGES) | dict(settings.NOTIFICATION_LANGUAGES)
