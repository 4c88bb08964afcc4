"""Mails to people: `templates/emails/NAME_subject.txt`, `NAME_message.txt` and `NAME_message.html`.

A mail is rendered where it is asked for and sent by a task, after the commit. So a page never waits for a mail server, a mail
server that is away for a moment costs nobody a mail, and how long a page takes says nothing about whether a mail went out.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.template.loader import render_to_string
from kombu.exceptions import OperationalError

from iotportal.after_commit import after_commit

KEPT_FOR = timedelta(days=1)  # how long a mail server may be away before a notice is given up; a code's mail has the code's time


class MailNotTaken(Exception):
    """The queue does not take mails now."""


def send(name: str, to: str, context: Mapping[str, Any]) -> None:
    """Send the mail `name` to one address, once the transaction that it tells of is committed.

    Links are to the portal's own address, whatever host the request named.

    Raises:
        MailNotTaken: it could not be handed over. In a transaction nobody is there to be told: it is logged, and what the mail
            tells of stands.
    """
    words = {**context, "email": to, "portal_url": settings.PORTAL_URL, "code_minutes": settings.CODE_MINUTES}
    mail = {
        "name": name,
        "to": to,
        "subject": " ".join(_render(f"{name}_subject.txt", words).split()),
        "text": _render(f"{name}_message.txt", words),
        "html": _render(f"{name}_message.html", words),
    }
    lives = timedelta(minutes=settings.CODE_MINUTES) if "code" in context else KEPT_FOR
    if transaction.get_connection().in_atomic_block:
        after_commit(_hand_over, "send_mail", mail, lives)
    else:
        _hand_over("send_mail", mail, lives)


def _render(template: str, words: dict[str, Any]) -> str:
    return render_to_string(f"emails/{template}", words).strip()


def send_recovery(email: str, code: str) -> None:
    """Have a worker find out whose the address is, and send what is to be said to it.

    Raises:
        MailNotTaken: it could not be handed over.
    """
    _hand_over("mail_recovery", {"email": email, "code": code}, timedelta(minutes=settings.CODE_MINUTES))


def _hand_over(task: str, arguments: dict[str, str], lives: timedelta) -> None:
    from accounts import tasks  # it imports us

    told: dict[str, Any] = {"argsrepr": "", "kwargsrepr": arguments.get("name", "")}  # what Celery may print: no codes
    try:
        getattr(tasks, task).apply_async(kwargs=arguments, expires=lives.total_seconds(), **told)
    except OperationalError as error:
        raise MailNotTaken from error
