"""Codes that are sent as a second factor.

A code belongs to one user and one challenge, a random name that the sign-in keeps: codes of two sign-ins at once do not get into
each other's way, and a code that is read over somebody's shoulder is of no use to another sign-in. What is kept is a keyed hash.
"""

from __future__ import annotations

import secrets

from django.conf import settings
from django.core.cache import cache
from django.utils.crypto import constant_time_compare, salted_hmac

from accounts import code_channels
from accounts.code_channels import CodeNotSent, Purpose
from accounts.limits import Limit
from accounts.models import User

_SENDING = Limit("send_code", f"1/{settings.CODE_RESEND_S}s/key,10/h/key")


class TooSoon(Exception):
    """Codes were sent to this user a moment ago, or many within the hour; the next may be sent in `wait_s` seconds."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"{wait_s} s")
        self.wait_s = wait_s


def send_code(*, user: User) -> str:
    """Send `user` a code by the way of `code_factor` and return the challenge that it answers.

    Raises:
        TooSoon: see there; nothing was sent, and codes that were sent before go on working.
        CodeNotSent: there is no such way on this server, or it did not take the code.
    """
    channel = code_channels.find(user.code_factor)
    if channel is None:
        raise CodeNotSent("This server cannot send codes that way now. Use a recovery code.")
    if not _SENDING.allow(str(user.pk)):
        raise TooSoon(max(1, next_code_s(user=user)))
    code, challenge = f"{secrets.randbelow(10**6):06}", secrets.token_urlsafe(16)
    cache.set(_name(user, challenge), _hash(user, challenge, code), settings.CODE_MINUTES * 60)
    channel.send(user=user, address=_address(user), code=code, purpose=Purpose.SIGN_IN)
    return challenge


def hint(*, user: User) -> str:
    """Return where codes are sent so that the person recognises it and nobody else learns it."""
    if user.code_factor == "sms":
        return f"…{user.phone[-3:]}"
    name, _, host = user.email.partition("@")
    return f"{name[:1]}…@{host}"


def use_sent_code(*, user: User, challenge: str, code: str) -> bool:
    """Say whether `code` answers `challenge`; it does so once, within `CODE_MINUTES`."""
    if not challenge:
        return False
    name = _name(user, challenge)
    kept = cache.get(name)
    # Who deletes it has it: of two requests at once only one does.
    return kept is not None and constant_time_compare(kept, _hash(user, challenge, code)) and bool(cache.delete(name))


def forget_code(*, user: User, challenge: str) -> None:
    """End a code that was sent."""
    if challenge:
        cache.delete(_name(user, challenge))


def forget_sending(*, user: User) -> None:
    """Begin to count anew how many codes were sent."""
    _SENDING.forget(str(user.pk))


def next_code_s(*, user: User) -> int:
    """Return the seconds until the next code may be sent."""
    return _SENDING.wait_s(str(user.pk))


def _address(user: User) -> str:
    return user.phone if user.code_factor == "sms" else user.email


def _name(user: User, challenge: str) -> str:
    return f"accounts:sent-code:{user.pk}:{challenge}"


def _hash(user: User, challenge: str, code: str) -> str:
    return salted_hmac("accounts.sent-code", f"{user.pk}:{challenge}:{code}", algorithm="sha256").hexdigest()
