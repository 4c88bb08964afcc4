"""The figures of messages and commands, for Prometheus.

Commands are counted where the bridge writes them: exactly those that are in the history, whichever web process sent them, and
the command path does nothing for it. What can only be looked up (queues, presence) is looked up when somebody scrapes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from typing import Any, TypeVar

import redis
from django.conf import settings
from django.db import connection
from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from devices.profiles import all_profiles
from iotportal.uuid7 import seconds_of
from messaging.bridge.inbox import Batch
from messaging.bridge.meaning import CommandFact
from messaging.bridge.writer import Written
from messaging.cache import COMMAND_STREAM

logger = logging.getLogger(__name__)

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
COMMANDS = Counter("portal_commands", "Commands that ended, by api and outcome.", ["api", "outcome"])
COMMAND_TIME = Histogram("portal_command_seconds", "From a command's acceptance to its answer.", ["api"], buckets=_SECONDS)
MESSAGES = Counter("portal_messages", "Messages that passed the bridge, by what became of them.", ["result"])
BATCH = Histogram(
    "portal_bridge_batch_messages", "Messages and commands in one transaction.", buckets=(1, 2, 5, 10, 50, 100, 500, 1000)
)
LAG = Gauge("portal_bridge_lag_seconds", "How long the oldest of the batch that was written last had waited since it came in.")
Metric = TypeVar("Metric", Counter, Histogram)
_RESULTS = {"rows": "written", "duplicates": "duplicate", "malformed": "malformed", "dropped": "dropped"}


def batch_written(batch: Batch, written: Written) -> None:
    """Count a batch that is in the history."""
    BATCH.observe(len(batch))
    if batch.messages:
        LAG.set(max(0.0, time.time() - seconds_of(batch.messages[0].id)))
    for name, result in _RESULTS.items():
        _series(MESSAGES, result).inc(getattr(written, name))
    for record in batch.records:
        if isinstance(record.fact, CommandFact):
            _count_command(record.fact)


def _count_command(fact: CommandFact) -> None:
    api = fact.api if fact.api in _known_apis() else "other"
    _series(COMMANDS, api, fact.outcome.value).inc()
    if fact.answered_ms is not None:
        _series(COMMAND_TIME, api).observe((fact.delivered_ms or fact.answered_ms) / 1000)


@cache
def _series(metric: Metric, *labels: str) -> Metric:
    """Return one series of a metric; to look it up by its labels costs more than to count."""
    return metric.labels(*labels)


@cache
def _known_apis() -> frozenset[str]:
    """Return the apis of shipped profiles: people name those of their own, and every name would be a series for ever."""
    return frozenset(name for profile in all_profiles() for name in profile.apis)


class LookedUp(Collector):
    """What is looked up when somebody scrapes; a source that is away leaves its figures out."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return the depth of the queues and the number of devices."""
        for look in (_queues, _devices):
            try:
                yield look()
            except Exception as error:  # the others are to be told all the same
                logger.warning("a figure cannot be had: %s", type(error).__name__)

    def describe(self) -> Iterator[Any]:
        """Name nothing yet: to register is no reason to look."""
        return iter(())


def _queues() -> GaugeMetricFamily:
    told = GaugeMetricFamily("portal_queue_depth", "What waits, by queue.", labels=["queue"])
    with redis.Redis.from_url(settings.VALKEY_URL, socket_connect_timeout=2, socket_timeout=2) as link:
        told.add_metric(["commands"], _unwritten(link))
        if settings.CELERY_BROKER_URL.startswith("redis"):
            with redis.Redis.from_url(settings.CELERY_BROKER_URL, socket_connect_timeout=2, socket_timeout=2) as tasks:
                told.add_metric(["tasks"], sum(int(tasks.llen(name)) for name in ("celery", "bridge")))
    return told


def _unwritten(link: redis.Redis) -> float:
    """Return how many command records the bridge has not read, and those that it has not acknowledged."""
    if not link.exists(COMMAND_STREAM):
        return 0
    groups: Any = link.xinfo_groups(COMMAND_STREAM)
    lags = [int(group["pending"]) + int(group.get("lag") or 0) for group in groups if group["name"] in (b"bridge", "bridge")]
    return float(lags[0]) if lags else float(link.xlen(COMMAND_STREAM))


def _devices() -> GaugeMetricFamily:
    told = GaugeMetricFamily(
        "portal_devices", "Registered devices, by whether the broker holds their connection.", labels=["state"]
    )
    with closing(connection.copy()) as own, own.cursor() as cursor:  # the thread of this scrape ends with it
        cursor.execute(
            "SELECT count(*) FILTER (WHERE p.connected), count(*) FROM devices_device d"
            " LEFT JOIN messaging_presence p ON p.device_id = d.id WHERE d.deleted_at IS NULL"
        )
        connected, total = cursor.fetchone()
    told.add_metric(["connected"], connected)
    told.add_metric(["disconnected"], total - connected)
    return told


def look_up() -> None:
    """Have this process tell what is looked up; one process is enough: the worker's."""
    if _LOOKED_UP not in REGISTRY._collector_to_names:
        REGISTRY.register(_LOOKED_UP)


_LOOKED_UP = LookedUp()
