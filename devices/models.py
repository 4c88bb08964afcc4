"""The registry of devices and their identity.

A **Device** belongs to one account and has a name that is unique among the account's live devices. Its id is 128 random bits;
as 32 hex digits it is the CN of its certificate, its MQTT client id and the first level of its topics. Deleting a device
revokes its certificates and keeps the row (`deleted_at`), because its history stays readable.

A **Certificate** was issued to one device. A device has at most one `active` certificate, the one it is to use, and at most one
`retiring`, which a renewal left good until the device has been seen with the new one, or until `retires_at`.

    active ──renewal──▶ retiring ──seen, or too late──▶ revoked
       └─────────────────revocation──────────────────────┘         nothing leads back

An expired certificate stays `active` and is refused by its dates. A public key is one device's alone while any certificate with
it is not revoked.

A **DeviceSecret** lets in a device that cannot hold a certificate, where its owner wants that; a **RevocationList** is what each
issuing CA publishes.

A **Pin** is a GPIO that somebody used or named; its last value lives with the other readings in `messaging`.

An **OwnProfile** is a kind of device that an account has described itself; each save of it is a **ProfileVersion**, which never
changes, so that what was begun by one version can be ended by it, and an older one can be had back. A device names its kind by
slug; with `own_profile` that is the slug of the account's own one, otherwise of a shipped one (`devices.profiles`).

A **ClaimCode** gives a device to whoever types it in: once, and not for ever; its hash alone is kept.

A **DeviceJob** registers many devices, one for each of its **DeviceJobLine**s; it ends by itself, or is cancelled, and what it
made until then stays.

A **DeviceEvent** is one line of a device's timeline: what happened to it besides messages and connections (`devices.events`).
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeOperators
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils import timezone

from accounts.access import Action, roles_for
from accounts.models import Account, User
from iotportal.uuid7 import uuid7

SHARED_SHOWN = timedelta(days=7)  # for so long a device's page says that its certificate was seen in two places


class OwnProfileQuerySet(models.QuerySet["OwnProfile"]):
    """The reads of people's own profiles."""

    def for_user(self, user: User, action: Action = Action.READ) -> Self:
        """Return the profiles with which `user` may do `action`."""
        return self.filter(account_id__in=user.memberships.filter(role__in=roles_for(action)).values("account_id"))


class OwnProfile(models.Model):
    """A kind of device that an account has described itself."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="profiles")
    slug = models.SlugField(max_length=40, editable=False)  # never changes: devices name it
    name = models.CharField(max_length=60)  # as in the document of the newest version
    version = models.PositiveIntegerField(default=1)  # the number of the newest one, which is in force
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(default=timezone.now)

    objects = OwnProfileQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["name", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "slug"], name="own_profile_slug_unique"),
            models.CheckConstraint(condition=Q(slug__regex=r"^[a-z][a-z0-9-]{0,39}$"), name="own_profile_slug_plain"),
            models.CheckConstraint(condition=Q(version__gte=1), name="own_profile_version_counts"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def hex(self) -> str:
        """The id as addresses spell it: 32 lower-case hex digits."""
        return self.id.hex


class ProfileVersion(models.Model):
    """What an own profile said from one save to the next."""

    profile = models.ForeignKey(OwnProfile, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    document = models.JSONField()  # checked by devices.profile_check; its apis as a list, for JSONB forgets the order of keys
    saved_at = models.DateTimeField(auto_now_add=True)
    saved_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering: ClassVar = ["-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["profile", "number"], name="profile_version_once"),
            models.CheckConstraint(condition=Q(document__has_keys=["slug", "name", "apis"]), name="profile_version_whole"),
        ]

    def __str__(self) -> str:
        return f"{self.profile}, version {self.number}"


class DeviceQuerySet(models.QuerySet["Device"]):
    """The reads of the registry."""

    def live(self) -> Self:
        """Return the devices that were not deleted."""
        return self.filter(deleted_at=None)

    def for_user(self, user: User, action: Action = Action.READ) -> Self:
        """Return the live devices with which `user` may do `action`."""
        accounts = user.memberships.filter(role__in=roles_for(action)).values("account_id")
        return self.live().filter(account_id__in=accounts)


class Device(models.Model):
    """A microcontroller that the portal can reach."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="devices")
    name = models.CharField(max_length=80)
    profile = models.SlugField(max_length=40, default="standard")
    own_profile = models.ForeignKey(
        OwnProfile, on_delete=models.PROTECT, null=True, blank=True, editable=False, related_name="devices"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)
    moved_at = models.DateTimeField(null=True, blank=True, editable=False)  # to this account; what was before is another's

    objects = DeviceQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["created_at", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                "account",
                Lower("name"),
                name="device_name_unique",
                condition=Q(deleted_at=None),
                violation_error_message="You have a device of that name already.",
            ),
            models.CheckConstraint(condition=~Q(name=""), name="device_name_given"),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["account", "created_at", "id"], name="device_of_account", condition=Q(deleted_at=None)
            ),  # the Devices page
            models.Index(fields=["moved_at"], name="device_moved_lately", condition=Q(moved_at__isnull=False)),  # the bridge
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def hex(self) -> str:
        """The id as devices and topics spell it: 32 lower-case hex digits."""
        return self.id.hex


class Certificate(models.Model):
    """An X.509 certificate issued to a device."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        RETIRING = "retiring"
        REVOKED = "revoked"

    class KeyOrigin(models.TextChoices):
        PORTAL = "portal", "made by the portal"
        DEVICE = "device", "made on the device"

    class Reason(models.TextChoices):
        """Why it was revoked, as RFC 5280, 5.3.1 names it."""

        UNSPECIFIED = "unspecified", "another reason"
        KEY_COMPROMISE = "key_compromise", "the key or the device was lost or stolen"
        SUPERSEDED = "superseded", "replaced by a newer one"
        CESSATION = "cessation_of_operation", "the device is out of use"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="certificates")
    issuer = models.CharField(max_length=40)  # key identifier of the issuing CA, hex
    serial = models.CharField(max_length=40, unique=True)  # hex
    fingerprint = models.CharField(max_length=64, unique=True)  # SHA-256 of the DER form, hex
    key_algorithm = models.CharField(max_length=16)
    key_bits = models.PositiveSmallIntegerField()
    key_hash = models.CharField(max_length=64)  # SHA-256 of the public key, hex
    key_origin = models.CharField(max_length=8, choices=KeyOrigin, default=KeyOrigin.PORTAL)
    pem = models.TextField()
    sealed_key = models.BinaryField(null=True, editable=False)  # AES-GCM, see devices.sealing; None: the portal does not have it
    status = models.CharField(max_length=8, choices=Status, default=Status.ACTIVE)
    not_before = models.DateTimeField()
    not_after = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    used_at = models.DateTimeField(null=True, blank=True)  # first seen at the broker
    retires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    revocation_reason = models.CharField(max_length=24, choices=Reason, blank=True)
    warned_days = models.PositiveSmallIntegerField(null=True, blank=True)  # of the last warning that it ends soon
    tried_at = models.DateTimeField(null=True, blank=True)  # the device came with it after its end, and was refused
    rescued_until = models.DateTimeField(null=True, blank=True)  # until then its owner lets it in although it has ended
    shared_at = models.DateTimeField(null=True, blank=True)  # last seen in use in two places at once

    class Meta:
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["device"], name="certificate_one_active", condition=Q(status="active")),
            models.UniqueConstraint(fields=["device"], name="certificate_one_retiring", condition=Q(status="retiring")),
            models.CheckConstraint(condition=Q(status__in=["active", "retiring", "revoked"]), name="certificate_status_known"),
            models.CheckConstraint(
                condition=Q(status="active", retires_at=None, revoked_at=None, revocation_reason="")
                | Q(status="retiring", retires_at__isnull=False, revoked_at=None, revocation_reason="")
                | Q(status="revoked", revoked_at__isnull=False)
                & Q(revocation_reason__in=["unspecified", "key_compromise", "superseded", "cessation_of_operation"]),
                name="certificate_revoked_when",
            ),
            models.CheckConstraint(condition=Q(key_origin__in=["portal", "device"]), name="certificate_key_origin_known"),
            ExclusionConstraint(
                name="certificate_key_of_one_device",
                expressions=[("key_hash", RangeOperators.EQUAL), ("device", RangeOperators.NOT_EQUAL)],
                condition=~Q(status="revoked"),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["key_hash"], name="certificate_by_key"),  # was this key ever revoked?
            models.Index(fields=["issuer", "not_after"], name="certificate_of_issuer"),  # revocation lists
            models.Index(fields=["not_after"], name="certificate_by_end", condition=Q(status="active")),  # who is to be warned
            models.Index(fields=["retires_at"], name="certificate_to_retire", condition=Q(status="retiring")),
        ]

    def __str__(self) -> str:
        return f"{self.device}: {self.serial}"

    @property
    def ends_at(self) -> datetime:
        """From when on the broker refuses it, if nobody revokes it before."""
        if self.status == self.Status.RETIRING and self.retires_at is not None:
            return self.retires_at
        return max(self.not_after, self.rescued_until or self.not_after)

    def is_valid(self, now: datetime | None = None) -> bool:
        """Say whether the certificate opens the door at `now`."""
        now = now or timezone.now()
        return self.status != self.Status.REVOKED and self.not_before <= now < self.ends_at

    @property
    def shared_lately(self) -> bool:
        """Say whether it was seen in two places at once in the last days."""
        return self.shared_at is not None and timezone.now() - self.shared_at < SHARED_SHOWN

    def is_expired(self, now: datetime | None = None) -> bool:
        """Say whether it would open the door, were it not past its end."""
        return self.status == self.Status.ACTIVE and self.not_after <= (now or timezone.now())


class DeviceSecret(models.Model):
    """The password of a device that cannot hold a certificate; it has 256 random bits and is kept as a keyed hash."""

    device = models.OneToOneField(Device, on_delete=models.CASCADE, primary_key=True, related_name="secret")
    secret_hash = models.CharField(max_length=64, editable=False)  # devices.services.secrets.secret_hash
    created_at = models.DateTimeField(default=timezone.now)
    used_at = models.DateTimeField(null=True, blank=True)  # first seen at the broker

    def __str__(self) -> str:
        return f"secret of {self.device_id}"


class RevocationList(models.Model):
    """The signed list of an issuing CA's revoked certificates, as it is published."""

    issuer = models.CharField(max_length=40, primary_key=True)  # key identifier of the CA, hex
    number = models.BigIntegerField(default=0)  # RFC 5280, 5.2.3: goes up with every list
    der = models.BinaryField()
    this_update = models.DateTimeField()
    next_update = models.DateTimeField()

    def __str__(self) -> str:
        return f"CRL {self.number} of {self.issuer}"


class Pin(models.Model):
    """A GPIO of a device that has a name or was used before."""

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="pins")
    number = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=60, blank=True)

    class Meta:
        ordering: ClassVar = ["number"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["device", "number"], name="pin_once")]

    def __str__(self) -> str:
        return self.name or f"GPIO {self.number}"


class ClaimCode(models.Model):
    """The code by which somebody can make a device theirs; it goes when it is used."""

    device = models.OneToOneField(Device, on_delete=models.CASCADE, primary_key=True, related_name="claim_code")
    code_hash = models.CharField(max_length=64, unique=True)  # SHA-256, hex
    made_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(expires_at__gt=F("created_at")), name="claim_code_lasts"),
        ]

    def __str__(self) -> str:
        return f"claim code of {self.device_id}"


class DeviceJob(models.Model):
    """The registration of many devices of one account."""

    class Status(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        CANCELLED = "cancelled"
        STOPPED = "stopped"  # it could not go on; `why` says why

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="device_jobs")
    by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    status = models.CharField(max_length=9, choices=Status, default=Status.RUNNING)
    why = models.CharField(max_length=200, blank=True)
    failures = models.PositiveSmallIntegerField(default=0)  # of its next lines in a row, for reasons that nobody foresaw
    archive_sha256 = models.CharField(max_length=64, blank=True)  # of the newest archive, hex
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account"], name="device_job_one_running", condition=Q(status="running")),
            models.CheckConstraint(condition=Q(status="running") ^ Q(ended_at__isnull=False), name="device_job_ends"),
        ]

    def __str__(self) -> str:
        return f"job {self.hex}: {self.status}"

    @property
    def hex(self) -> str:
        """The id as addresses spell it: 32 lower-case hex digits."""
        return self.id.hex


class DeviceJobLine(models.Model):
    """One device that a job is to register: it has the device, or says why there is none, or is still to be done."""

    job = models.ForeignKey(DeviceJob, on_delete=models.CASCADE, related_name="lines")
    number = models.PositiveIntegerField()
    name = models.CharField(max_length=80)
    profile = models.CharField(max_length=40)
    # With the device goes the line, which would look undone without it.
    device = models.OneToOneField(Device, on_delete=models.CASCADE, null=True, blank=True, related_name="job_line")
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering: ClassVar = ["number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["job", "number"], name="device_job_line_once"),
            models.CheckConstraint(condition=Q(device=None) | Q(error=""), name="device_job_line_made_or_not"),
        ]

    def __str__(self) -> str:
        return f"line {self.number}: {self.name}"


class EventKind(models.TextChoices):
    """What can happen to a device."""

    REGISTERED = "registered"
    RENAMED = "renamed"
    PROFILE_CHANGED = "profile_changed"
    CLAIMED = "claimed"
    CERTIFICATE_ISSUED = "certificate_issued"
    CERTIFICATE_RENEWED = "certificate_renewed", "certificate renewed"
    CERTIFICATE_REVOKED = "certificate_revoked"
    CERTIFICATE_RETIRED = "certificate_retired", "old certificate retired"  # the end of a renewal's overlap
    CERTIFICATE_EXPIRING = "certificate_expiring", "certificate ends soon"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_RESCUED = "certificate_rescued", "expired certificate let in again"
    CERTIFICATE_SHARED = "certificate_shared", "one certificate used from two places"
    KEY_FORGOTTEN = "key_forgotten", "kept key destroyed"
    SECRET_ISSUED = "secret_issued", "device password issued"
    SECRET_REVOKED = "secret_revoked", "device password revoked"
    CUT = "cut", "connection cut"
    REFUSED = "refused", "connection refused"
    OFFLINE = "offline", "offline for too long"
    BACK = "back", "back after being offline for too long"


def since_moved(device: Device | None = None) -> Q:
    """Return what picks the rows (with `device` and `time`) since each device came to its account: earlier ones are another's.

    Where all rows are those of one `device`, its own moment is the bound, and an index on (device, time) ends there.
    """
    if device is None:
        return Q(device__moved_at=None) | Q(time__gte=F("device__moved_at"))
    return Q() if device.moved_at is None else Q(time__gte=device.moved_at)


class DeviceEvent(models.Model):
    """One thing that happened to a device; written by `devices.events.record` and never changed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="events")
    time = models.DateTimeField(default=timezone.now)
    kind = models.CharField(max_length=24, choices=EventKind)
    detail = models.JSONField(default=dict, blank=True)  # a flat object: what the sentence of this kind needs to name

    class Meta:
        ordering: ClassVar = ["-time", "-id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(kind__in=EventKind.values), name="device_event_kind_known"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["device", "-time", "-id"], name="device_event_of_device"),  # the timeline
            models.Index(fields=["time"], name="device_event_by_time"),  # what is too old is dropped
        ]

    def __str__(self) -> str:
        return f"{self.device_id}: {self.kind}"
