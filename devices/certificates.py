"""Reads of certificates for the pages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import groupby
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import Http404
from django.utils import timezone

from accounts.access import Action, role_may
from accounts.models import User
from accounts.selectors import standings
from devices.access import access_device
from devices.models import Certificate, Device

PAST_SHOWN = 5  # of the revoked ones on the device's page
FORECAST_SHOWN = 150  # as many as can be renewed in one go


@dataclass(slots=True)
class Shelf:
    """The certificates of a device: what it is to use, what it may still use, and the last ones that open nothing any more."""

    active: Certificate | None = None
    retiring: Certificate | None = None
    past: list[Certificate] = field(default_factory=list)


def shelf(device: Device) -> Shelf:
    """Return the device's certificates, without their long columns."""
    found = Shelf()
    # The good ones first: however often a device that is away was renewed, what it may still use is shown.
    newest = device.certificates.defer("pem").alias(over=Q(status=Certificate.Status.REVOKED)).order_by("over", "-created_at")
    for certificate in newest[: PAST_SHOWN + 2]:
        if certificate.status == Certificate.Status.ACTIVE:
            found.active = certificate
        elif certificate.status == Certificate.Status.RETIRING:
            found.retiring = certificate
        else:
            found.past.append(certificate)
    del found.past[PAST_SHOWN:]
    return found


def access_certificate(user: User, device_id: UUID | str, certificate_id: UUID, action: Action = Action.READ) -> Certificate:
    """Return a certificate of the device, with the device.

    Raises:
        Http404, PermissionDenied: as `access_device`; or the device has no such certificate.
    """
    device = access_device(user, device_id, action)
    certificate = device.certificates.filter(pk=certificate_id).first()
    if certificate is None:
        raise Http404("No such certificate.")
    certificate.device = device
    return certificate


# --- what ends when --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Month:
    """The certificates that end in a calendar month; `first` is its first moment."""

    first: datetime
    certificates: list[Certificate]


@dataclass
class Forecast:
    """Which certificates end when, the next ones first."""

    user: User

    @cached_property
    def certificates(self) -> list[Certificate]:
        """The certificates in use of the devices that the user may see, by their end."""
        return list(in_use(self.user).order_by("not_after", "id")[:FORECAST_SHOWN])

    @cached_property
    def more(self) -> int:
        """How many end later than those."""
        return max(0, in_use(self.user).count() - FORECAST_SHOWN) if len(self.certificates) == FORECAST_SHOWN else 0

    @cached_property
    def ended(self) -> list[Certificate]:
        """Those that have ended already."""
        now = timezone.now()
        return [one for one in self.certificates if one.is_expired(now)]

    @property
    def months(self) -> list[Month]:
        """The others by month, as the user's clock counts them."""
        coming = self.certificates[len(self.ended) :]  # they are in the order of their ends
        return [Month(first, list(ones)) for first, ones in groupby(coming, lambda one: _month(one.not_after))]


def in_use(user: User, action: Action = Action.READ) -> QuerySet[Certificate]:
    """Return the certificates that devices are to use, of the devices with which `user` may do `action`."""
    # By the accounts themselves: of a subquery PostgreSQL expects a few devices, and looks each one's certificate up.
    accounts = [one.account_id for one in standings(user) if role_may(one.role, action)]
    standing = Certificate.objects.filter(status=Certificate.Status.ACTIVE)
    mine = standing.filter(device__account__in=accounts, device__deleted_at=None)
    return mine.select_related("device").defer("pem", "sealed_key")


def chosen(user: User, ids: Iterable[str]) -> list[Certificate]:
    """Return those of the certificates with these ids that the portal can renew by itself for `user`; nonsense is left out."""
    keys = [key for key in map(_as_uuid, ids) if key is not None][:FORECAST_SHOWN]
    renewable = in_use(user, Action.MANAGE).filter(key_origin=Certificate.KeyOrigin.PORTAL)
    return list(renewable.filter(pk__in=keys).order_by("not_after", "id"))


def _month(moment: datetime) -> datetime:
    return timezone.localtime(moment).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(hex=text)
    except ValueError:
        return None
