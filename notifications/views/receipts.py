"""Where senders tell what became of a message; their signature is the proof that it is them."""

from __future__ import annotations

import json
import logging

import requests
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from notifications import aws_events
from notifications.channels import sns_notices
from notifications.services import receipts

logger = logging.getLogger(__name__)

_VONAGE_GONE = {"failed", "rejected", "expired"}
_GONE = {"failed", "undelivered"}


@csrf_exempt  # Twilio has no cookie of ours; it signs what it says
@require_POST
def twilio(request: HttpRequest) -> HttpResponse:
    """Take a status callback of Twilio."""
    if "twilio" not in settings.SENDERS.sms:
        raise Http404("There is nothing here.")
    from notifications.channels.sms.twilio import is_genuine  # loads its SDK

    form = {name: str(value) for name, value in request.POST.items()}
    if not is_genuine(settings.PORTAL_URL + request.path, form, request.headers.get("X-Twilio-Signature", "")):
        return HttpResponse(status=403)
    key, status = form.get("MessageSid", ""), form.get("MessageStatus", "")
    if status == "delivered":
        receipts.delivered(sender="twilio", vendor_id=key)
    elif status in _GONE:
        receipts.failed(sender="twilio", vendor_id=key, detail=f"{status} {form.get('ErrorCode', '')}".strip())
    return HttpResponse(status=204)  # also where we know of no such SMS: a code


@csrf_exempt  # Vonage has no cookie of ours; it signs what it says
@require_POST
def vonage(request: HttpRequest) -> HttpResponse:
    """Take a delivery receipt of Vonage: a form, or JSON, as it is set there."""
    if "vonage" not in settings.SENDERS.sms or not settings.SENDERS.vonage_signature:
        raise Http404("There is nothing here.")
    from notifications.channels.sms.vonage import is_genuine  # loads its SDK

    fields = _fields(request)
    if not is_genuine(fields):
        return HttpResponse(status=403)
    key, status = fields.get("messageId", fields.get("message-id", "")), fields.get("status", "")
    if status == "delivered":
        receipts.delivered(sender="vonage", vendor_id=key)
    elif status in _VONAGE_GONE:
        receipts.failed(sender="vonage", vendor_id=key, detail=f"{status} {fields.get('err-code', '')}".strip())
    return HttpResponse(status=204)  # also where we know of no such SMS: it would be told again for a day


def _fields(request: HttpRequest) -> dict[str, str]:
    if request.content_type != "application/json":
        return {name: str(value) for name, value in request.POST.items()}
    try:
        found = json.loads(request.body)
    except (ValueError, RecursionError):
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


@csrf_exempt  # SNS has no cookie of ours; it signs what it says
@require_POST
def aws(request: HttpRequest) -> HttpResponse:
    """Take what SNS tells of mails by SES and of SMS by AWS End User Messaging."""
    if not settings.SENDERS.aws_topics:
        raise Http404("There is nothing here.")
    try:
        said = sns_notices.read(request.body)
        if said["Type"] == "SubscriptionConfirmation":
            sns_notices.confirm(said)
        elif said["Type"] == "Notification":
            aws_events.take(sns_notices.event(said), said)
    except sns_notices.Forged as error:
        logger.warning("a notice for SNS was refused: %s", error)
        return HttpResponse(status=403)
    except requests.RequestException as error:  # it is told again
        logger.warning("a notice of SNS could not be taken: %s", type(error).__name__)
        return HttpResponse(status=503)
    return HttpResponse(status=204)


@csrf_exempt  # mail providers have no cookie of ours, but the user and password that stand in the address they were given
@require_POST
def mail(request: HttpRequest, provider: str) -> HttpResponse:
    """Take what a mail provider says of mails, as django-anymail reads it."""
    from notifications import mail_events  # loads anymail

    if not mail_events.is_set_up(provider):
        raise Http404("There is nothing here.")
    try:
        events = mail_events.read(provider, request)
    except mail_events.Forged:
        return HttpResponse(status=403)
    except mail_events.Unreadable:
        return HttpResponse(status=400)
    for event in events:
        mail_events.take(provider, event)
    return HttpResponse(status=204)
