"""E-mail through any of Django's mail backends: SMTP, and those of django-anymail for the APIs of mail providers."""

from __future__ import annotations

import smtplib
import sys
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection

from notifications.channels.base import Outgoing, PermanentFailure, Sender, SenderAway, SendFailure, TemporaryFailure
from notifications.models import Channel


class EmailSender(Sender):
    """Sends through one mail backend, over one connection for as long as it is open."""

    channel = Channel.EMAIL

    def __init__(self, name: str, backend: str) -> None:
        self.name = name
        self._connection: Any = get_connection(backend)

    def send(self, message: Outgoing) -> str:
        """Hand one mail over. Its Message-ID is the same at every try, so that mailboxes show a repetition once."""
        mail = compose(message)
        try:
            self._connection.open()
            self._connection.send_messages([mail])
        except OSError as error:  # smtplib's errors are among them, and requests'
            raise _of_api(error) or self._failure(error) from error
        except Exception as error:
            if (failure := _of_api(error)) is None:
                raise
            raise failure from error
        status = getattr(mail, "anymail_status", None)
        if status is None:
            return str(mail.extra_headers["Message-ID"])
        if not status.message_id:
            raise PermanentFailure("unclear", "the provider did not say whether it took the mail")
        return str(status.message_id)

    def close(self) -> None:
        """Say goodbye to the mail server."""
        try:
            self._connection.close()
        except OSError:
            self._connection.connection = None

    def _failure(self, error: OSError) -> SendFailure:
        failure: SendFailure = SenderAway("server_away", type(error).__name__)
        if isinstance(error, smtplib.SMTPRecipientsRefused):
            failure = _said(*next(iter(error.recipients.values())))
        elif isinstance(error, smtplib.SMTPDataError):
            failure = _said(error.smtp_code, error.smtp_error)
        if isinstance(failure, SenderAway):
            self.close()  # whatever it was, the next one begins anew
        return failure


def _of_api(error: Exception) -> SendFailure | None:
    """Return what an error of django-anymail means; None if it is none. Without it no process that mails by SMTP loads it."""
    anymail = sys.modules.get("anymail.exceptions")
    if anymail is None or not isinstance(error, anymail.AnymailError):
        return None
    if isinstance(error, anymail.AnymailRecipientsRefused):
        return PermanentFailure("refused_by_server", "the provider takes no mail to that address")
    if isinstance(error, anymail.AnymailInvalidAddress | anymail.AnymailUnsupportedFeature):
        return PermanentFailure("refused_by_server", type(error).__name__)
    status = getattr(error, "status_code", None) or 0
    if 400 <= status < 500 and status not in {401, 402, 403, 408, 429}:  # about this mail
        return TemporaryFailure("refused_by_server", str(status))
    return SenderAway("server_away", str(status or type(error).__name__))


def compose(message: Outgoing) -> EmailMultiAlternatives:
    """Return the mail; django refuses line breaks in its headers, should any have come so far."""
    host = urlsplit(settings.PORTAL_URL).hostname or "localhost"
    headers = {"Message-ID": f"<{message.id.hex}@{host}>", "Auto-Submitted": "auto-generated"}
    if message.unsubscribe_url:
        headers["List-Unsubscribe"] = f"<{message.unsubscribe_url}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"  # RFC 8058
    mail = EmailMultiAlternatives(message.subject, message.text, to=[message.address], headers=headers)
    if message.html:
        mail.attach_alternative(message.html, "text/html")
    return mail


def _said(code: int, text: bytes | str) -> SendFailure:
    """Return what a reply of the mail server means (RFC 5321, 4.2.1): 5xx is final, 421 is about the server itself."""
    words = f"{code} {text.decode(errors='replace') if isinstance(text, bytes) else text}"
    if code == 421:
        return SenderAway("server_away", words)
    return PermanentFailure("refused_by_server", words) if code >= 500 else TemporaryFailure("server_away", words)
