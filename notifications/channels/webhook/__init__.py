"""Webhooks: a POST to an address of the account's own, signed as Standard Webhooks (standardwebhooks.com) have it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

import requests

from iotportal import outward
from iotportal.sealing import SealError
from notifications.channels.base import Outgoing, PermanentFailure, Sender, SendFailure, TemporaryFailure
from notifications.models import Channel
from notifications.services import named, silence

_LATER = {408, 425, 429}


class WebhookSender(Sender):
    """One POST a notification; 2xx is its receipt."""

    channel = Channel.WEBHOOK
    name = "webhook"

    def send(self, message: Outgoing) -> str:
        """Post once. Whoever gets it a second time knows it by `webhook-id`."""
        try:
            target = named.target(message.id)
        except SealError as error:
            raise PermanentFailure("unknown_name", str(error)) from error
        if target is None:
            raise PermanentFailure("unknown_name")
        receiver = f"{target.notification.account_id.hex}:{outward.origin_of(target.url)}"
        if silence.is_left_alone(receiver):
            raise TemporaryFailure("server_away", "it did not answer a moment ago")
        body = payload(target, message)
        try:
            answer = outward.post(target.url, body, headers(message.id.hex, int(time.time()), body, target.secret))
        except outward.NotAllowed as error:
            raise PermanentFailure("not_allowed", str(error)) from error
        except (requests.RequestException, OSError) as error:
            silence.silent(receiver)
            raise TemporaryFailure("server_away", type(error).__name__) from error
        silence.answered(receiver)
        if not 200 <= answer.status_code < 300:
            raise _failure(answer.status_code)
        return ""


def payload(target: named.Target, message: Outgoing) -> bytes:
    """Return the JSON that is posted."""
    one, device = target.notification, target.notification.device
    data = {
        "id": one.hex,
        "account": one.account_id.hex,
        "device": {"id": device.hex, "name": one.device_name} if device else None,
        "cause": one.cause,
        "subject": message.subject,
        "message": message.text,
    }
    return json.dumps({"type": "notification", "timestamp": one.asked_at.isoformat(), "data": data}).encode()


def headers(key: str, timestamp: int, body: bytes, secret: bytes) -> dict[str, str]:
    """Return what goes with a body: its id, the time of this try, and the signature over both and the body."""
    return {
        "Content-Type": "application/json",
        "webhook-id": key,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature(key, timestamp, body, secret)}",
    }


def signature(key: str, timestamp: int, body: bytes, secret: bytes) -> str:
    """Return base64 of HMAC-SHA256 over `id.timestamp.body`, by the bytes that `whsec_…` spells in base64."""
    raw = base64.b64decode(secret.removeprefix(b"whsec_"))
    signed = f"{key}.{timestamp}.".encode() + body
    return base64.b64encode(hmac.digest(raw, signed, hashlib.sha256)).decode()


def _failure(status: int) -> SendFailure:
    if 300 <= status < 400:
        return PermanentFailure("refused_by_server", f"{status}: redirects are not followed")
    if status >= 500 or status in _LATER:
        return TemporaryFailure("server_away", str(status))
    return PermanentFailure("refused_by_server", str(status))
