"""The figures of deliveries, for Prometheus: each process tells of what it delivered, or heard of from a sender."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from iotportal.after_commit import after_commit

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
DELIVERIES = Counter(
    "portal_deliveries", "Notifications by channel and what became of them; one is sent first.", ["channel", "status"]
)
TRY_TIME = Histogram("portal_delivery_try_seconds", "How long a sender took for a try.", ["channel"], buckets=_SECONDS)


def became(channel: str, status: str) -> None:
    """Count a notification that has got that far, once that is committed."""
    after_commit(DELIVERIES.labels(channel, status).inc)


def tried(channel: str, took_ms: float) -> None:
    """Count a try, however it ended."""
    TRY_TIME.labels(channel).observe(took_ms / 1000)
