"""The rules of the devices that speak, kept in the bridge's memory."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from uuid import UUID

import redis

from iotportal.cache import valkey
from notifications.models import Rule

logger = logging.getLogger(__name__)

_VERSION = "notifications:rules"
_LOOK_S = 1.0
_BLIND_S = 30.0  # how long it is believed while Valkey cannot be asked
_DEVICES = 100_000


def changed() -> None:
    """Have every bridge read the rules anew. After the commit."""
    try:
        valkey().incr(_VERSION)
    except redis.RedisError as error:
        logger.warning("a change of rules could not be told, it counts in %.0f s: %s", _BLIND_S, type(error).__name__)


class Book:
    """Rules by device; a device without any is remembered as such. Used from one thread."""

    def __init__(self) -> None:
        self._rules: dict[UUID, tuple[Rule, ...]] = {}
        self._version: bytes | None = None
        self._looked = self._emptied = 0.0

    def of(self, devices: Iterable[UUID]) -> dict[UUID, tuple[Rule, ...]]:
        """Return the rules in force of those devices that have some."""
        self._look()
        wanted = set(devices)
        if missing := wanted - self._rules.keys():
            found: dict[UUID, list[Rule]] = {}
            for rule in Rule.objects.filter(device__in=missing, enabled=True).select_related("device"):
                found.setdefault(rule.device_id, []).append(rule)
            self._rules.update((one, tuple(found.get(one, ()))) for one in missing)
        return {one: rules for one in wanted if (rules := self._rules[one])}

    def _look(self) -> None:
        """Begin anew if a rule has changed."""
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        try:
            version: bytes | None = valkey().get(_VERSION)  # type: ignore[assignment]  # redis types its answers as awaitable
        except redis.RedisError:
            version = self._version
        if version != self._version or now - self._emptied > _BLIND_S or len(self._rules) > _DEVICES:
            self._rules.clear()
            self._version, self._emptied = version, now


book = Book()
