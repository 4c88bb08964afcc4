"""Second factors as tests use them: an app, its codes."""

from __future__ import annotations

import time

from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value

from accounts.models import User
from accounts.services.factors import STEP_S


def add_app(user: User) -> str:
    """Give `user` an app and return its secret."""
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    return str(secret)


def app_code(secret: str, steps: int = 0) -> str:
    """Return what the app shows now, or so many steps of 30 s later."""
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // STEP_S + steps)))


def wrong_code(secret: str) -> str:
    """Return six digits that the app shows neither now nor soon."""
    near = {app_code(secret, steps) for steps in range(-3, 4)}
    return next(code for code in (f"{number:06}" for number in range(10)) if code not in near)


def add_recovery_codes(user: User) -> list[str]:
    """Give `user` recovery codes and return them."""
    return list(RecoveryCodes.activate(user).get_unused_codes())


def authenticator(user: User, kind: str) -> Authenticator:
    """Return the row of the one authenticator of that kind."""
    return Authenticator.objects.get(user=user, type=kind)
