"""How often one may try, beside what accounts/services/tries.py counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from allauth.core.exceptions import ImmediateHttpResponse
from django.http import HttpRequest

from accounts import known_browsers, mail
from accounts.limits import Limit
from accounts.services import tries
from accounts.services.tries import TriesUsedUp, Try
from iotportal.problems import Problem

SIGN_UP, CODE_MAIL = Limit("signup"), Limit("confirm_email")  # allauth's own: by address of the caller, by address of the mail
RESEND = Limit("legacy_resend", "20/m/ip,1/30s/key,10/h/key")
CONFIRM = Limit("legacy_confirm", "20/m/ip,50/d/key")
REFRESH = Limit("legacy_refresh", "60/m/ip")


def check(limit: Limit, request: HttpRequest, key: str | None = None) -> None:
    """Count a request; `key`: the name or address that was typed, where that is counted.

    Raises:
        Problem: 429, it is one too many.
    """
    key = key and key.lower()
    if not limit.allow(key, request):
        raise too_many(limit.wait_s(key, request))


def begin(kind: str, request: HttpRequest, name: str) -> Try:
    """Count a try of `settings.TRIES` to do something with a name.

    Raises:
        Problem: 429, it is one too many.
    """
    try:
        return tries.begin(kind, name=name, origin=known_browsers.origin(request, name))
    except TriesUsedUp as error:
        raise too_many(error.wait_s) from error


def too_many(wait_s: int) -> Problem:
    """Return the answer to one request too many."""
    return Problem(429, "throttled", "Too many tries. Wait a little, then try again.", retry_after_s=max(1, wait_s))


@contextmanager
def mailing(email: str) -> Iterator[None]:
    """Say as a problem why a mail cannot be sent, which allauth's flows would answer with a page.

    Raises:
        Problem: 429, many went there already; 503, nobody takes mails now.
    """
    try:
        yield
    except ImmediateHttpResponse as refusal:
        tried_often = refusal.response.status_code == 429
        raise (too_many(CODE_MAIL.wait_s(email.lower())) if tried_often else _no_mail()) from refusal
    except mail.MailNotTaken as error:
        raise _no_mail() from error


def _no_mail() -> Problem:
    return Problem(503, "unavailable", "The mail could not be sent. Try again in a minute.", retry_after_s=60)
