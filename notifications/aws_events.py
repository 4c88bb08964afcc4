"""What SNS tells of mails by SES and of SMS by AWS End User Messaging."""

from __future__ import annotations

from typing import Any

from notifications.services import receipts

_SMS = "aws_sms"


def take(event: dict[str, Any], said: dict[str, str]) -> None:
    """Write down what a notification of SNS says; one that is told again says nothing new. `said`: the notification around it."""
    if str(event.get("eventType", "")).startswith("TEXT_"):
        _take_sms(event)
    elif "mail" in event:
        from notifications import mail_events  # loads anymail

        for one in mail_events.of_ses(event, said):
            mail_events.take("ses", one)


def _take_sms(event: dict[str, Any]) -> None:
    """Source: docs.aws.amazon.com/sms-voice/latest/userguide/configuration-sets-event-types.html"""
    key, kind = str(event.get("messageId", "")), str(event["eventType"])
    if kind == "TEXT_DELIVERED":
        receipts.delivered(sender=_SMS, vendor_id=key)
    elif kind not in {"TEXT_QUEUED", "TEXT_PENDING", "TEXT_SENT", "TEXT_SUCCESSFUL"} and event.get("isFinal") is True:
        detail = f"{kind}: {event.get('messageStatusDescription', '')}"
        receipts.failed(sender=_SMS, vendor_id=key, detail=detail)
