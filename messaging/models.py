"""What was said, what came of it, and what is known now.

A **Message** is one MQTT message as it passed the broker, to or from a device: the history. A **Command** is one question of the
portal with its timeline and outcome. Both are partitioned by month (`messaging.partitions`), are only ever inserted (a command
may later learn of a late answer), and are read by key set on (time, id); their ids are UUIDv7, so they sort by time.
They name the device and the account without a foreign key: partitions are dropped whole, and a deleted device keeps its history.

A **Presence** says whether the broker holds a connection of the device, when it was last heard, and whether it answered when
it was last asked. A **Reading** is the last value the device itself confirmed for one thing (a pin, its clock, an address).

A **JournalEntry** remembers which message of the bridge's MQTT session was written, in the transaction that wrote it: MQTT gives
a message no identity of its own, so this is what makes a message that is delivered twice count once (see docs/adr/0003).
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from devices.models import Device
from iotportal.uuid7 import uuid7


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
        return f"{self.device_id.hex}/{self.api}" if self.direction == Direction.TO else f"server/{self.device_id.hex}/{self.api}"


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
    connected = models.BooleanField(default=False)
    connected_at = models.DateTimeField(null=True)
    disconnected_at = models.DateTimeField(null=True)
    disconnect_reason = models.CharField(max_length=16, blank=True)
    address = models.GenericIPAddressField(null=True)
    protocol = models.CharField(max_length=24, blank=True)
    tls = models.CharField(max_length=16, blank=True)
    last_seen_at = models.DateTimeField(null=True)
    running = models.BooleanField(null=True)  # the last get_status was answered; None: never asked
    asked_at = models.DateTimeField(null=True)
    answered_ms = models.FloatField(null=True)  # of the last get_status that was answered

    class Meta:
        indexes: ClassVar = [
            models.Index(
                fields=["device"], name="presence_connected", condition=Q(connected=True)
            ),  # the bridge's reset after a broker restart
        ]

    def __str__(self) -> str:
        return f"{self.device_id}: {'connected' if self.connected else 'not connected'}"


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
