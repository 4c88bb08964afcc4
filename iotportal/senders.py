"""What the portal sends e-mail and SMS with, read from the environment (see docs/notifications.md)."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.core.exceptions import ImproperlyConfigured

from iotportal import env

EMAIL = ("smtp", "ses", "brevo", "mailersend", "mailgun", "mailjet", "postmark", "resend", "sendgrid", "sparkpost")
SMS = ("twilio", "sns")
# What the settings of the portal before this one were called, and what their numbers stood for. Amazon Pinpoint is switched off;
# what it did, SES and SNS do.
_OLD_EMAIL = {"0": "ses", "1": "ses", "2": "smtp", "3": "smtp"}
_OLD_SMS = {"0": "sns", "1": "sns", "2": "twilio", "3": "vonage"}


@dataclass(frozen=True, slots=True)
class Senders:
    """The senders of each channel, in the order in which they are asked, and what they need."""

    email: tuple[str, ...]
    sms: tuple[str, ...]
    twilio_account: str = ""
    twilio_token: str = field(default="", repr=False)
    twilio_from: str = ""
    twilio_url: str = ""  # another address than Twilio's own
    aws_region: str = ""
    aws_url: str = ""


def read() -> Senders:
    """Read them. Raises ImproperlyConfigured for a name that there is not, or one that lacks what it needs."""
    email = _names("PORTAL_EMAIL_SENDERS", "CONFIG_USE_EMAIL_MODEL", _OLD_EMAIL, EMAIL) or ("smtp",)
    sms = _names("PORTAL_SMS_SENDERS", "CONFIG_USE_SMS_MODEL", _OLD_SMS, SMS)
    return Senders(
        email=email,
        sms=sms,
        twilio_account=env.text("TWILIO_ACCOUNT_SID", "" if "twilio" not in sms else None),
        twilio_token=env.secret("TWILIO_AUTH_TOKEN", "" if "twilio" not in sms else None),
        twilio_from=env.text("TWILIO_NUMBER_FROM", "" if "twilio" not in sms else None),
        twilio_url=env.text("PORTAL_TWILIO_URL", ""),
        aws_region=env.text("PORTAL_AWS_REGION", env.text("AWS_PINPOINT_REGION", "")),
        aws_url=env.text("PORTAL_AWS_URL", ""),
    )


def _names(name: str, old_name: str, old: dict[str, str], known: tuple[str, ...]) -> tuple[str, ...]:
    chosen = env.words(name, "")
    if not chosen and (number := env.text(old_name, "")):
        chosen = [old.get(number, number)]
    for one in chosen:
        if one not in known:
            raise ImproperlyConfigured(f"{name}: {one} is none of {', '.join(known)}.")
    return tuple(chosen)
