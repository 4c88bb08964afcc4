"""How long emulators run, on their accounts' meters, each second once.

A row says up to when it is counted. The seconds since then and the new mark are one commit, whoever makes it: the process that
runs the emulators, or a page that stops one. A process that is killed leaves at most `COUNT_S` uncounted, and what nobody ran is
not counted: the next process begins with a mark of its own, and no count reaches further back than two turns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from billing import services
from messaging.models import Emulator

COUNT_S = 10.0
_SECOND, _LONGEST_S = timedelta(seconds=1), 2 * COUNT_S


def begin(device_id: UUID) -> None:
    """Count from now on."""
    Emulator.objects.filter(pk=device_id).update(counted_at=timezone.now())


def count(device_ids: Iterable[UUID], *, and_end: bool = False, now: datetime | None = None) -> set[UUID]:
    """Count what these ran since they were last counted, and take them away if `and_end`; returns whose accounts that were."""
    seconds: Counter[UUID] = Counter()
    with transaction.atomic():
        rows = list(
            Emulator.objects.select_for_update(of=("self",))
            .filter(pk__in=list(device_ids))
            .select_related("device")
            .order_by("pk")
        )
        now = now or timezone.now()  # once the rows are held: nobody counted up to a later moment
        for row in rows:
            if row.counted_at is not None:
                whole = max(0, (now - row.counted_at) // _SECOND)
                seconds[row.device.account_id] += min(whole, int(_LONGEST_S))
                row.counted_at += whole * _SECOND
        services.add_emulator_time(seconds, now=now)
        if and_end:
            Emulator.objects.filter(pk__in=[row.pk for row in rows]).delete()
        else:
            Emulator.objects.bulk_update(rows, ["counted_at"])
    return set(seconds)


def used_up(account_ids: Iterable[UUID]) -> set[UUID]:
    """Return the accounts whose emulators may run no longer; credits pay for what they have begun beyond the free hours."""
    return services.without_emulator_time(account_ids, now=timezone.now())
