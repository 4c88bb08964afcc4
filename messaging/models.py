"""What was said, what came of it, and what is known now.

A **Message** is one MQTT message as it passed the broker, to or from a device: the history. A **Command** is one question of the
portal with its timeline and outcome. Both are partitioned by month (`messaging.partitions`), are only ever inserted (a command
may later learn of a late answer), and are read by key set on (time, id); their ids are UUIDv7, so they sort by time.
They name the device and the account without a foreign key: partitions are dropped whole, and a deleted device keeps its history.

A **Presence** says, apart from one another, whether the broker holds a connection of the device, when its last message came, and
what it last answered. A **PresenceChange** is one coming or going, written with the state it made; a **PresenceWatch** is a span
of time in which none could be missed: outside of all watches nothing is known. A **Reading** is the last value the device itself
confirmed for one thing (a pin, its clock, an address).

An **Emulator** is a device that the portal plays for one person.

A **JournalEntry** remembers which message of the bridge's MQTT session was written, in the transaction that wrote it: MQTT gives
a message no identity of its own, so this is what makes a message that is delivered twice count once (see docs/adr/0003).
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from accounts.models import User
from devices.models import Device
from iotportal.uuid7 import uuid7
from messaging import reasons

LONGEST_OFFLINE_MINUTES = 7 * 24 * 60


class Direction(models.TextChoices):
    """Which way a message went."""

    TO = "to", "To"
    FROM = "from", "From"


class Message(models.Model):
    """One message that passed the broker."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)  # in the database the key is (id, time)
    time = models.DateTimeField()
    account_id = models.UUIDField()
    device_id = models.UUIDField()
    direction = models.CharField(max_length=4, choices=Direction)
    api = models.CharField(max_length=64)
    payload = models.TextField()  # bytes that are not text are escaped as \xNN; `raw` then has them as they came
    raw = models.BinaryField(null=True)
    size_bytes = models.IntegerField()  # as it came; `payload` is cut at 16 KiB
    malformed = models.BooleanField(default=False)

    class Meta:
        managed = False
        db_table = "messaging_message"
        ordering: ClassVar = ["-time", "-id"]

    def __str__(self) -> str:
        return f"{self.direction} {self.device_id.hex} {self.api}"

    @property
    def topic(self) -> str:
        """The topic it was published on."""
        return topic(self.device_id.hex, self.direction, self.api)


def topic(device: str, direction: str, api: str) -> str:
    """Return the topic of a message to or from `device` (32 hex digits)."""
    return f"{device}/{api}" if direction == Direction.TO else f"server/{device}/{api}"


class Outcome(models.TextChoices):
    """How a command ended."""

    ANSWERED = "answered", "answered"
    TIMEOUT = "timeout", "no answer"
    MALFORMED = "malformed", "malformed answer"
    DEVICE_ERROR = "device_error", "error from the device"
    ABANDONED = "abandoned", "the caller went away"
    DISCONNECTED = "disconnected", "the portal lost the broker"


class Command(models.Model):
    """One command with its timeline; the `_ms` are milliseconds after `time`, when it was accepted."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)  # in the database the key is (id, time)
    time = models.DateTimeField()
    account_id = models.UUIDField()
    device_id = models.UUIDField()
    user_id = models.BigIntegerField(null=True)
    api = models.CharField(max_length=64)
    payload = models.TextField()  # exactly what was published
    outcome = models.CharField(max_length=12, choices=Outcome)
    answer = models.TextField(null=True)  # noqa: DJ001  # none came is not the same as an empty one
    attempts = models.SmallIntegerField(default=1)
    timeout_s = models.FloatField()
    sent_ms = models.FloatField(null=True)
    broker_ms = models.FloatField(null=True)
    answered_ms = models.FloatField(null=True)
    delivered_ms = models.FloatField(null=True)
    late_ms = models.FloatField(null=True)  # an answer that came after the caller had given up

    class Meta:
        managed = False
        db_table = "messaging_command"
        ordering: ClassVar = ["-time", "-id"]

    def __str__(self) -> str:
        return f"{self.api} {self.outcome}"


class Presence(models.Model):
    """What is known of a device's connection."""

    device = models.OneToOneField(Device, on_delete=models.CASCADE, primary_key=True, related_name="presence")
    # What the broker knows. Epoch and sequence are of its last announcement: wall clocks may be set back, these cannot.
    connected = models.BooleanField(default=False)
    connected_at = models.DateTimeField(null=True)
    disconnected_at = models.DateTimeField(null=True)
    disconnect_reason = models.CharField(max_length=16, blank=True)  # messaging.broker.connection.Reason, or "broker"
    address = models.GenericIPAddressField(null=True)
    protocol = models.CharField(max_length=24, blank=True)
    tls = models.CharField(max_length=16, blank=True)
    epoch = models.BigIntegerField(default=0)
    sequence = models.BigIntegerField(default=0)
    refused_at = models.DateTimeField(null=True)  # it wanted in and was not let in
    refused_reason = models.CharField(max_length=80, blank=True)
    # What it said.
    last_message_at = models.DateTimeField(null=True)
    # What it answered: to the last get_status, and to any command.
    running = models.BooleanField(null=True)  # the last get_status was answered; None: never asked
    asked_at = models.DateTimeField(null=True)
    answered_ms = models.FloatField(null=True)  # of the last get_status that was answered
    last_answer_at = models.DateTimeField(null=True)
    last_answer_api = models.CharField(max_length=64, blank=True)
    last_answer_ms = models.FloatField(null=True)
    # What its owner wants to be told, and whether he was, of the outage that is going on (messaging.services.presence).
    offline_after_minutes = models.PositiveIntegerField(null=True, blank=True)
    offline_told_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(offline_after_minutes=None)
                | Q(offline_after_minutes__gte=1, offline_after_minutes__lte=LONGEST_OFFLINE_MINUTES),
                name="presence_offline_limit_sane",
            ),
            models.CheckConstraint(
                condition=Q(offline_told_at=None) | Q(offline_after_minutes__isnull=False), name="presence_told_who_asked"
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["device"], name="presence_connected", condition=Q(connected=True)
            ),  # the bridge's reset after a broker restart
            models.Index(
                fields=["disconnected_at"],
                name="presence_to_tell",
                condition=Q(connected=False, offline_told_at=None, offline_after_minutes__isnull=False),
            ),  # who is about to be offline for too long
            models.Index(
                fields=["device"], name="presence_back", condition=Q(connected=True, offline_told_at__isnull=False)
            ),  # who has come back
        ]

    def __str__(self) -> str:
        return f"{self.device_id}: {'connected' if self.connected else 'not connected'}"

    @property
    def reason_text(self) -> str:
        """Why its last connection ended, in a few words; empty where none did or it left on purpose."""
        return "" if self.disconnect_reason == "goodbye" else reasons.in_words(self.disconnect_reason)

    @property
    def reason_meaning(self) -> str:
        """What that means, in a sentence; may be empty."""
        return reasons.explained(self.disconnect_reason)

    @property
    def last_heard_at(self) -> datetime | None:
        """When the device gave its last sign of life: a message, or that it connected."""
        return max((at for at in (self.last_message_at, self.connected_at) if at), default=None)


class PresenceState(models.TextChoices):
    """What a device is from a change on, as far as the broker knows."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    UNKNOWN = "unknown"  # what was before the oldest change that is kept


class PresenceChange(models.Model):
    """A device came or went. Only inserted, by the bridge, in the order in which it happened: that is the order of the ids."""

    id = models.BigAutoField(primary_key=True)
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="presence_changes")
    time = models.DateTimeField()
    state = models.CharField(max_length=12, choices=PresenceState)
    reason = models.CharField(max_length=16, blank=True)  # why it went
    address = models.GenericIPAddressField(null=True)  # where it came from

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=PresenceState.values), name="presence_change_state_known"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["device", "-time", "-id"], name="presence_change_of_device"),
            models.Index(fields=["time"], name="presence_change_by_time"),  # what is too old is dropped
        ]

    def __str__(self) -> str:
        return f"{self.device_id}: {self.state}"


class PresenceWatch(models.Model):
    """A span of time in which the portal heard of every coming and going; the newest is the one that goes on."""

    began = models.DateTimeField()
    until = models.DateTimeField()  # moved on every few seconds by the bridge
    lost = models.BooleanField(default=False)  # the bridge has no connection to the broker: it goes on when that is back

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [models.CheckConstraint(condition=Q(until__gte=F("began")), name="presence_watch_goes_on")]

    def __str__(self) -> str:
        return f"{self.began} – {self.until}"


class Reading(models.Model):
    """The last value of one thing of a device, as the device said it."""

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="readings")
    key = models.CharField(max_length=80)  # "gpio/10", "rtc", "ip", "subnet", "gateway", "mac"
    value = models.JSONField()
    at = models.DateTimeField()
    elapsed_ms = models.FloatField(null=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["device", "key"], name="reading_once")]

    def __str__(self) -> str:
        return f"{self.key} = {self.value}"


class JournalEntry(models.Model):
    """A message of the bridge's MQTT session that is in the history."""

    pk = models.CompositePrimaryKey("session", "packet_id")
    session = models.CharField(max_length=64)
    packet_id = models.IntegerField()
    crc = models.BigIntegerField()
    sequence = models.BigIntegerField()
    message_id = models.UUIDField(null=True)  # the history row; None: the position, see messaging.bridge.journal

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["session", "sequence"], name="journal_by_sequence")
        ]  # the bridge drops what is old

    def __str__(self) -> str:
        return f"{self.session} {self.packet_id}"


class BrokerConnection(models.Model):
    """A device's open connection to RabbitMQ, which says of one that ends only its name (see messaging.rabbitmq.presence)."""

    name = models.CharField(primary_key=True, max_length=255)
    device_id = models.UUIDField()  # no foreign key: a deleted device's connection is cut after its row has gone
    opened_at = models.DateTimeField()
    cause = models.CharField(max_length=16, default="", blank=True)  # why we cut it, for the event of its end

    class Meta:
        indexes: ClassVar = [models.Index(fields=["device_id"], name="broker_connection_by_device")]

    def __str__(self) -> str:
        return self.name


class EmulatorState(models.TextChoices):
    """How an emulator is, by the process that runs it."""

    STARTING = "starting", "Starting"
    RUNNING = "running", "Running"
    TROUBLE = "trouble", "Not connected"


class Emulator(models.Model):
    """A device that the portal itself plays, for one person; while the row is there it is to run (see messaging.emulators)."""

    device = models.OneToOneField(Device, on_delete=models.CASCADE, primary_key=True, related_name="emulator")
    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="emulator")  # who started it: one each
    started_at = models.DateTimeField()
    used_at = models.DateTimeField()  # the last command or touch: one that nobody uses is stopped
    counted_at = models.DateTimeField(null=True)  # up to when its time is on its account's meter; none: it was never played
    state = models.CharField(max_length=8, choices=EmulatorState, default=EmulatorState.STARTING)
    said = models.CharField(max_length=400, blank=True)  # why it is not connected
    board = models.JSONField(default=dict)  # pins, UART and so on, for the page and for the next process
    faults = models.JSONField(default=dict)  # what simulators.faults.Faults is made with

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=EmulatorState.values), name="emulator_state_known"),
        ]

    def __str__(self) -> str:
        return f"{self.device_id}: {self.state}"
