"""Codes that are sent to people: by e-mail from here (SMS comes from an app on the right), with few guesses each."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.utils.crypto import constant_time_compare, salted_hmac

from accounts import mail
from accounts.code_channels import CodeChannel, CodeNotSent, Purpose
from accounts.models import User

LIFE_S = settings.CODE_MINUTES * 60


class EmailChannel(CodeChannel):
    """Codes in a mail."""

    name = "email"

    def send(self, *, user: User, address: str, code: str, purpose: Purpose) -> None:
        """Send the mail."""
        try:
            mail.send("code", address, {"code": code, "purpose": purpose.value, "user_name": user.get_username()})
        except mail.MailNotTaken as error:
            raise CodeNotSent("The mail could not be sent. Wait a minute, then try again.") from error


def count_guess(challenge: str) -> int:
    """Count a guess at the code of a challenge, before it is looked at, and return which it is: 1 for the first.

    Counted in the cache: of a hundred requests at once, each would read the same number in the session.
    """
    key = f"code-guesses:{_hash(challenge)}"
    cache.add(key, 0, LIFE_S)
    return int(cache.incr(key))


def make_live(*, user: User | None, address: str, code: str) -> None:
    """Let this code be the one that confirms an address of `user`; an earlier one, also in another browser, is dead.

    Without a user it is the one that allows whoever has the address a new password.
    """
    cache.set(_live_key(user, address), _hash(code), LIFE_S)


def is_live(*, user: User, address: str, code: str) -> bool:
    """Say whether no newer code was sent to the address."""
    return constant_time_compare(cache.get(_live_key(user, address), ""), _hash(code))


def guess_live(*, user: User | None, address: str, code: str) -> bool:
    """Say whether this is the live code; for programs, which keep no session with it. The sixth guess is not looked at."""
    live = cache.get(_live_key(user, address))
    if live is None or count_guess(live) > settings.CODE_TRIES:
        return False
    return constant_time_compare(live, _hash(code))


def take_live(*, user: User | None, address: str) -> bool:
    """Use the live code up; returns False where another request was faster."""
    return bool(cache.delete(_live_key(user, address)))


def _live_key(user: User | None, address: str) -> str:
    return f"live-code:{user.pk if user else 'recovery'}:{_hash(address.lower())}"


def _hash(value: Any) -> str:
    return salted_hmac("accounts.codes", str(value)).hexdigest()
