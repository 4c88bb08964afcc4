"""The cookie of a browser on which somebody has signed in before: it keeps strangers' wrong passwords from locking them out.

It holds no right at all: with it, a browser has its own number of tries (accounts/services/tries.py). It names a browser by a
random mark, and whose it is by hashes of their user name and e-mail.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts.models import User
from accounts.services import tries
from accounts.services.tries import Origin

COOKIE = "known"
PATH = "/accounts/"  # the door: no other page needs it
LIFE = timedelta(days=365)
_SIGN_UP = timedelta(hours=1)  # whoever signed up since then knows that they sign in
_PEOPLE_KEPT = 5  # of one browser
_SALT = "accounts.known_browsers"

Entry = list[str]  # mark, then the hashes of the names it is for


def origin(request: HttpRequest, name: str) -> Origin:
    """Return where a request comes from, and whether the browser is known to be used by the owner of `name`."""
    address = tries.network(get_adapter().get_client_ip(request))
    if request.user.is_authenticated and name.lower() in _names(request.user):
        return Origin(address, f"session:{request.session.session_key}")
    hashed = tries.name_hash(name)
    mark = next((entry[0] for entry in _read(request) if hashed in entry[1:]), "")
    return Origin(address, mark)


def is_new(request: HttpRequest, user: User) -> bool:
    """Say whether the user signs in with a browser in which they have not before; with the one of their sign-up they have."""
    if timezone.now() - user.date_joined < _SIGN_UP:
        return False
    hashes = {tries.name_hash(name) for name in _names(user)}
    return all(hashes.isdisjoint(entry[1:]) for entry in _read(request))


def remember(request: HttpRequest, response: HttpResponse, user: User) -> None:
    """Make browser and address known as the user's: they have just proved who they are."""
    hashes = [tries.name_hash(name) for name in _names(user)]
    entries = _read(request)
    mark = next((entry[0] for entry in entries if not set(hashes).isdisjoint(entry[1:])), secrets.token_urlsafe(12))
    others = [entry for entry in entries if entry[0] != mark and set(hashes).isdisjoint(entry[1:])]
    response.set_cookie(
        COOKIE,
        signing.dumps([[mark, *hashes], *others][:_PEOPLE_KEPT], salt=_SALT, compress=True),
        max_age=LIFE,
        path=PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    tries.know_address(names=_names(user), address=tries.network(get_adapter().get_client_ip(request)))


def _names(user: Any) -> tuple[str, ...]:
    return (user.get_username().lower(), user.email.lower())


def _read(request: HttpRequest) -> list[Entry]:
    try:
        entries: list[Entry] = signing.loads(request.COOKIES.get(COOKIE, ""), salt=_SALT, max_age=LIFE)
    except signing.BadSignature:
        return []
    return entries
