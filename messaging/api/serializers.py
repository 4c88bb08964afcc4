"""The shape of presence, commands and history in the API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.api.serializers import MembershipSerializer, TokenSerializer, UserSerializer
from devices.api.serializers import DeviceIdField, DeviceSerializer, HexField
from iotportal.serializers import ChoiceField, PageSerializer, StrictSerializer, TextField
from messaging.models import LONGEST_OFFLINE_MINUTES, Command, Direction, Message, Outcome, Presence
from messaging.operations import DOCUMENTED
from messaging.presence import Known
from messaging.protocol.codec import MAX_PAYLOAD_BYTES


class DropsSerializer(serializers.Serializer[Any]):
    """How often a connection ended; what the portal or its broker ended does not count."""

    hour = serializers.IntegerField(help_text="In the last hour.")
    day = serializers.IntegerField(help_text="In the last 24 hours.")
    flapping = serializers.BooleanField(help_text="That is too often to be well.")
    hint = serializers.CharField(help_text="What may be behind it; empty where it does not flap.")


class PresenceSerializer(serializers.ModelSerializer[Presence]):
    """What is known of a device, apart from one another: its connection, its last message, its last answer.

    `connected` is the broker's last word; `state` says whether that still holds.
    """

    state = serializers.SerializerMethodField(help_text="`unknown`: the broker is not heard; `never`: it has not connected yet.")
    as_of = serializers.SerializerMethodField(help_text="Until then every coming and going was heard; null: never yet.")
    disconnect_reason = serializers.CharField(read_only=True, help_text="Why its last connection ended; empty: none did.")
    disconnect_reason_text = serializers.CharField(read_only=True, source="reason_text", help_text="The same in words.")
    drops = serializers.SerializerMethodField(help_text="How often its connection ended lately by its own doing.")
    running = serializers.BooleanField(
        read_only=True, allow_null=True, help_text="It answered the last get_status; null: it was never asked."
    )
    asked_at = serializers.DateTimeField(read_only=True, allow_null=True, help_text="When it was last asked get_status.")
    answered_ms = serializers.FloatField(read_only=True, allow_null=True, help_text="Of the last get_status that was answered.")
    last_answer_at = serializers.DateTimeField(read_only=True, allow_null=True, help_text="When it last answered any command.")
    refused_at = serializers.DateTimeField(read_only=True, allow_null=True, help_text="When it wanted in and was not let in.")

    class Meta:
        model = Presence
        fields = (
            "state",
            "as_of",
            "connected",
            "connected_at",
            "disconnected_at",
            "disconnect_reason",
            "disconnect_reason_text",
            "drops",
            "address",
            "protocol",
            "tls",
            "last_message_at",
            "last_answer_at",
            "last_answer_api",
            "last_answer_ms",
            "running",
            "asked_at",
            "answered_ms",
            "refused_at",
            "refused_reason",
            "offline_after_minutes",
        )
        read_only_fields = fields

    def _known(self, presence: Presence) -> Known:
        known: dict[UUID, Known] = self.context["known"]
        return known[presence.device_id]

    @extend_schema_field({"type": "string", "enum": ["connected", "disconnected", "unknown", "never"]})
    def get_state(self, presence: Presence) -> str:
        """Return what it is now."""
        return self._known(presence).state

    @extend_schema_field({"type": "string", "format": "date-time", "nullable": True})
    def get_as_of(self, presence: Presence) -> str | None:
        """Return until when all is known."""
        until = self._known(presence).watching.until
        return serializers.DateTimeField().to_representation(until) if until else None

    @extend_schema_field(DropsSerializer)
    def get_drops(self, presence: Presence) -> Any:
        """Return how often it went lately."""
        return DropsSerializer(self._known(presence).drops).data


class LiveDeviceSerializer(DeviceSerializer):
    """A device with its presence."""

    presence = PresenceSerializer(read_only=True, allow_null=True, help_text="Null: it never connected.")

    class Meta(DeviceSerializer.Meta):
        fields = (*DeviceSerializer.Meta.fields, "presence")  # type: ignore[assignment]  # the parent's tuple is shorter


class UptimeSerializer(serializers.Serializer[Any]):
    """How much of a span of time the device was connected. Seconds of which nothing is known count for neither."""

    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    online_s = serializers.FloatField()
    offline_s = serializers.FloatField()
    unknown_s = serializers.FloatField()
    share = serializers.FloatField(allow_null=True, help_text="0 to 1, of what is known; null: nothing is.")
    outages = serializers.IntegerField(source="outage_count", help_text="How often it was not connected.")
    text = serializers.CharField(source="words")


class SpanSerializer(serializers.Serializer[Any]):
    """A span of time."""

    since = serializers.DateTimeField(source="start")
    until = serializers.DateTimeField(source="end")


class ChangeSerializer(serializers.Serializer[Any]):
    """A device came or went."""

    time = serializers.DateTimeField()
    state = serializers.ChoiceField(choices=["connected", "disconnected"], source="kind")
    reason = serializers.CharField(source="detail.reason", default="", help_text="Why it went; empty: it came.")
    text = serializers.CharField(source="more", help_text="The same in words.")
    address = serializers.CharField(source="detail.address", default=None, allow_null=True, help_text="Where it came from.")


class PresenceReportSerializer(PageSerializer):
    """What is known of a device's presence now, over a day and a week, and its comings and goings, newest first."""

    presence = PresenceSerializer()
    day = UptimeSerializer()
    week = UptimeSerializer()
    unknown = SpanSerializer(many=True, help_text="The spans of the week of which nothing is known.")
    results = ChangeSerializer(many=True)


class OfflineLimitSerializer(StrictSerializer):
    """When to tell the owner."""

    offline_after_minutes = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=LONGEST_OFFLINE_MINUTES,
        initial=10,
        help_text="Tell when the device is offline for longer than that; null: do not tell.",
    )


class TimelineLineSerializer(serializers.Serializer[Any]):
    """One thing that happened to a device."""

    time = serializers.DateTimeField()
    kind = serializers.CharField(help_text="connected, disconnected, or what else happened, for example certificate_renewed.")
    what = serializers.CharField(help_text="In a few words.")
    text = serializers.CharField(source="more", help_text="What there is to say about it; may be empty.")
    detail = serializers.DictField(help_text="The same for programs.")


class TimelinePageSerializer(PageSerializer):
    """What happened to a device besides messages, newest first."""

    results = TimelineLineSerializer(many=True)


class DevicePageSerializer(PageSerializer):
    """Devices, the oldest first."""

    results = LiveDeviceSerializer(many=True)


class MessageSerializer(serializers.ModelSerializer[Message]):
    """One message of the history."""

    id = HexField(read_only=True)
    device = DeviceIdField(read_only=True, source="device_id")
    direction = serializers.ChoiceField(choices=Direction.choices, read_only=True)
    topic = serializers.CharField(read_only=True)

    class Meta:
        model = Message
        fields = ("id", "time", "device", "direction", "api", "topic", "payload", "size_bytes", "malformed")
        read_only_fields = fields


class MessagePageSerializer(PageSerializer):
    """Messages, the newest first. A page may hold fewer than asked for and still have a next one."""

    results = MessageSerializer(many=True)


class CommandSerializer(serializers.ModelSerializer[Command]):
    """A command of the past with its timeline; the `_ms` count from `time`, when it was accepted."""

    id = HexField(read_only=True)
    device = DeviceIdField(read_only=True, source="device_id")
    outcome = serializers.ChoiceField(choices=Outcome.choices, read_only=True)
    answer = serializers.CharField(read_only=True, allow_null=True, help_text="As it came; null: none came.")

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


class CommandPageSerializer(PageSerializer):
    """Commands, the newest first."""

    results = CommandSerializer(many=True)


class TimelineSerializer(serializers.Serializer[Any]):
    """Milliseconds after the command was accepted."""

    accepted = serializers.FloatField()
    sent = serializers.FloatField()
    broker = serializers.FloatField(allow_null=True)
    answered = serializers.FloatField()
    delivered = serializers.FloatField()


class SentCommandSerializer(serializers.Serializer[Any]):
    """An answered command. `text` is the recovered text of an answer that was not proper JSON."""

    id = HexField()
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


@extend_schema_field({"type": "number", "minimum": 1, "maximum": 30, "nullable": True, "example": 5})
class TimeoutField(serializers.FloatField):
    """How long to wait for the answer."""


class _Timed(StrictSerializer):
    timeout = TimeoutField(required=False, allow_null=True, help_text="Seconds; 5 unless given. It may stand in the query too.")


class CommandRequestSerializer(_Timed):
    """Any command of the device's profile."""

    api = serializers.RegexField(
        r"^[a-z][a-z0-9_]{0,63}$", initial="get_status", help_text="For example get_gpio; see /profiles."
    )
    arguments = serializers.DictField(required=False, help_text='The command\'s fields, for example {"number": 10}.')


def _field(api: str, name: str, help_text: str = "") -> serializers.Field[Any, Any, Any, Any]:
    """Return the field of a request as the standard profile describes it."""
    field = next(one for one in DOCUMENTED.apis[api].fields if one.name == name)
    help_text = help_text or field.help or field.title
    if field.type == "integer":
        low = 0 if field.minimum is None else int(field.minimum)
        high = None if field.maximum is None else int(field.maximum)
        return serializers.IntegerField(min_value=low, max_value=high, initial=low, help_text=help_text)
    longest = field.max_bytes or MAX_PAYLOAD_BYTES
    return TextField(allow_blank=not field.min_bytes, max_length=longest, help_text=help_text)


class PinRequestSerializer(_Timed):
    """A pin's new value."""

    value = _field("set_gpio", "value")


class ClockRequestSerializer(_Timed):
    """The clock's new time."""

    value = _field("set_rtc", "value")


class TextRequestSerializer(_Timed):
    """What to print on the device's UART."""

    value = _field("write_uart", "value", "A small device takes less; see /profiles.")


class NotificationRequestSerializer(_Timed):
    """Whom to notify of what."""

    recipient = _field("trigger_notification", "recipient")
    message = _field("trigger_notification", "message")


class EmptyRequestSerializer(_Timed):
    """Nothing but an optional timeout."""


@extend_schema_field({"type": "string", "pattern": "^[0-9a-f]{32}$"})
class DeviceFilterField(serializers.CharField):
    """A device's id; one that makes no sense is an unknown one."""


class HistoryQuerySerializer(serializers.Serializer[Any]):
    """The filters of the history."""

    device = DeviceFilterField(required=False, help_text="A device id, 32 hex digits. Deleted devices keep their history.")
    api = serializers.CharField(
        required=False, max_length=64, trim_whitespace=False, help_text="Only this api, for example get_gpio."
    )
    direction = ChoiceField(choices=Direction.choices, required=False, help_text="`to` the device or `from` it.")
    since = serializers.DateTimeField(required=False, help_text="Not before; ISO 8601.")
    until = serializers.DateTimeField(required=False, help_text="Before; ISO 8601.")
    text = serializers.CharField(
        required=False, max_length=200, trim_whitespace=False, help_text="Looked for in api and payload, in any case."
    )


# --- you -------------------------------------------------------------------------------------------------------------------


class UsageSerializer(serializers.Serializer[Any]):
    """What an account has used in this calendar month (UTC)."""

    period = serializers.RegexField(r"^[0-9]{4}-[0-9]{2}$")
    used = serializers.IntegerField(help_text="Commands sent.")
    limit = serializers.IntegerField(help_text="Commands that may be sent.")


class OwnerSerializer(MembershipSerializer):
    """An account that owns devices, your role in it, and what it has used."""

    messages = UsageSerializer()


class AccountSerializer(serializers.Serializer[Any]):
    """Who you are and what you may use."""

    user = UserSerializer()
    token = TokenSerializer(allow_null=True, help_text="The token of this request; null in a signed-in browser.")
    accounts = OwnerSerializer(many=True)


class RootSerializer(serializers.Serializer[Any]):
    """Where things are."""

    account = serializers.URLField()
    accounts = serializers.URLField()
    devices = serializers.URLField()
    profiles = serializers.URLField()
    messages = serializers.URLField()
    schema = serializers.URLField()
    docs = serializers.URLField()
