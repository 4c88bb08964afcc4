"""Where a user is signed in: browsers (allauth's user sessions) and programs (login tokens); and how that ends.

A browser's row is written when it signs in and then, while it is used, once a minute. What ends ends at once: the session goes
from the database and, after the commit, from the cache (in this order, or a request in between would put it back there), and the
hook closes the pages that are open in it.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import cast
from uuid import NAMESPACE_OID, UUID, uuid5

from allauth.usersessions.models import UserSession
from django.contrib.sessions.backends.cached_db import SessionStore
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.hooks import SignIn, session_ended, signed_in_from_new_place
from accounts.models import ApiToken, User
from accounts.services.tokens import revoke_token

logger = logging.getLogger(__name__)

NOTED_EVERY_S = 60
TOUCHED_EVERY = timedelta(hours=1)
_TOUCHED = "accounts_touched"


def session_id(session: UserSession) -> UUID:
    """Return the name of a session in addresses: its key is a secret, its number would count everybody's."""
    return uuid5(NAMESPACE_OID, salted_hmac("accounts.sessions", session.session_key).hexdigest())


def live_sessions(user: User) -> QuerySet[UserSession]:
    """Return the browsers in which `user` is signed in, the one used last first."""
    alive = Session.objects.filter(session_key=OuterRef("session_key"), expire_date__gt=timezone.now())
    sessions: QuerySet[UserSession] = UserSession.objects.filter(Exists(alive), user=user).order_by("-last_seen_at")
    return sessions


def live_logins(user: User) -> QuerySet[ApiToken]:
    """Return the programs in which `user` is signed in."""
    return user.api_tokens.filter(kind=ApiToken.Kind.LOGIN, refresh_expires_at__gt=timezone.now()).order_by("-created_at")


def note_sign_in(request: HttpRequest, *, address: str) -> None:
    """List the browser that has signed in just now, in one statement."""
    length = UserSession._meta.get_field("user_agent").max_length
    one = UserSession(
        user=cast(User, request.user),
        session_key=request.session.session_key,
        ip=address,
        user_agent=request.headers.get("User-Agent", "")[:length],
    )
    UserSession.objects.bulk_create(
        [one], update_conflicts=True, unique_fields=["session_key"], update_fields=["user", "ip", "user_agent", "last_seen_at"]
    )


def tell_new_place(request: HttpRequest, *, user: User, address: str) -> None:
    """Tell that somebody signed in with a browser that was not known; nobody is kept out because that fails."""
    agent = request.headers.get("User-Agent", "")
    try:
        with transaction.atomic():
            signed_in_from_new_place(SignIn(user, address, agent, request.session.session_key or ""))
    except Exception:
        logger.exception("nobody could be told of the sign-in of user %s", user.pk)


def note_use(request: HttpRequest) -> None:
    """Note that a signed-in browser was used, at most once a minute, and keep its session from ending for as long as it is."""
    key = request.session.session_key
    if key is None or not cache.add(f"session-noted:{key}", True, NOTED_EVERY_S):
        return
    UserSession.objects.create_from_request(request)
    now = timezone.now().timestamp()
    if now - request.session.get(_TOUCHED, 0) > TOUCHED_EVERY.total_seconds():
        request.session[_TOUCHED] = now  # which saves it, and counts its time anew


def tell_end(key: str | None, request: HttpRequest) -> None:
    """Have the open pages of the session `key` close if the request has left it.

    Django's own signal comes while the session still counts: a page that asked again right then would be let in once more.
    """
    if key and request.session.session_key != key:
        session_ended(key)


@transaction.atomic
def end_session(*, session: UserSession) -> None:
    """Sign a browser out: its session is worth nothing from now on, and its open pages close."""
    key = session.session_key
    Session.objects.filter(session_key=key).delete()
    session.delete()
    transaction.on_commit(partial(SessionStore().delete, key))
    session_ended(key)


@transaction.atomic
def end_all(*, user: User) -> None:
    """Sign `user` out of every browser."""
    for session in UserSession.objects.filter(user=user):
        end_session(session=session)


@transaction.atomic
def end_others(*, user: User, keep: str | None, keep_login: UUID | None = None) -> int:
    """Sign `user` out everywhere but in the session with the key `keep` or the program's login `keep_login`.

    Returns how many browsers and programs that were.
    """
    browsers = UserSession.objects.filter(user=user).exclude(session_key=keep or "")
    programs = [login for login in live_logins(user) if login.pk != keep_login]
    alive = set(live_sessions(user).values_list("session_key", flat=True))
    ended: int = 0
    for session in browsers:
        end_session(session=session)
        ended += session.session_key in alive
    for login in programs:
        revoke_token(token=login)
    logger.info("User %s ended %d other sessions", user.pk, ended + len(programs))
    return ended + len(programs)


def clear_ended() -> int:
    """Delete sessions whose time is over, and what was noted of sessions that are no more; returns how many rows that were."""
    expired, _ = Session.objects.filter(expire_date__lte=timezone.now()).delete()
    there = Session.objects.filter(session_key=OuterRef("session_key"))
    noted, _ = UserSession.objects.filter(~Exists(there)).delete()
    return int(expired + noted)
