"""Recipients by a name: webhooks and other services. Where such a name leads is sealed, and never shown again."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import Account, User
from iotportal import outward
from iotportal.sealing import SealError, seal, unseal
from notifications.addresses import NAME
from notifications.models import Channel, Notification, Recipient

PER_ACCOUNT = 20
_SECRET_BYTES = 32


class NamedRefused(Exception):
    """A webhook or service that cannot be added; `about` is what is wrong: "name" or "url". The text says why."""

    def __init__(self, about: str, text: str) -> None:
        super().__init__(text)
        self.about = about


@dataclass(frozen=True, slots=True)
class Target:
    """Where a notification goes, and which one it is."""

    notification: Notification
    url: str = field(repr=False)
    secret: bytes = field(default=b"", repr=False)


def add_webhook(*, account: Account, name: str, url: str, user: User) -> tuple[Recipient, str]:
    """Add an address of the account's own; returns it and the secret by which it knows us, which is told this once.

    Raises:
        NamedRefused: the name is taken or none, the URL is not one that is sent to, or there are too many.
    """
    try:
        outward.check_url(url)
    except outward.NotAllowed as error:
        raise NamedRefused("url", str(error)) from error
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
    host = (urlsplit(url).hostname or "")[:253]
    return _add(account, Channel.WEBHOOK, name, host, {"url": url, "secret": secret}, user), secret


def add_service(*, account: Account, name: str, url: str, user: User) -> Recipient:
    """Add another service by the URL that Apprise has for it; that holds its secrets, and is not shown again.

    Raises:
        NamedRefused: as `add_webhook`.
    """
    from notifications.channels import apprise  # loads its library

    try:
        service = apprise.open_url(url.strip())
    except apprise.NotAService as error:
        raise NamedRefused("url", str(error)) from error
    return _add(account, Channel.APPRISE, name, str(service.service_name)[:253], {"url": url.strip()}, user)


def of_account(account_id: UUID) -> QuerySet[Recipient]:
    """Return the webhooks and other services of an account."""
    return Recipient.objects.filter(account=account_id, sealed__isnull=False)


def _add(account: Account, channel: Channel, name: str, host: str, sealed: dict[str, str], user: User) -> Recipient:
    name = name.strip().lower()
    if not NAME.fullmatch(name):
        raise NamedRefused("name", "A name has at most 40 letters a to z, digits, - and _.")
    one = Recipient(account=account, channel=channel, address=name, host=host, added_by=user, confirmed_at=timezone.now())
    one.sealed = seal(json.dumps(sealed).encode(), _owner(one.pk))
    with transaction.atomic():
        Account.objects.select_for_update(no_key=True).get(pk=account.pk)  # two at once are counted one after the other
        if Recipient.objects.filter(account=account, sealed__isnull=False).count() >= PER_ACCOUNT:
            raise NamedRefused("name", f"An account has at most {PER_ACCOUNT} webhooks and services. Remove one first.")
        try:
            with transaction.atomic():
                one.save(force_insert=True)
        except IntegrityError as error:
            raise NamedRefused("name", "That name is taken.") from error
    return one


def target(notification_id: UUID) -> Target | None:
    """Return where a notification to a name goes; None if that name was taken out of the list.

    Raises:
        iotportal.sealing.SealError: this portal cannot open it.
    """
    one = Notification.objects.select_related("device").get(pk=notification_id)
    row = Recipient.objects.filter(account=one.account_id, channel=one.channel, address=one.address).first()
    if row is None or row.sealed is None:
        return None
    try:
        about = json.loads(unseal(bytes(row.sealed), _owner(row.pk)))
    except ValueError as error:
        raise SealError("It is no recipient.") from error
    return Target(one, about["url"], about.get("secret", "").encode())


def _owner(recipient_id: UUID) -> bytes:
    return b"notifications.recipient" + recipient_id.bytes
