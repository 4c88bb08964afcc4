"""Second factors: whether a sign-in needs one, and whether a code is one.

A user's second factors are allauth's authenticators (an app that shows codes, passkeys, recovery codes) and `User.code_factor`,
a code that is sent. A code works once: the app's are counted forward in the database, a recovery code is crossed out.

Wrong codes are counted per user, whoever types them and from where: whoever gets to try one has given the right password. So a
stranger can lock nobody out; and against somebody who has the password a new one helps, with which the count begins anew.
"""

from __future__ import annotations

import logging
import re
import time

from allauth.core.internal import ratelimit
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from allauth.mfa.utils import decrypt
from django.core.cache import cache
from django.db import transaction
from django.utils.crypto import constant_time_compare

from accounts.models import User
from iotportal.sealing import SealError

logger = logging.getLogger(__name__)

STEP_S = 30  # how long the app shows one code (RFC 6238)
DRIFT = 1  # the code before and the one after are taken too: clocks differ, and typing takes time
_LIMIT = {"app": "accounts", "action": "second_factor", "config": {"second_factor": "5/5m/key,50/d/key"}}
_SIX, _TEN = re.compile(r"[0-9]{6}\Z"), re.compile(r"[0-9]{10}\Z")


class TooManyTries(Exception):
    """Too many wrong codes; the next one is looked at in `wait_s` seconds."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"{wait_s} s")
        self.wait_s = wait_s


def needs_second_factor(user: User) -> bool:
    """Say whether `user` signs in with a second factor."""
    kinds = [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]
    return bool(user.code_factor) or Authenticator.objects.filter(user=user, type__in=kinds).exists()


def check_code(user: User, code: str) -> bool:
    """Say whether `code` is good now, the app's or a recovery code; a good one is used up by that.

    Spaces and dashes do not count. Recovery codes have ten digits, all others six.

    Raises:
        TooManyTries: 5 wrong codes within 5 minutes or 50 within a day; this one was not looked at.
    """
    return use_code(user, code) is not None


def use_code(user: User, code: str) -> str | None:
    """Do what `check_code` does and return what the code is, a value of `Authenticator.Type`.

    Raises:
        TooManyTries: as `check_code`.
    """
    key = str(user.pk)
    if not ratelimit.consume(None, key=key, limit_get=True, **_LIMIT):  # without limits by address it needs no request
        raise TooManyTries(_wait_s(key))
    kind = _find(user, re.sub(r"[\s-]", "", code[:32]))
    if kind is None:
        logger.info("User %s typed a wrong code for the second factor", user.pk)
        return None
    forget_tries(user)
    return kind


def tries_left(user: User) -> int:
    """Return how many more wrong codes are taken now."""
    return min(max(0, int(rate.amount) - len(times)) for rate, times in _tries(str(user.pk)))


def forget_tries(user: User) -> None:
    """Begin to count anew: after a good code, or with a new password."""
    ratelimit.clear(None, key=str(user.pk), **_LIMIT)


def accept_step(secret: str, code: str, *, after: int = -1) -> int | None:
    """Return the step of time (RFC 6238) whose code this is, if that is about now and later than the step `after`."""
    now = int(time.time()) // STEP_S
    for step in range(now - DRIFT, now + DRIFT + 1):
        if step > after and constant_time_compare(code, format_hotp_value(hotp_value(secret, step))):
            return step
    return None


def _find(user: User, code: str) -> str | None:
    if _SIX.match(code) and _use_app_code(user, code):
        return str(Authenticator.Type.TOTP)
    if _TEN.match(code) and _use_recovery_code(user, code):
        return str(Authenticator.Type.RECOVERY_CODES)
    return None


@transaction.atomic
def _use_app_code(user: User, code: str) -> bool:
    """Take a code of the app and no older or same one ever again; two requests at once cannot both have it."""
    app = Authenticator.objects.select_for_update().filter(user=user, type=Authenticator.Type.TOTP).first()
    if app is None:
        return False
    try:
        secret = decrypt(app.data["secret"])
    except SealError as error:
        logger.error("The app's secret of user %s does not open: %s", user.pk, error)
        return False
    # Where allauth itself took the last code (its JSON interface), the time of that says which one it was.
    last_used = int(app.last_used_at.timestamp()) // STEP_S if app.last_used_at else -1
    step = accept_step(secret, code, after=max(last_used, app.data.get("step", -1)))
    if step is None:
        return False
    app.data["step"] = step
    app.save(update_fields=["data"])
    app.record_usage()
    return True


def _use_recovery_code(user: User, code: str) -> bool:
    codes = Authenticator.objects.filter(user=user, type=Authenticator.Type.RECOVERY_CODES).first()
    try:
        if codes is None or not codes.wrap().validate_code(code):  # it locks the row
            return False
    except SealError as error:
        logger.error("The recovery codes of user %s do not open: %s", user.pk, error)
        return False
    codes.record_usage()
    return True


def _tries(key: str) -> list[tuple[ratelimit.Rate, list[float]]]:
    """Return the limits, each with the times of the tries that count for it, the newest first."""
    rates = ratelimit.get_rates(**_LIMIT)
    names = [ratelimit.get_cache_key(None, app="accounts", action="second_factor", rate=rate, key=key) for rate in rates]
    kept = cache.get_many(names)
    now = time.time()
    return [
        (rate, [at for at in kept.get(name, []) if at > now - rate.duration]) for rate, name in zip(rates, names, strict=True)
    ]


def _wait_s(key: str) -> int:
    full = [times[-1] + rate.duration - time.time() for rate, times in _tries(key) if len(times) >= rate.amount]
    return max(1, int(max(full, default=1.0)) + 1)
