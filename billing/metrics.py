"""The figures of credits, for Prometheus: each process tells of what it moved."""

from __future__ import annotations

from prometheus_client import Counter

from iotportal.after_commit import after_commit

CREDITS = Counter("portal_credits", "Credits that came onto people's balances and went from them, by cause.", ["cause", "way"])


def moved(cause: str, credits: int) -> None:
    """Count credits that came to an owner, or went (below zero), once that is committed."""
    way = "came" if credits > 0 else "went"
    after_commit(CREDITS.labels(cause, way).inc, abs(credits))
