"""The shape of notifications in the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from devices.api.serializers import DeviceIdField, HexField
from iotportal.serializers import PageSerializer, StrictSerializer, TextField
from notifications.api.owners import OF_ACCOUNT
from notifications.models import ADDRESS_CHARACTERS, MESSAGE_CHARACTERS, Attempt, Channel, Notification, Recipient, Status
from notifications.reasons import in_words
from notifications.services.standard import CHARACTERS

RECIPIENT = "An e-mail address, a phone number that starts with +, a device id, push:, or webhook: or apprise: with a name."
IN_WHOSE_NAME = "In whose name: a device id. Without it, in the name of your own account."


class AttemptSerializer(serializers.ModelSerializer[Attempt]):
    """One try of one sender."""

    class Meta:
        model = Attempt
        fields = ("at", "sender", "outcome", "took_ms", "vendor_id", "detail")


_FIELDS: tuple[str, ...] = (
    "id", "account", "device", "cause", "recipient", "channel", "subject", "message", "status", "reason", "reason_text", "detail",
    "asked_at", "created_at", "sent_at", "ended_at", "tries", "credits",
)  # fmt: skip


class NotificationSerializer(serializers.ModelSerializer[Notification]):
    """One thing that was said to one recipient, and how far it is."""

    id = HexField(read_only=True)
    account = HexField(source="account_id", read_only=True)
    device = DeviceIdField(source="device_id", read_only=True, allow_null=True)
    reason_text = serializers.SerializerMethodField(help_text="The same in words.")

    class Meta:
        model = Notification
        fields = _FIELDS

    def get_reason_text(self, one: Notification) -> str:
        """Return why in words."""
        return in_words(one.reason)


class NotificationDetailSerializer(NotificationSerializer):
    """A notification with each try."""

    attempts = AttemptSerializer(many=True, read_only=True)

    class Meta(NotificationSerializer.Meta):
        fields = (*_FIELDS, "attempts")


class NotificationPageSerializer(PageSerializer):
    """A page of notifications."""

    results = NotificationSerializer(many=True)


class NotificationQuerySerializer(serializers.Serializer[Any]):
    """The filters of the log."""

    device = serializers.CharField(required=False, max_length=36, help_text="A device id, 32 hex digits.")
    status = serializers.ChoiceField(required=False, choices=Status.choices)
    channel = serializers.ChoiceField(required=False, choices=Channel.choices)
    text = serializers.CharField(required=False, max_length=100, help_text="Text in recipient or message.")


class SendSerializer(StrictSerializer):
    """What to say to whom."""

    recipient = TextField(max_length=ADDRESS_CHARACTERS, help_text=RECIPIENT)
    message = TextField(max_length=MESSAGE_CHARACTERS)
    device = TextField(required=False, help_text=IN_WHOSE_NAME)
    key = serializers.RegexField(
        r"^[A-Za-z0-9_.-]{1,40}\Z",
        required=False,
        help_text="Names this request: said again with the same key, it is the same notification.",
    )


class RecipientSerializer(serializers.ModelSerializer[Recipient]):
    """An address that may be written to, once it has confirmed."""

    id = HexField(read_only=True)
    account = HexField(source="account_id", read_only=True)

    class Meta:
        model = Recipient
        fields = ("id", "account", "channel", "address", "created_at", "asked_at", "confirmed_at")


class NewRecipientSerializer(StrictSerializer):
    """An e-mail address to ask whether it may be written to."""

    address = TextField(max_length=ADDRESS_CHARACTERS)
    account = TextField(required=False, help_text=OF_ACCOUNT)


class StandardSerializer(StrictSerializer):
    """To whom a device writes, and what, where it leaves them empty."""

    recipient = TextField(allow_blank=True, max_length=ADDRESS_CHARACTERS, help_text=RECIPIENT)
    message = TextField(allow_blank=True, max_length=CHARACTERS)
