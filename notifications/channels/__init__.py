"""The senders that this portal has, in the order in which they are asked. A sender's library is loaded when it is used."""

from __future__ import annotations

from importlib import import_module

from django.conf import settings

from notifications.channels.base import Sender
from notifications.models import Channel

_SMS = {
    "twilio": "notifications.channels.sms.twilio.TwilioSender",
    "vonage": "notifications.channels.sms.vonage.VonageSender",
    "sns": "notifications.channels.sms.sns.SnsSender",
    "aws_sms": "notifications.channels.sms.aws_sms.AwsSmsSender",
}
_SMTP = "django.core.mail.backends.smtp.EmailBackend"
_PIPELINING = "notifications.channels.email.smtp.PipeliningBackend"
_BACKENDS = {"ses": "anymail.backends.amazon_ses.EmailBackend"}


def senders(channel: str) -> list[Sender]:
    """Return new senders of a channel; whoever asks closes them."""
    match channel:
        case Channel.EMAIL:
            from notifications.channels.email import EmailSender

            return [EmailSender(name, _backend(name)) for name in settings.SENDERS.email]
        case Channel.SMS:
            return [_load(_SMS[name]) for name in settings.SENDERS.sms]
        case Channel.DEVICE:
            return [_load("notifications.channels.device.DeviceSender")]
        case Channel.PUSH:
            return [_load("notifications.channels.push.PushSender")]
        case Channel.WEBHOOK:
            return [_load("notifications.channels.webhook.WebhookSender")]
        case Channel.APPRISE:
            return [_load("notifications.channels.apprise.AppriseSender")]
    return []


def is_set_up(channel: str) -> bool:
    """Say whether there is a sender of a channel, without making one."""
    conf = settings.SENDERS
    return bool({Channel.EMAIL: conf.email, Channel.SMS: conf.sms}.get(Channel(channel), True))


def _backend(name: str) -> str:
    if name == "smtp":
        return (
            "notifications.channels.email.smtp.PipeliningBackend" if settings.EMAIL_BACKEND == _SMTP else settings.EMAIL_BACKEND
        )
    return _BACKENDS.get(name, f"anymail.backends.{name}.EmailBackend")


def _load(path: str) -> Sender:
    module, _, name = path.rpartition(".")
    sender: Sender = getattr(import_module(module), name)()
    return sender
