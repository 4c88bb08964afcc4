"""The shape of presence, commands and history in the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from devices.api.serializers import DeviceIdField, DeviceSerializer, HexUUIDField
from messaging.models import Command, Direction, Message, Presence


class PresenceSerializer(serializers.ModelSerializer[Presence]):
    """What is known of a device's connection. `running`: did it answer the last get_status; null if never asked."""

    class Meta:
        model = Presence
        fields = (
            "connected",
            "connected_at",
            "disconnected_at",
            "disconnect_reason",
            "address",
            "protocol",
            "tls",
            "last_seen_at",
            "running",
            "asked_at",
            "answered_ms",
        )
        read_only_fields = fields


class LiveDeviceSerializer(DeviceSerializer):
    """A device with its presence."""

    presence = PresenceSerializer(read_only=True)

    class Meta(DeviceSerializer.Meta):
        fields = (*DeviceSerializer.Meta.fields, "presence")  # type: ignore[assignment]


class MessageSerializer(serializers.ModelSerializer[Message]):
    """One message of the history."""

    id = HexUUIDField(read_only=True)
    device = DeviceIdField(read_only=True, source="device_id")
    direction = serializers.ChoiceField(choices=Direction.choices, read_only=True)
    topic = serializers.CharField(read_only=True)

    class Meta:
        model = Message
        fields = ("id", "time", "device", "direction", "api", "topic", "payload", "size_bytes", "malformed")
        read_only_fields = fields


class CommandSerializer(serializers.ModelSerializer[Command]):
    """A command of the past with its timeline; the `_ms` count from `time`, when it was accepted."""

    id = HexUUIDField(read_only=True)
    device = DeviceIdField(read_only=True, source="device_id")

    class Meta:
        model = Command
        fields = (
            "id",
            "time",
            "device",
            "api",
            "payload",
            "outcome",
            "answer",
            "attempts",
            "timeout_s",
            "sent_ms",
            "broker_ms",
            "answered_ms",
            "delivered_ms",
            "late_ms",
        )
        read_only_fields = fields


class TimelineSerializer(serializers.Serializer[Any]):
    """Milliseconds after the command was accepted."""

    accepted = serializers.FloatField()
    sent = serializers.FloatField()
    broker = serializers.FloatField(allow_null=True)
    answered = serializers.FloatField()
    delivered = serializers.FloatField()


class SentCommandSerializer(serializers.Serializer[Any]):
    """An answered command. `text` is the recovered text of an answer that was not proper JSON."""

    id = HexUUIDField()
    device = DeviceIdField()
    api = serializers.CharField()
    payload = serializers.CharField(help_text="Exactly what was published.")
    answer = serializers.DictField()
    text = serializers.CharField(allow_null=True)
    timeline = TimelineSerializer()
    attempts = serializers.IntegerField()


class AnsweredSerializer(SentCommandSerializer):
    """An answered command; `value` is the answer's value, where it has one."""

    value = serializers.JSONField(allow_null=True)


class EthernetSerializer(serializers.Serializer[Any]):
    """The network of a device, and the four commands that asked for it."""

    ip = serializers.CharField(allow_null=True)
    subnet = serializers.CharField(allow_null=True)
    gateway = serializers.CharField(allow_null=True)
    mac = serializers.CharField(allow_null=True)
    device = DeviceIdField()
    commands = serializers.DictField(child=SentCommandSerializer())


class _Timed(serializers.Serializer[Any]):
    timeout = serializers.FloatField(min_value=1, max_value=30, required=False, help_text="Seconds; 5 unless given.")


class CommandRequestSerializer(_Timed):
    """Any command of the device's profile."""

    api = serializers.RegexField(r"^[a-z][a-z0-9_]{0,63}$", help_text="For example get_gpio.")
    arguments = serializers.DictField(required=False, help_text='The command\'s fields, for example {"number": 10}.')


class PinRequestSerializer(_Timed):
    """A pin's new value."""

    value = serializers.IntegerField(min_value=0, max_value=1)


class ClockRequestSerializer(_Timed):
    """Seconds since 1970, UTC."""

    value = serializers.IntegerField(min_value=0, max_value=4294967295)


class TextRequestSerializer(_Timed):
    """What to print on the device's UART."""

    value = serializers.CharField(min_length=1, max_length=8192)


class NotificationRequestSerializer(_Timed):
    """Whom to notify (an e-mail address, a phone number with +, or a device id) and of what."""

    recipient = serializers.CharField(min_length=1, max_length=254)
    message = serializers.CharField(min_length=1, max_length=4096)


class EmptyRequestSerializer(_Timed):
    """Nothing but an optional timeout."""
