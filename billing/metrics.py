"""The figures of credits, for Prometheus: each process tells of what it moved."""

from __future__ import annotations

from functools import partial

from django.db import transaction
from prometheus_client import Counter

CREDITS = Counter("portal_credits", "Credits that came onto people's balances and went from them, by cause.", ["cause", "way"])


def moved(cause: str, credits: int) -> None:
    """Count credits that came to an owner, or went (below zero), once that is committed."""
    way = "came" if credits > 0 else "went"
    transaction.on_commit(partial(CREDITS.labels(cause, way).inc, abs(credits)), robust=True)
