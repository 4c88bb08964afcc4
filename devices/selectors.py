"""Reads of the registry for the pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, TypedDict, cast
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.db.models import CharField, Count, F, FilteredRelation, Q, QuerySet, Value
from django.db.models.functions import Cast, Lower, Replace
from django.http import Http404
from django.urls import reverse
from django.utils import timezone

from accounts.access import Action, role_may, roles_for
from accounts.models import Account, User
from accounts.selectors import Standing, standings
from devices import profile_store
from devices.access import Described
from devices.models import Certificate, ClaimCode, Device, DeviceJob, DeviceJobLine, DeviceQuerySet, DeviceSecret, OwnProfile
from devices.profile_documents import Document
from devices.profiles import DEFAULT_PROFILE, Profile, UnknownProfile, all_profiles, get_profile

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations

    class _OfCertificate(TypedDict):
        key_algorithm: str | None
        certified_until: datetime | None

    _Certified = WithAnnotations[Device, _OfCertificate]

PAGE_SIZE = 25
HIGHEST_PIN = 32_767  # what a pin's column holds
LAMPS = 40  # drawn one by one up to here, told as a number above
EXPIRES_SOON_DAYS = 30


@dataclass(frozen=True, slots=True)
class Powers:
    """What the user may do with a device."""

    control: bool
    manage: bool


def powers(user: User, device: Device) -> Powers:
    """Return what `user` may do with a device that he may see."""
    role = next((one.role for one in standings(user) if one.account_id == device.account_id), "")
    return Powers(role_may(role, Action.CONTROL), role_may(role, Action.MANAGE))


def profile_of(device: Device) -> Profile:
    """Return the device's profile as it is now, the default one if its own is not shipped any more."""
    try:
        return profile_store.find(profile_store.key_of(device))
    except UnknownProfile:
        return get_profile(DEFAULT_PROFILE)


def highest_pin(device: Device) -> int:
    """Return the highest number that the device's profile gives to a pin."""
    numbers = [one for api in profile_of(device).tile("gpio") for one in api.fields if one.name == "number"]
    return min(HIGHEST_PIN, max((int(one.maximum) for one in numbers if one.maximum is not None), default=HIGHEST_PIN))


def document_of_device(device: Device) -> Document:
    """Return the JSON of the profile that the device is treated by now."""
    profile = profile_of(device)
    return profile_store.document(profile, device.own_profile)


def profiles_for(user: User) -> list[Described]:
    """Return the profiles that the user may see: those of their accounts by name, then the shipped ones."""
    own = OwnProfile.objects.for_user(user).select_related("account")
    found = [Described(profile_store.find(profile_store.own_key(one.pk, one.version)), one) for one in own]
    return [*found, *(Described(profile) for profile in all_profiles())]


def profiles_of(account: Account) -> list[Profile]:
    """Return the kinds that a device of the account can be: its own first."""
    rows = OwnProfile.objects.filter(account=account).values_list("pk", "version")
    own = [profile_store.find(profile_store.own_key(pk, version)) for pk, version in rows]
    named = {profile.slug for profile in own}
    return [*own, *(profile for profile in all_profiles() if profile.slug not in named)]


@dataclass(frozen=True, slots=True)
class Offered:
    """A kind that a new device can be; `owners` are the names of the accounts whose own it is, none where the portal ships it."""

    profile: Profile
    owners: tuple[str, ...] = ()


def profiles_offered(accounts: Iterable[Account]) -> list[Offered]:
    """Return the kinds that a device of one of these accounts can be, each slug once: their own first."""
    names = {account.pk: account.name for account in accounts}
    own: dict[str, Offered] = {}
    for pk, version, slug, account_id in OwnProfile.objects.filter(account__in=names).values_list(
        "pk", "version", "slug", "account_id"
    ):
        owners = own[slug].owners if slug in own else ()
        own[slug] = Offered(profile_store.find(profile_store.own_key(pk, version)), (*owners, names[account_id]))
    return [*own.values(), *(Offered(profile) for profile in all_profiles() if profile.slug not in own)]


def profile_choices(account: Account) -> list[tuple[str, str]]:
    """Return slug and name of the kinds that a device of the account can be."""
    return [(profile.slug, profile.name) for profile in profiles_of(account)]


def lamp(device: Device) -> str:
    """Return the state of the device's lamp: "on", "" (offline) or "wait" (never connected)."""
    presence = getattr(device, "presence", None)
    if presence is None or (not presence.connected and presence.connected_at is None):
        return "wait"
    return "on" if presence.connected else ""


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How many lines a job has, and what became of them."""

    total: int
    registered: int
    failed: int
    errors: list[DeviceJobLine]  # the first of those that failed

    @property
    def done(self) -> int:
        """The lines that are over."""
        return self.registered + self.failed


def job_progress(job: DeviceJob) -> JobProgress:
    """Return how far a job is."""
    made, failed = Count("pk", filter=~Q(device=None)), Count("pk", filter=~Q(error=""))
    counts = job.lines.aggregate(total=Count("pk"), registered=made, failed=failed)
    return JobProgress(**counts, errors=list(job.lines.exclude(error="")[:100]) if counts["failed"] else [])


def job_may_manage(user: User, job: DeviceJob) -> bool:
    """Say whether `user` may cancel the job and take its archive."""
    return user.memberships.filter(account=job.account_id, role__in=roles_for(Action.MANAGE)).exists()


_ANY = "0" * 32


@cache
def _addresses() -> dict[str, str]:
    """Return the addresses of a device's pages, with `_ANY` in place of its id: looked up once, not for every line."""
    names = {
        "control": "messaging:control",
        "view": "devices:detail",
        "delete": "devices:delete",
        "connect": "devices:registered",
    }
    return {key: reverse(name, args=[_ANY]) for key, name in names.items()}


def address_of(page: str, hex_: str) -> str:
    """Return the address of a device's page: "control", "view", "delete" or "connect"."""
    return _addresses()[page].replace(_ANY, hex_)


@dataclass(slots=True)
class Line:
    """One device of the list, with its active certificate's kind of key and end. `trips` is filled by messaging."""

    device: Device
    owner: str
    may_manage: bool
    key_algorithm: str = ""
    certified_until: datetime | None = None
    trips: object | None = None

    @property
    def at(self) -> dict[str, str]:
        """The addresses of its pages."""
        return {key: address_of(key, self.device.hex) for key in _addresses()}

    @property
    def lamp(self) -> str:
        """The state of its lamp."""
        return lamp(self.device)

    @property
    def profile(self) -> Profile:
        """Its kind."""
        return profile_of(self.device)


@dataclass(slots=True)
class Chip:
    """A filter of the list with the number of devices behind it."""

    key: str
    label: str
    number: int


def owner_word(account: Account | Standing) -> str:
    """Return what the pages call an account as an owner; a personal one is nobody else's, so it is the reader's."""
    return "You" if account.kind == Account.Kind.PERSONAL else account.name


@dataclass(slots=True)
class DeviceList:
    """One page of the Devices page; `feed` is what happened last, filled by messaging.

    `account` is the one whose devices alone are shown; `owners` are those to choose from, none where there is one account only.
    `silent_since`: the broker is not heard since then, so what lamps show is of that time; filled by messaging too.
    """

    user: User
    page: Page[_Certified]
    lines: Sequence[Line]
    chips: list[Chip]
    total: int
    online: int
    account: Standing | None = None
    may_register: bool = True
    owners: list[Chip] = field(default_factory=list)
    lamps: list[str] = field(default_factory=list)
    feed: Sequence[object] = ()
    silent_since: datetime | None = None

    @property
    def names_owners(self) -> bool:
        """Whether the lines say whose they are: not where all are one account's."""
        return bool(self.owners) and self.account is None


@dataclass(slots=True)
class DevicePage:
    """The page of one device; `more` is what apps on the right show on it, by the names that templates use."""

    user: User
    device: Device
    more: dict[str, object] = field(default_factory=dict)


def secret_of(device: Device) -> DeviceSecret | None:
    """Return what is known of the device's password, None if it has none."""
    return DeviceSecret.objects.filter(device=device).first()


def claim_code_of(device: Device) -> ClaimCode | None:
    """Return what is known of the code by which somebody can claim the device, None if none works."""
    code = getattr(device, "claim_code", None)
    return code if code is not None and code.expires_at > timezone.now() else None


def device_list(user: User, *, text: str = "", show: str = "", account_id: UUID | None = None, page: int | str = 1) -> DeviceList:
    """Return a page of the user's devices by name. `show`: "", "online", "offline" or a profile; `text`: in name or id.

    Raises:
        Http404: `account_id` is no account of the user's.
    """
    mine = {one.account_id: one for one in standings(user)}
    if account_id is not None and account_id not in mine:
        raise Http404("No such account.")
    devices = Device.objects.live().filter(account_id__in=list(mine))
    counts = _counts(devices)
    kinds, owned = _by_kind(counts, account_id), _by_account(counts)
    if account_id is not None:
        devices = devices.filter(account_id=account_id)
    total, online = (sum(values) for values in zip(*kinds.values(), strict=True)) if kinds else (0, 0)
    chips = [Chip("", "All", total), Chip("online", "Online", online), Chip("offline", "Offline", total - online)]
    if len(kinds) > 1:
        chips += [Chip(slug, name, kinds[slug][0]) for slug, name in _kind_names(user, kinds)]
    shown = _filtered(devices, text.strip(), show)
    counted = {"": total, "online": online, "offline": total - online}.get(show, kinds.get(show, (0, 0))[0])
    found = _page(shown, shown.count() if text.strip() else counted, page)
    lines = [_line(device, mine[device.account_id]) for device in found.object_list]
    listed = DeviceList(user, found, lines, chips, total, online)
    listed.lamps = _lamps(devices, lines, total) if total <= LAMPS else []
    if account_id is not None:
        listed.account = mine[account_id]
        listed.may_register = role_may(mine[account_id].role, Action.MANAGE)
    if len(mine) > 1:
        chips = [Chip(pk.hex, owner_word(one), owned.get(pk, 0)) for pk, one in mine.items()]
        listed.owners = [Chip("", "All owners", sum(owned.values())), *chips]
    return listed


@dataclass(frozen=True, slots=True)
class _Count:
    """Devices of one account and kind."""

    account_id: UUID
    profile: str
    total: int
    online: int


def _counts(devices: DeviceQuerySet) -> list[_Count]:
    rows = devices.order_by().values("account_id", "profile")
    return [_Count(**row) for row in rows.annotate(total=Count("pk"), online=Count("pk", filter=Q(presence__connected=True)))]


def _by_kind(counts: Iterable[_Count], account_id: UUID | None) -> dict[str, tuple[int, int]]:
    """Return how many devices of each kind there are, and how many of them are online: of one account, or of all."""
    found: dict[str, tuple[int, int]] = {}
    for one in counts:
        if account_id in {None, one.account_id}:
            total, online = found.get(one.profile, (0, 0))
            found[one.profile] = (total + one.total, online + one.online)
    return found


def _by_account(counts: Iterable[_Count]) -> dict[UUID, int]:
    found: dict[UUID, int] = {}
    for one in counts:
        found[one.account_id] = found.get(one.account_id, 0) + one.total
    return found


def _page(devices: QuerySet[Device], number: int, wanted: int | str) -> Page[_Certified]:
    """Return a page of the `number` devices, by name: all that their lines show in one query."""
    active = FilteredRelation("certificates", condition=Q(certificates__status=Certificate.Status.ACTIVE))
    joined = devices.select_related("presence", "own_profile").order_by(Lower("name"), "id").alias(active=active)
    certified = joined.annotate(key_algorithm=F("active__key_algorithm"), certified_until=F("active__not_after"))
    pages = Paginator(certified, PAGE_SIZE)
    vars(pages)["count"] = number  # a cached property, which would ask
    return cast("Page[_Certified]", pages.get_page(wanted))


def _line(device: _Certified, mine: Standing) -> Line:
    may_manage = role_may(mine.role, Action.MANAGE)
    return Line(device, owner_word(mine), may_manage, device.key_algorithm or "", device.certified_until)


def _kind_names(user: User, slugs: Iterable[str]) -> list[tuple[str, str]]:
    """Return slug and name of these kinds: shipped ones in their order, then the own ones."""
    shipped = [(one.slug, one.name) for one in all_profiles() if one.slug in slugs]
    others = set(slugs) - {slug for slug, _ in shipped}
    own = dict(OwnProfile.objects.for_user(user).filter(slug__in=others).values_list("slug", "name")) if others else {}
    return [*shipped, *own.items()]


def _filtered(devices: DeviceQuerySet, text: str, show: str) -> DeviceQuerySet:
    if show == "online":
        devices = devices.filter(presence__connected=True)
    elif show == "offline":
        devices = devices.exclude(presence__connected=True)
    elif show:
        devices = devices.filter(profile=show)
    if text:
        devices = devices.annotate(hex_id=Replace(Cast("id", CharField()), Value("-"), Value("")))
        devices = devices.filter(
            Q(name__icontains=text) | Q(hex_id__contains=text.lower().replace("-", ""))
            if text.strip("-")
            else Q(name__icontains=text)
        )
    return devices


def _lamps(devices: DeviceQuerySet, lines: Sequence[Line], total: int) -> list[str]:
    """Return the lamps of the whole fleet, however the list is filtered."""
    if len(lines) == total:
        return [line.lamp for line in lines]
    rows = devices.order_by(Lower("name"), "id").values_list("presence__connected", F("presence__connected_at"))
    return ["on" if connected else "" if seen else "wait" for connected, seen in rows]
