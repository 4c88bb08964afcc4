"""How long those have to wait whom allauth's own limits refused: its answers do not say.

Its limits are per network address, per user, or per key: the mailbox to which a code was to go. Which mailbox that was stands in
the form, in the session with the code before, or with the user; what is not the reason is not full either.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from allauth.account.internal.flows.email_verification_by_code import EMAIL_VERIFICATION_CODE_SESSION_KEY
from allauth.core.internal import ratelimit
from allauth.headless.internal.sessionkit import lookup_session
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.utils.module_loading import import_string

from accounts.limits import counted, wait_of
from accounts.models import User
from accounts.selectors import find_user

APPS = ("allauth.account", "allauth.mfa")
UNKNOWN_S = 60  # most of these limits are by the minute


def wait_s(request: HttpRequest) -> int:
    """Return the seconds until the limit that refused `request` lets it through."""
    session = _session(request)
    user = User.objects.filter(pk=session[SESSION_KEY]).first() if SESSION_KEY in session else None
    mailboxes = {one.strip().lower() for one in _mailboxes(request, session, user)}
    wanted = [
        (rate, ratelimit.get_cache_key(request, app=app, action=action, rate=rate, key=key, user=user))
        for app in APPS
        for action in import_string(f"{app}.app_settings.RATE_LIMITS")
        for rate in ratelimit.get_rates(app=app, action=action)
        for key in (mailboxes if rate.per == "key" else {None})
        if rate.per != "user" or user is not None
    ]
    return wait_of(counted(wanted)) or UNKNOWN_S


def _session(request: HttpRequest) -> SessionBase:
    """Return the session that the request came with: a program's is not that of its cookies."""
    token = request.headers.get("X-Session-Token", "")
    return (lookup_session(token) if token.isascii() and token.isalnum() else None) or request.session


def _mailboxes(request: HttpRequest, session: SessionBase, user: User | None) -> Iterator[str]:
    yield str(session.get(EMAIL_VERIFICATION_CODE_SESSION_KEY, {}).get("email", ""))
    yield user.email if user else ""
    sent = _sent(request)
    for name in (str(sent.get(field, "")) for field in ("email", "login", "username")):
        if name.isprintable() and (named := find_user(name)):
            yield named.email
        elif name.isprintable():
            yield name


def _sent(request: HttpRequest) -> Mapping[str, object]:
    """Return what the form or the program sent."""
    if request.content_type != "application/json":
        return request.POST
    try:
        sent = json.loads(request.body)
    except ValueError:
        return {}
    return sent if isinstance(sent, dict) else {}
