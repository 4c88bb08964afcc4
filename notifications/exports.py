"""What a person takes along of notifications: all that was said in their own account, and to whom it may be."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Q

from accounts.exports import PIECE, Export
from accounts.models import Account
from notifications.models import Notification, Recipient

_SAID = [
    "asked_at", "cause", "device_id", "channel", "recipient", "subject", "message", "status", "reason", "sent_at", "ended_at",
    "credits",
]  # fmt: skip
_RECIPIENT = ["channel", "address", "host", "created_at", "confirmed_at"]
_BROWSER = ["name", "created_at", "pushed_at"]


def add_notifications(export: Export) -> None:
    """Add notifications, newest first, recipients, and the browsers that are pushed to."""
    account = export.account
    people = Recipient.objects.filter(account=account)
    export.add_table("notifications.csv", _SAID, lambda: rows(account))
    export.add_table("recipients.csv", _RECIPIENT, lambda: (list(row) for row in people.values_list(*_RECIPIENT)))
    browsers = export.user.browsers.values_list(*_BROWSER)
    export.add_table("pushed_browsers.csv", _BROWSER, lambda: (list(row) for row in browsers))


def rows(account: Account) -> Iterator[list[object]]:
    """Read by key set, so that no cursor stays open for as long as somebody downloads."""
    place = Q()
    while True:
        found = list(Notification.objects.filter(place, account=account)[:PIECE])
        yield from ([getattr(one, name) for name in _SAID] for one in found)
        if len(found) < PIECE:
            return
        last = found[-1]
        place = Q(created_at__lte=last.created_at) & (Q(created_at__lt=last.created_at) | Q(id__lt=last.pk))
