"""What mail providers say of mails afterwards, as django-anymail reads it: arrived, came back, called spam."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from anymail.exceptions import AnymailError, AnymailWebhookValidationFailure
from anymail.signals import EventType, RejectReason
from django.conf import settings
from django.http import HttpRequest

from notifications.services import receipts

# What says that an address takes no mail at all; all else may be about this one mail, or this one day.
_FOR_GOOD = {RejectReason.BOUNCED, RejectReason.INVALID}


_VIEWS = {
    "brevo": "brevo.BrevoTrackingWebhookView", "mailersend": "mailersend.MailerSendTrackingWebhookView",
    "mailgun": "mailgun.MailgunTrackingWebhookView", "mailjet": "mailjet.MailjetTrackingWebhookView",
    "postmark": "postmark.PostmarkTrackingWebhookView", "resend": "resend.ResendTrackingWebhookView",
    "sendgrid": "sendgrid.SendGridTrackingWebhookView", "sparkpost": "sparkpost.SparkPostTrackingWebhookView",
}  # fmt: skip
# What anymail's readers stumble over where a body is not what its provider sends.
_UNREADABLE = (AnymailError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


class Forged(Exception):
    """It lacks the password, or the provider's signature."""


class Unreadable(Exception):
    """It is nothing that its provider would say."""


def is_set_up(provider: str) -> bool:
    """Say whether this portal sends by a provider, and has a password that its word can be told by."""
    return provider in _VIEWS and provider in settings.SENDERS.email and bool(settings.ANYMAIL.get("WEBHOOK_SECRET"))


def read(provider: str, request: HttpRequest) -> list[Any]:
    """Return the events that a provider posts. Raises Forged, Unreadable."""
    view = _view(_VIEWS[provider])
    try:
        view.run_validators(request)
        return list(view.parse_events(request))
    except AnymailWebhookValidationFailure as error:
        raise Forged from error
    except _UNREADABLE as error:
        raise Unreadable from error


def of_ses(event: dict[str, Any], said: dict[str, str]) -> list[Any]:
    """Return the events of what SES says by SNS; none where it is nothing that SES would say."""
    try:
        return list(
            _view("amazon_ses.AmazonSESTrackingWebhookView", warn_if_no_basic_auth=False).esp_to_anymail_events(event, said)
        )
    except _UNREADABLE:
        return []


def _view(path: str, **over: object) -> Any:
    module, _, name = path.partition(".")
    return type(name, (getattr(import_module(f"anymail.webhooks.{module}"), name),), over)()


def take(provider: str, event: Any) -> None:
    """Write down what an `AnymailTrackingEvent` says; each counts once."""
    kind, address = event.event_type, str(event.recipient or "").strip().lower()
    key = f"{event.event_id or f'{event.message_id}:{kind}:{event.timestamp}'}:{address}"
    if kind not in _TAKERS or receipts.is_known(sender=provider, key=key):
        return
    detail = str(event.mta_response or event.description or kind)
    _TAKERS[kind](event, {"sender": provider, "vendor_id": str(event.message_id or "")}, address, detail)
    receipts.remember(sender=provider, key=key)


def _delivered(_event: Any, which: dict[str, str], _address: str, _detail: str) -> None:
    receipts.delivered(**which)


def _came_back(event: Any, which: dict[str, str], address: str, detail: str) -> None:
    # SES says of one that may be there tomorrow that it bounced, too: "Transient".
    for_good = event.reject_reason in _FOR_GOOD and not str(event.description or "").startswith(("Transient", "Undetermined"))
    receipts.came_back(**which, address=address, detail=detail, for_good=for_good)


def _complained(_event: Any, which: dict[str, str], address: str, detail: str) -> None:
    receipts.complained(**which, address=address, detail=detail)


_TAKERS = {
    EventType.DELIVERED: _delivered,
    EventType.BOUNCED: _came_back,
    EventType.REJECTED: _came_back,
    EventType.FAILED: _came_back,
    EventType.COMPLAINED: _complained,
}
