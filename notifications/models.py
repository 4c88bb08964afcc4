"""What is said to people and devices beside the live pages, and what became of it.

A **Notification** is one thing to be said to one recipient, for one cause, once: its `source` names what it is for (the history
row of a device's message, the event of an outage) and is unique, so whoever tells the same again finds it. It is its own outbox:

    queued     to be sent at `due_at`; a worker claims it by moving `due_at` ahead, so a claim that nobody ends expires by itself
    sent       a sender took it
    delivered  and said later that it arrived
    failed     it could not be sent, and trying again would not help
    refused    it may not be sent: nobody agreed to it, it is too much, it cannot be paid

    queued → sent → delivered,  queued → failed | refused,  sent → failed (a bounce);  nothing else, and a resend is a new one

An **Attempt** is one try of one sender with what came of it. A **Recipient** is an address outside of the account that its
devices may write to: it has confirmed that once. The addresses of the account's own people need no row. A webhook or another
service is a recipient too, by a name that its managers gave it; where it leads is sealed. A **Browser** is one that somebody
lets us push to. A **Suppression** is an address that is not written to, by one account (it unsubscribed) or by the whole portal
(it bounced, or complained). A **Lot** is what is left of so many messages, or parts of SMS, that were paid together. A
**Standard** is what a device says to whom where neither is given. A **Template** is what an operator says of an event in a
language, in place of what is shipped; a notification has its words from the moment on in which it is taken.
"""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from accounts.models import Account, User
from devices.models import Device
from iotportal.uuid7 import uuid7

ADDRESS_CHARACTERS = 254
MESSAGE_CHARACTERS = 4000  # of what is kept and sent; what is longer is cut and says so


class Channel(models.TextChoices):
    """How something is said."""

    EMAIL = "email", "E-mail"
    SMS = "sms", "SMS"
    DEVICE = "device", "Device"
    PUSH = "push", "Push"
    WEBHOOK = "webhook", "Webhook"
    APPRISE = "apprise", "Other service"


class Cause(models.TextChoices):
    """Why something is said."""

    DEVICE = "device", "A device asked"
    PERSON = "person", "A person asked"
    OFFLINE = "offline", "A device is offline"
    BACK = "back", "A device is back"
    CERTIFICATE = "certificate", "A certificate ends"
    CREDITS = "credits", "Credits run out"
    SIGN_IN = "sign_in", "A sign-in from a new place"
    COMMAND = "command", "A command failed"
    RULE = "rule", "A rule"
    CONFIRM = "confirm", "An address is asked to confirm"
    DIGEST = "digest", "Several in one"


class Status(models.TextChoices):
    """How far a notification is."""

    QUEUED = "queued"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    REFUSED = "refused"


class NotificationQuerySet(models.QuerySet["Notification"]):
    """Notifications, and whose they are."""

    def for_user(self, user: User) -> NotificationQuerySet:
        """Return those of all accounts of a user."""
        return self.filter(account__memberships__user=user)


class Notification(models.Model):
    """One thing said to one recipient."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="notifications", db_index=False)
    device = models.ForeignKey(Device, on_delete=models.CASCADE, null=True, related_name="notifications", db_index=False)
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")  # who asked, if a person did
    cause = models.CharField(max_length=12, choices=Cause)
    source = models.CharField(max_length=120, unique=True)
    recipient = models.CharField(max_length=ADDRESS_CHARACTERS)  # as it was asked for
    channel = models.CharField(max_length=8, choices=Channel, blank=True)  # "": the recipient is none
    address = models.CharField(max_length=ADDRESS_CHARACTERS, blank=True)  # in its normal form: lower case, E.164, 32 hex digits
    subject = models.CharField(max_length=200, blank=True)
    message = models.TextField(max_length=MESSAGE_CHARACTERS)
    html = models.TextField(blank=True, db_default="", default="")  # of a mail, escaped already; "": made of the message
    language = models.CharField(max_length=12, blank=True, db_default="", default="")  # in which it is written
    status = models.CharField(max_length=9, choices=Status, default=Status.QUEUED)
    reason = models.CharField(max_length=24, blank=True)  # why it failed, was refused, or waits: a code of notifications.reasons
    detail = models.CharField(max_length=300, blank=True)  # and in the words of who said so
    created_at = models.DateTimeField(default=timezone.now)
    asked_at = models.DateTimeField()  # when its cause happened: from here on it takes time
    sent_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)  # delivered, failed or refused
    urgent = models.BooleanField(default=False)  # goes out in quiet hours too
    # --- the outbox
    due_at = models.DateTimeField(default=timezone.now)
    claim = models.UUIDField(null=True, blank=True, editable=False)  # whose word on it counts
    claims = models.PositiveSmallIntegerField(default=0)
    tries = models.PositiveSmallIntegerField(default=0)
    # --- what it cost
    judged_at = models.DateTimeField(null=True, blank=True)  # counted against the limits, and paid
    credits = models.IntegerField(default=0)
    paid = models.BooleanField(default=False)  # for itself or out of a lot; False again once that was given back
    parts = models.PositiveSmallIntegerField(db_default=1, default=1)  # of an SMS: for how many it was paid
    shared = models.BooleanField(null=True)  # paid together with others, so its place is what is given back; None: not known

    objects = NotificationQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(channel__in=["", "email", "sms", "device", "push", "webhook", "apprise"]),
                name="notification_channel_known",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["queued", "sent", "delivered", "failed", "refused"]), name="notification_status_known"
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["sent", "delivered"]) | Q(sent_at__isnull=False), name="notification_sent_when"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["queued", "sent"], ended_at=None)
                | (~Q(status__in=["queued", "sent"]) & Q(ended_at__isnull=False)),
                name="notification_ended_when",
            ),
            models.CheckConstraint(condition=~Q(status__in=["failed", "refused"]) | ~Q(reason=""), name="notification_says_why"),
            models.CheckConstraint(condition=Q(credits__gte=0), name="notification_credits_not_negative"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["channel", "due_at"], name="notification_due_by", condition=Q(status="queued")),  # who claims
            models.Index(fields=["account", "-created_at", "-id"], name="notification_of_account"),  # the log
            models.Index(fields=["device", "-created_at", "-id"], name="notification_of_device"),  # the device's page
            models.Index(fields=["created_at"], name="notification_by_age"),  # what is too old is dropped
        ]

    def __str__(self) -> str:
        return f"{self.hex}: {self.status}"

    @property
    def device_name(self) -> str:
        """What its device is called; "" without one, and where it is another account's by now: what that calls it is not told."""
        return self.device.name if self.device is not None and self.device.account_id == self.account_id else ""

    @property
    def hex(self) -> str:
        """The id as addresses spell it: 32 lower-case hex digits."""
        return self.id.hex


class Attempt(models.Model):
    """One try of one sender."""

    class Outcome(models.TextChoices):
        ACCEPTED = "accepted", "taken"
        TEMPORARY = "temporary", "not now"
        PERMANENT = "permanent", "refused"

    notification = models.ForeignKey(Notification, on_delete=models.CASCADE, related_name="attempts")
    at = models.DateTimeField(default=timezone.now)
    sender = models.CharField(max_length=24)
    outcome = models.CharField(max_length=9, choices=Outcome)
    took_ms = models.FloatField()
    vendor_id = models.CharField(max_length=200, blank=True)  # what the sender calls it, for its receipts
    detail = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering: ClassVar = ["at", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(outcome__in=["accepted", "temporary", "permanent"]), name="attempt_outcome_known"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["sender", "vendor_id"], name="attempt_by_vendor_id", condition=~Q(vendor_id="")),  # receipts
        ]

    def __str__(self) -> str:
        return f"{self.sender}: {self.outcome}"


class Recipient(models.Model):
    """An address outside of the account that its devices may write to, once it has confirmed.

    Of a webhook and another service `address` is a name, and `sealed` what it stands for: URL and secret. Adding it is the yes.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="recipients")
    channel = models.CharField(max_length=8, choices=Channel)
    address = models.CharField(max_length=ADDRESS_CHARACTERS)
    sealed = models.BinaryField(null=True, editable=False)
    host = models.CharField(max_length=253, blank=True)  # whose it is, for people: the host of a webhook, the name of a service
    added_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    asked_at = models.DateTimeField(null=True, blank=True)  # when it was last asked to confirm
    confirmed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["address"]
        constraints: ClassVar = [
            models.UniqueConstraint("account", "channel", Lower("address"), name="recipient_once"),
            models.CheckConstraint(
                condition=Q(channel__in=["email", "sms"], sealed=None)
                | Q(channel__in=["webhook", "apprise"], sealed__isnull=False, confirmed_at__isnull=False),
                name="recipient_channel_known",
            ),
        ]

    def __str__(self) -> str:
        return self.address

    @property
    def hex(self) -> str:
        """The id as addresses spell it: 32 lower-case hex digits."""
        return self.id.hex

    @property
    def spelled(self) -> str:
        """The recipient as devices name it."""
        return f"{self.channel}:{self.address}" if self.channel in {Channel.WEBHOOK, Channel.APPRISE} else self.address


class Browser(models.Model):
    """A browser that somebody lets the portal push to (W3C Push API); its push service takes what is encrypted to its keys."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="browsers")
    name = models.CharField(max_length=60)
    endpoint = models.CharField(max_length=1000, unique=True)
    p256dh = models.CharField(max_length=100)  # its public key, base64url
    auth = models.CharField(max_length=32)  # what it shares with us alone, base64url (RFC 8291)
    created_at = models.DateTimeField(default=timezone.now)
    pushed_at = models.DateTimeField(null=True, blank=True)  # when its push service last took something

    class Meta:
        ordering: ClassVar = ["created_at", "id"]

    def __str__(self) -> str:
        return self.name

    @property
    def hex(self) -> str:
        """The id as addresses spell it: 32 lower-case hex digits."""
        return self.id.hex


class Suppression(models.Model):
    """An address that is not written to; without an account: by nobody."""

    class Reason(models.TextChoices):
        UNSUBSCRIBED = "unsubscribed"
        BOUNCED = "bounced"
        COMPLAINED = "complained"
        OPERATOR = "operator", "an operator's decision"

    account = models.ForeignKey(Account, on_delete=models.CASCADE, null=True, blank=True, related_name="suppressions")
    channel = models.CharField(max_length=8, choices=Channel)
    address = models.CharField(max_length=ADDRESS_CHARACTERS)
    reason = models.CharField(max_length=12, choices=Reason)
    detail = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["channel", "address", "account"], name="suppression_once", nulls_distinct=False
            ),  # also the look-up before each sending
            models.CheckConstraint(
                condition=Q(reason__in=["unsubscribed", "bounced", "complained", "operator"]), name="suppression_reason_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.address}: {self.reason}"


class Lot(models.Model):
    """What is left of so many messages of one kind that were paid together."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="lots", db_index=False)
    item = models.CharField(max_length=16)  # of billing.models.Price
    left = models.IntegerField(default=0)
    per = models.IntegerField(default=1)  # how many were paid together last

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "item"], name="lot_once"),
            models.CheckConstraint(condition=Q(left__gte=0), name="lot_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.item}: {self.left}"


class Standard(models.Model):
    """To whom a device writes, and what, where neither is given."""

    device = models.OneToOneField(Device, on_delete=models.CASCADE, primary_key=True, related_name="standard_notification")
    recipient = models.CharField(max_length=ADDRESS_CHARACTERS, blank=True)
    message = models.CharField(max_length=1000, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.device_id}: {self.recipient}"


class Preference(models.Model):
    """Whether somebody wants to hear of a kind of event by a channel; without a row they do by mail and push."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="notification_preferences", db_index=False)
    cause = models.CharField(max_length=12, choices=Cause)
    channel = models.CharField(max_length=8, choices=Channel, default=Channel.EMAIL)
    wanted = models.BooleanField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "cause", "channel"], name="preference_once")]

    def __str__(self) -> str:
        return f"{self.cause} by {self.channel}: {'yes' if self.wanted else 'no'}"


class QuietHours(models.Model):
    """From when to when, by the clock of their own time zone, somebody is told only what is urgent; over midnight where it ends
    before it begins.
    """

    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True, related_name="quiet_hours")
    starts = models.TimeField()
    ends = models.TimeField()

    class Meta:
        constraints: ClassVar = [models.CheckConstraint(condition=~Q(starts=models.F("ends")), name="quiet_hours_are_some")]

    def __str__(self) -> str:
        return f"{self.starts:%H:%M} to {self.ends:%H:%M}"


ANY = "*"  # of a rule: every command


class Comparison(models.TextChoices):
    """How what a device says is compared."""

    IS = "eq", "is"
    IS_NOT = "ne", "is not"
    BELOW = "lt", "is below"
    ABOVE = "gt", "is above"
    CHANGES = "changes", "changes"
    FAILS = "fails", "fails"  # a command to the device, not what it says


class Rule(models.Model):
    """Tell somebody when a device says something: its `api` with a `field` that compares so with a value.

    Where a command to the device `fails`, `api` is the command's, or ANY, and there is no field to compare.
    `only_field` and `only_value` narrow it to messages in which that field has that value: one pin of many. It is told at most
    once in `every_minutes`. "Changes" is against what was last told, so what changed meanwhile is told afterwards.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="notification_rules")
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="notification_rules", db_index=False)
    api = models.CharField(max_length=64)
    field = models.CharField(max_length=64)  # of its JSON object; a.b is b of the object a
    comparison = models.CharField(max_length=8, choices=Comparison)
    value = models.CharField(max_length=100, blank=True)
    only_field = models.CharField(max_length=64, blank=True)
    only_value = models.CharField(max_length=100, blank=True)
    recipient = models.CharField(max_length=ADDRESS_CHARACTERS)
    message = models.CharField(max_length=1000, blank=True)  # with gaps like {value}; empty: the usual words
    every_minutes = models.PositiveIntegerField(default=15)
    urgent = models.BooleanField(default=False)
    enabled = models.BooleanField(default=True)
    made_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    told_at = models.DateTimeField(null=True, blank=True, editable=False)  # the time of the message that was told last
    told_value = models.CharField(max_length=200, null=True, editable=False)  # noqa: DJ001  # None: nothing was heard yet

    class Meta:
        ordering: ClassVar = ["created_at", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(comparison__in=["eq", "ne", "lt", "gt", "changes", "fails"]), name="rule_comparison_known"
            ),
            models.CheckConstraint(condition=Q(every_minutes__range=(1, 10_080)), name="rule_pace_within_a_week"),
            models.CheckConstraint(condition=~Q(field="") & ~Q(api=""), name="rule_says_what"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["device"], name="rule_of_device", condition=Q(enabled=True)),  # the bridge, for each batch
        ]

    def __str__(self) -> str:
        return f"{self.api}.{self.field} {self.comparison} {self.value}"

    @property
    def hex(self) -> str:
        """The id as addresses spell it: 32 lower-case hex digits."""
        return self.id.hex

    @property
    def condition(self) -> str:
        """What it waits for, in words."""
        if self.comparison == Comparison.FAILS:
            return "any command fails" if self.api == ANY else f"the command {self.api} fails"
        only = f" where {self.only_field} is {self.only_value}" if self.only_field else ""
        return f"{self.api}{only}: {self.field} {Comparison(self.comparison).label} {self.value}".rstrip()


class Tariff(models.Model):
    """What a sender asks of the operator for one message to a country, from a moment on; all in one currency, the operator's."""

    sender = models.CharField(max_length=24)
    country = models.CharField(max_length=2, blank=True, default="", help_text="Two letters (ISO 3166-1); empty: everywhere else")
    amount = models.DecimalField(max_digits=10, decimal_places=5)
    starts_at = models.DateTimeField("starts")

    class Meta:
        ordering: ClassVar = ["sender", "country", "-starts_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["sender", "country", "starts_at"], name="tariff_once"),
            models.CheckConstraint(condition=Q(country__regex=r"^([A-Z]{2})?$"), name="tariff_country_known"),
            models.CheckConstraint(condition=Q(amount__gte=0), name="tariff_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.sender}{f' ({self.country})' if self.country else ''}: {self.amount}"


class SenderHealth(models.Model):
    """How a sender is: written when it fails, and when it takes something after that."""

    sender = models.CharField(max_length=24, primary_key=True)
    failures = models.PositiveIntegerField(default=0)  # in a row
    avoided_until = models.DateTimeField(null=True, blank=True)  # asked only after those that are well
    failed_at = models.DateTimeField(null=True, blank=True)
    recovered_at = models.DateTimeField(null=True, blank=True)
    detail = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering: ClassVar = ["sender"]
        verbose_name_plural = "sender health"

    def __str__(self) -> str:
        return f"{self.sender}: {self.failures} failures"


class Template(models.Model):
    """What is said of an event in a language, with gaps for its variables, in place of what is shipped."""

    event = models.CharField(max_length=16)  # of notifications.templating.events
    language = models.CharField(max_length=12)
    subject = models.CharField(max_length=200)
    text = models.TextField(max_length=MESSAGE_CHARACTERS)
    short = models.TextField("SMS", max_length=459, blank=True)
    html = models.TextField("HTML", max_length=20_000, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering: ClassVar = ["event", "language"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["event", "language"], name="template_once", violation_error_message="There is one already: change that."
            ),
            models.CheckConstraint(condition=~Q(subject="") & ~Q(text=""), name="template_says_something"),
        ]

    def __str__(self) -> str:
        return f"{self.event} ({self.language})"
