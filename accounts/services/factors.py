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
from collections.abc import Iterable
from dataclasses import dataclass

from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from allauth.mfa.utils import decrypt
from django.conf import settings
from django.db import transaction
from django.utils.crypto import constant_time_compare

from accounts.limits import Limit
from accounts.models import User
from accounts.services.sent_codes import forget_code, use_sent_code
from iotportal.sealing import SealError

logger = logging.getLogger(__name__)

STEP_S = 30  # how long the app shows one code (RFC 6238)
DRIFT = 1  # the code before and the one after are taken too: clocks differ, and typing takes time
SENT = "code"  # what `use_code` calls a code that was sent; the others are as allauth has them
_TRIES = Limit("second_factor", "5/5m/key,50/d/key")
_ALARM = Limit("second_factor_alarm", "1/d/key")
_SIX, _TEN = re.compile(r"[0-9]{6}\Z"), re.compile(r"[0-9]{10}\Z")


class TooManyTries(Exception):
    """Too many wrong codes; the next one is looked at in `wait_s` seconds."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"{wait_s} s")
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Ways:
    """With what a user can show a second factor."""

    app: bool
    passkeys: int
    code: str  # "email", "sms", or "" for none
    recovery_codes: int  # how many are left

    def __bool__(self) -> bool:
        """Say whether a second factor is needed; recovery codes alone are none."""
        return bool(self.app or self.passkeys or self.code)

    @property
    def only_code(self) -> bool:
        """Say whether there is nothing but the code that is sent."""
        return bool(self.code) and not (self.app or self.passkeys)


def authenticators(user: User) -> list[Authenticator]:
    """Return the rows of `user`'s app, passkeys and recovery codes, the oldest first."""
    return list(Authenticator.objects.filter(user=user).order_by("created_at", "pk"))


def ways(user: User, rows: list[Authenticator] | None = None) -> Ways:
    """Return the second factors of `user`, whose `authenticators` may have been read already."""
    rows = authenticators(user) if rows is None else rows
    kinds = [row.type for row in rows]
    used = sum(row.data["used_mask"].bit_count() for row in rows if row.type == Authenticator.Type.RECOVERY_CODES)
    sets = kinds.count(Authenticator.Type.RECOVERY_CODES)
    return Ways(
        app=Authenticator.Type.TOTP in kinds,
        passkeys=kinds.count(Authenticator.Type.WEBAUTHN),
        code=user.code_factor,
        recovery_codes=sets * settings.MFA_RECOVERY_CODE_COUNT - used,
    )


def needs_second_factor(user: User) -> bool:
    """Say whether `user` signs in with a second factor."""
    kinds = [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]
    return bool(user.code_factor) or Authenticator.objects.filter(user=user, type__in=kinds).exists()


def check_code(user: User, code: str, *, challenge: str = "") -> bool:
    """Say whether `code` is good now: the app's, a recovery code, or the one that was sent for `challenge` (`send_code`).

    A good one is used up by that. Spaces and dashes do not count. Recovery codes have ten digits, all others six.

    Raises:
        TooManyTries: 5 wrong codes within 5 minutes or 50 within a day; this one was not looked at.
    """
    return use_code(user, code, challenge=challenge) is not None


def use_code(user: User, code: str, *, challenge: str = "") -> str | None:
    """Do what `check_code` does and return what the code is: a value of `Authenticator.Type`, or `SENT`.

    Raises:
        TooManyTries: as `check_code`; the code that was sent is dead then.
    """
    if not _TRIES.allow(str(user.pk)):
        forget_code(user=user, challenge=challenge)
        raise TooManyTries(max(1, _TRIES.wait_s(str(user.pk))))
    kind = _find(user, re.sub(r"[\s-]", "", code[:32]), challenge)
    if kind is None:
        logger.info("User %s typed a wrong code for the second factor", user.pk)
        return None
    forget_tries(user)
    return kind


def tries_left(user: User) -> int:
    """Return how many more wrong codes are taken now."""
    return _TRIES.left(str(user.pk))


def without_tries(users: Iterable[int]) -> set[int]:
    """Return those of the users, by their ids, whose codes are not looked at now; all are looked up at once."""
    return {int(key) for key in _TRIES.used_up(map(str, users))}


def forget_tries(user: User) -> None:
    """Begin to count wrong codes anew: after a good one, or with a new password."""
    _TRIES.forget(str(user.pk))


def first_lock_today(user: User) -> bool:
    """Say, once a day, that this is the first time that there were too many wrong codes."""
    return _ALARM.allow(str(user.pk))


def accept_step(secret: str, code: str, *, after: int = -1) -> int | None:
    """Return the step of time (RFC 6238) whose code this is, if that is about now and later than the step `after`."""
    now = int(time.time()) // STEP_S
    for step in range(now - DRIFT, now + DRIFT + 1):
        if step > after and constant_time_compare(code, format_hotp_value(hotp_value(secret, step))):
            return step
    return None


def _find(user: User, code: str, challenge: str) -> str | None:
    if _SIX.match(code) and _use_app_code(user, code):
        return str(Authenticator.Type.TOTP)
    if _SIX.match(code) and use_sent_code(user=user, challenge=challenge, code=code):
        return SENT
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
