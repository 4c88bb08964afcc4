"""The signed links in mails: to confirm an address, and to unsubscribe it."""

from __future__ import annotations

from functools import lru_cache
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.urls import reverse

from notifications.models import Notification

_CONFIRM, _UNSUBSCRIBE = "notifications.confirm", "notifications.unsubscribe"
CONFIRM_DAYS = 7


def confirm_url(one: Notification) -> str:
    """Return the link by which an address says that it may be written to."""
    secret = signing.dumps([one.account_id.hex, one.channel, one.address], salt=_CONFIRM, compress=True)
    return settings.PORTAL_URL + reverse("notifications:confirm", args=[secret])


def unsubscribe_url(one: Notification) -> str:
    """Return the link by which an address says that it may not any more."""
    return settings.PORTAL_URL + _unsubscribe_path(one.account_id, one.channel, one.address)


@lru_cache(maxsize=1024)  # it works for ever, and most mails go to few
def _unsubscribe_path(account_id: UUID, channel: str, address: str) -> str:
    secret = signing.dumps([account_id.hex, channel, address], salt=_UNSUBSCRIBE, compress=True)
    return reverse("notifications:unsubscribe", args=[secret])


def read_confirm(secret: str) -> tuple[UUID, str, str]:
    """Return account, channel and address of a link. Raises signing.BadSignature."""
    return _read(secret, _CONFIRM, CONFIRM_DAYS * 86_400)


def read_unsubscribe(secret: str) -> tuple[UUID, str, str]:
    """Return account, channel and address of a link; it works for ever. Raises signing.BadSignature."""
    return _read(secret, _UNSUBSCRIBE, None)


def _read(secret: str, salt: str, seconds: int | None) -> tuple[UUID, str, str]:
    account, channel, address = signing.loads(secret, salt=salt, max_age=seconds)
    return UUID(hex=account), channel, address
