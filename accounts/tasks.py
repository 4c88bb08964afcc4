"""What accounts leave to a worker."""

from __future__ import annotations

import logging
import smtplib
from typing import Any

from celery import Task, shared_task
from django.core.mail import EmailMultiAlternatives

from accounts import services
from accounts.services import recovery, sessions

logger = logging.getLogger(__name__)

_TRIES = 12
_LONGEST_WAIT_S = 300


class MailNotSent(Exception):
    """The mail server did not take a mail; names the kind of error and no address."""


@shared_task(bind=True, max_retries=_TRIES - 1)
def send_mail(self: Task[Any, None], *, name: str, to: str, subject: str, text: str, html: str) -> None:
    """Send one mail; a mail server that is away or busy is tried again, after 1, 2, 4 … seconds."""
    message = EmailMultiAlternatives(subject, text, to=[to])
    message.attach_alternative(html, "text/html")
    try:
        message.send()
    except OSError as error:  # smtplib's errors are among them
        kind = type(error).__name__
        if _is_final(error):
            logger.error("the mail server refused mail %s: %s", name, kind)
            return
        logger.warning("could not send mail %s (try %d of %d): %s", name, self.request.retries + 1, _TRIES, kind)
        wait_s = min(2**self.request.retries, _LONGEST_WAIT_S)
        raise self.retry(exc=MailNotSent(kind), countdown=wait_s) from None


def _is_final(error: OSError) -> bool:
    """Say whether trying again is of no use: the address or the message itself was refused (5xx)."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    return isinstance(error, smtplib.SMTPResponseException) and error.smtp_code >= 500


@shared_task
def mail_recovery(*, email: str, code: str) -> None:
    """Write the mail that somebody with this address asked for."""
    recovery.mail_code(email=email, code=code)


@shared_task
def clear_ended_sessions() -> None:
    """Clear away the sessions whose time is over."""
    gone = sessions.clear_ended()
    if gone:
        logger.info("deleted %d rows of ended sessions", gone)


@shared_task
def delete_ended_logins() -> None:
    """Clear away the logins of programs that nobody can renew any more."""
    gone = services.delete_ended_logins()
    if gone:
        logger.info("deleted %d ended logins", gone)


@shared_task
def delete_accounts() -> None:
    """Take the accounts whose days of grace are over one step further: shut out, then erased."""
    services.delete_due()


@shared_task
def delete_ended_invitations() -> None:
    """Clear away the invitations that are too old."""
    gone = services.delete_ended_invitations()
    if gone:
        logger.info("deleted %d ended invitations", gone)
