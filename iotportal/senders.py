"""What the portal sends e-mail and SMS with, read from the environment (see docs/notifications.md)."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.core.exceptions import ImproperlyConfigured

from iotportal import env

EMAIL = ("smtp", "ses", "brevo", "mailersend", "mailgun", "mailjet", "postmark", "resend", "sendgrid", "sparkpost")
SMS = ("twilio", "vonage", "sns", "aws_sms")
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
    vonage_key: str = ""
    vonage_secret: str = field(default="", repr=False)
    vonage_signature: str = field(default="", repr=False)  # by which receipts are signed, HMAC-SHA256
    vonage_from: str = ""
    vonage_host: str = "rest.nexmo.com"
    aws_region: str = ""
    aws_url: str = ""
    aws_origination: str = ""  # a number, a sender id or a pool of AWS End User Messaging
    aws_configuration_set: str = ""  # whose event destination is our topic
    aws_topics: tuple[str, ...] = ()  # of SNS: whose word on mails and SMS counts


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
        vonage_key=env.text("VONAGE_API_KEY", "" if "vonage" not in sms else None),
        vonage_secret=env.secret("VONAGE_API_SECRET", "" if "vonage" not in sms else None),
        vonage_signature=env.secret("VONAGE_SIGNATURE_SECRET", ""),
        vonage_from=env.text("VONAGE_FROM", "" if "vonage" not in sms else None),
        vonage_host=env.text("PORTAL_VONAGE_HOST", "rest.nexmo.com"),
        aws_region=env.text("PORTAL_AWS_REGION", env.text("AWS_PINPOINT_REGION", "")),
        aws_url=env.text("PORTAL_AWS_URL", ""),
        aws_origination=env.text("PORTAL_AWS_ORIGINATION", ""),
        aws_configuration_set=env.text("PORTAL_AWS_CONFIGURATION_SET", ""),
        aws_topics=tuple(env.words("PORTAL_AWS_TOPICS", "")),
    )


def _names(name: str, old_name: str, old: dict[str, str], known: tuple[str, ...]) -> tuple[str, ...]:
    chosen = env.words(name, "")
    if not chosen and (number := env.text(old_name, "")):
        chosen = [old.get(number, number)]
    for one in chosen:
        if one not in known:
            raise ImproperlyConfigured(f"{name}: {one} is none of {', '.join(known)}.")
    return tuple(chosen)
