"""To another device of the same account: it finds its own id as the recipient, shows the message, and answers nothing."""

from __future__ import annotations

from uuid import UUID

from devices.models import Device
from devices.selectors import profile_of
from iotportal.problems import Problem
from messaging.gateway.runtime import run_from_thread
from messaging.models import Presence
from messaging.protocol.codec import InvalidArguments, encode_command
from notifications.channels.base import Outgoing, PermanentFailure, Sender, SenderAway, TemporaryFailure
from notifications.models import Channel

API = "trigger_notification"


class DeviceSender(Sender):
    """Publishes to the device while it is connected; the broker's word is all that can be had."""

    channel = Channel.DEVICE
    name = "broker"

    def send(self, message: Outgoing) -> str:
        """Publish once, when the device is there to hear it."""
        device = Device.objects.live().filter(pk=UUID(hex=message.address)).first()
        if device is None:
            raise PermanentFailure("not_yours")
        if not Presence.objects.filter(device=device, connected=True).exists():
            raise TemporaryFailure("device_offline")
        profile = profile_of(device)
        api = profile.apis.get(API)
        if api is None:
            raise PermanentFailure("device_cannot")
        try:
            payload = encode_command(profile, api, {"recipient": device.hex, "message": message.text})
        except InvalidArguments as error:
            raise PermanentFailure("too_long", str(error)) from error
        try:
            run_from_thread(lambda gateway: gateway.tell(device.hex, API, payload))
        except Problem as problem:
            raise SenderAway("server_away", problem.detail) from problem
        return ""
