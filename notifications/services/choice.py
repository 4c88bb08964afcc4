"""Which sender is asked first: of those that are well the cheapest for the country, and the others after them.

A sender that was away several times in a row is avoided for a while, longer each time, so that nobody waits for its time-outs
while another would take the message; where there is no other, it is asked all the same. One word from it and it is well again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.db import connection
from django.utils import timezone

from notifications.channels.base import Sender, SenderAway
from notifications.models import SenderHealth, Tariff

AVOIDED_AFTER = 3  # failures in a row
_FIRST_S, _LONGEST_S = 30, 600

_FAILED = """
INSERT INTO notifications_senderhealth AS health (sender, failures, failed_at, detail, avoided_until)
VALUES (%(sender)s, 1, %(now)s, %(detail)s, NULL)
ON CONFLICT (sender) DO UPDATE SET failures = health.failures + 1, failed_at = %(now)s, detail = %(detail)s,
    avoided_until = CASE WHEN health.failures + 1 >= %(after)s
        THEN %(now)s + interval '1 second' * LEAST(%(first)s * 2 ^ LEAST(health.failures + 1 - %(after)s, 16), %(longest)s) END
"""


class Choice:
    """What one worker knows of senders while it sends; looked up anew for each batch."""

    def __init__(self) -> None:
        self._failing: dict[str, datetime | None] = {}
        self._prices: dict[str, dict[str, Decimal]] | None = None

    def look(self) -> None:
        """See how the senders are."""
        rows = SenderHealth.objects.filter(failures__gt=0).values_list("sender", "avoided_until")
        self._failing, self._prices = dict(rows), None

    def order(self, senders: Sequence[Sender], country: str) -> list[Sender]:
        """Return senders in the order in which they are asked; equals stay as the settings have them."""
        if len(senders) < 2:
            return list(senders)
        now = timezone.now()
        prices = self._for_country(country)
        return sorted(senders, key=lambda one: (self._is_avoided(one.name, now), prices.get(one.name, Decimal("Infinity"))))

    def failed(self, sender: Sender, failure: SenderAway) -> None:
        """Note that a sender is away."""
        with connection.cursor() as cursor:
            cursor.execute(_FAILED, {
                "sender": sender.name, "now": timezone.now(), "detail": failure.detail, "after": AVOIDED_AFTER, "first": _FIRST_S,
                "longest": _LONGEST_S,
            })  # fmt: skip
        self._failing.setdefault(sender.name, None)

    def took(self, sender: Sender) -> None:
        """Note that a sender that was away has taken something."""
        if sender.name in self._failing:
            del self._failing[sender.name]
            SenderHealth.objects.filter(sender=sender.name).update(failures=0, avoided_until=None, recovered_at=timezone.now())

    def _is_avoided(self, name: str, now: datetime) -> bool:
        until = self._failing.get(name)
        return until is not None and until > now

    def _for_country(self, country: str) -> dict[str, Decimal]:
        """Return what each sender asks: for the country, else for everywhere."""
        if self._prices is None:
            self._prices = {}
            begun = Tariff.objects.filter(starts_at__lte=timezone.now()).order_by("sender", "country", "-starts_at")
            for one in begun.distinct("sender", "country"):
                self._prices.setdefault(one.country, {})[one.sender] = one.amount
        return {**self._prices.get("", {}), **self._prices.get(country, {})}
