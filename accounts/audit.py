"""Lines in the log for every sign-in, good or not: who, from where, with what. No name that was typed: it may be a password."""

from __future__ import annotations

import logging
from typing import Any

from allauth.account.adapter import get_adapter
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from accounts.models import User

logger = logging.getLogger(__name__)

_NOWHERE = "an unknown address"


def connect() -> None:
    """Log from now on."""
    user_logged_in.connect(_signed_in)
    user_logged_out.connect(_signed_out)
    user_login_failed.connect(_failed)


def _address(request: HttpRequest | None) -> str:
    try:
        return str(get_adapter().get_client_ip(request)) if request is not None else _NOWHERE
    except PermissionDenied:  # no address, or not one that the proxy vouches for
        return _NOWHERE


def _signed_in(sender: object, request: HttpRequest | None, user: User, **kwargs: Any) -> None:
    session = getattr(request, "session", {})
    methods = [str(one.get("method")) for one in session.get("account_authentication_methods", [])]
    logger.info("User %s signed in from %s with %s", user.pk, _address(request), ", ".join(methods) or "nothing more")


def _signed_out(sender: object, request: HttpRequest | None, user: User | None, **kwargs: Any) -> None:
    if user is not None:
        logger.info("User %s signed out from %s", user.pk, _address(request))


def _failed(sender: object, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any) -> None:
    logger.warning("A sign-in from %s failed", _address(request))
