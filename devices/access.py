"""The one door to a device and to a profile: nobody gets one without the question "may this user?"."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Lower
from django.http import Http404

from accounts.access import Action, role_may
from accounts.models import Membership, User
from accounts.services import personal_account
from devices import profile_store
from devices.models import Device, DeviceJob, OwnProfile
from devices.names import InvalidName, clean_name
from devices.profile_documents import Document
from devices.profiles import SLUG, Profile, UnknownProfile, get_profile

__all__ = [
    "Action", "AmbiguousName", "Described", "access_device", "access_job", "access_named_device", "access_profile",
    "parse_device_id",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Described:
    """A profile that somebody may see; `own` where it is not a shipped one."""

    profile: Profile
    own: OwnProfile | None = None

    @property
    def key(self) -> str:
        """What it is called in an address: a shipped one's slug, an own one's id."""
        return self.profile.slug if self.own is None else self.own.hex

    @property
    def document(self) -> Document:
        """The JSON that it is made of."""
        return profile_store.document(self.profile, self.own)


class AmbiguousName(Exception):
    """Several of the user's accounts have a device of that name, and the personal one has none."""

    def __str__(self) -> str:
        return "Several of your organisations have a device of that name. Name it by its id."


def parse_device_id(value: str) -> UUID | None:
    """Return the id that a URL or topic spells as 32 hex digits (hyphens are taken too), or None."""
    try:
        return UUID(hex=value) if len(value) in {32, 36} else None
    except ValueError:
        return None


def access_device(user: User, device_id: UUID | str, action: Action = Action.READ, *, beside: Sequence[str] = ()) -> Device:
    """Return the live device if `user` may do `action` with it; `beside` names what of it is read in the same query.

    Raises:
        Http404: there is no such device, or it is another's; both look the same.
        PermissionDenied: the user may see it, but not do this.
    """
    key = parse_device_id(device_id) if isinstance(device_id, str) else device_id
    role = Membership.objects.filter(user=user, account_id=OuterRef("account_id")).values("role")
    live: QuerySet[Device] = Device.objects.live().select_related("account", "own_profile", *beside)
    device = live.annotate(role=Subquery(role)).filter(pk=key).first() if key else None
    if device is None or device.role is None:
        raise Http404("No such device.")
    if not role_may(device.role, action):
        raise PermissionDenied("Your role in this account does not allow that.")
    return device


def access_job(user: User, job_id: UUID | str, action: Action = Action.READ) -> DeviceJob:
    """Return the registration of many devices if `user` may do `action` with it.

    Raises:
        Http404: there is no such job, or it is another's; both look the same.
        PermissionDenied: the user may see it, but not do this.
    """
    key = parse_device_id(job_id) if isinstance(job_id, str) else job_id
    job = DeviceJob.objects.select_related("account", "by").filter(pk=key).first() if key else None
    role = Membership.objects.filter(user=user, account_id=job.account_id).values_list("role", flat=True).first() if job else None
    if job is None or role is None:
        raise Http404("No such job.")
    if not role_may(role, action):
        raise PermissionDenied("Your role in this account does not allow that.")
    return job


def access_profile(user: User, key: str, action: Action = Action.READ) -> Described:
    """Return the profile that `user` calls `key`: an own one by its id or slug, or a shipped one by its slug.

    Raises:
        Http404: there is no such profile, or it is another account's; both look the same.
        PermissionDenied: the user may see it, but not do this; nobody may do more with a shipped one than read it.
    """
    found = _own_profile(user, key)
    if found is None:
        try:
            shipped = get_profile(key)
        except UnknownProfile:
            raise Http404("There is no such profile.") from None
        if action is not Action.READ:
            raise PermissionDenied("The portal ships this profile. Make a copy of it and change that.")
        return Described(shipped)
    role = Membership.objects.filter(user=user, account_id=found.account_id).values_list("role", flat=True).first() or ""
    if not role_may(role, action):
        raise PermissionDenied("Your role in this account does not allow that.")
    return Described(profile_store.find(profile_store.own_key(found.pk, found.version)), found)


def _own_profile(user: User, key: str) -> OwnProfile | None:
    """Return the user's own profile of this id or slug; of several accounts' with one slug that of the oldest account."""
    mine = OwnProfile.objects.for_user(user).select_related("account").order_by("account__created_at", "account_id")
    own_id = parse_device_id(key)
    if own_id is not None and (found := mine.filter(pk=own_id).first()):
        return found
    return mine.filter(slug=key).first() if SLUG.fullmatch(key) else None


def access_named_device(user: User, name: str, action: Action = Action.READ) -> Device:
    """Return the live device of that name if `user` may do `action` with it: the user's own, else the one of another account.

    Raises:
        Http404, PermissionDenied: as `access_device`.
        AmbiguousName: there are several.
    """
    try:
        same = Lower(Value(clean_name(name)))
    except InvalidName as error:
        raise Http404("No such device.") from error
    named = Device.objects.for_user(user).alias(lower_name=Lower("name")).filter(lower_name=same)
    found = list(named.values_list("id", "account_id"))
    if len(found) > 1:
        own = personal_account(user).pk
        found = [one for one in found if one[1] == own] or found
    if len(found) > 1:
        raise AmbiguousName
    if not found:
        raise Http404("No such device.")
    return access_device(user, found[0][0], action)
