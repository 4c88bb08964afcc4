"""What several tests of accounts type and read."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

from django.core.mail import EmailMessage
from django.db import connection

from accounts.code_channels import CodeChannel, CodeNotSent, Purpose
from accounts.models import User

PASSWORD = "green pump 42 runs"

SIGN_UP, SIGN_IN, CODE = "/accounts/signup/", "/accounts/login/", "/accounts/confirm-email/"
RECOVER = "/accounts/password/reset/"
RECOVER_CODE, RECOVER_NEW = f"{RECOVER}confirm/", f"{RECOVER}complete/"


def sign_up_data(**changes: str) -> dict[str, str]:
    """Return a filled-in sign-up form."""
    return {
        "first_name": "Carol",
        "last_name": "Chen",
        "username": "carol",
        "email": "carol@example.org",
        "password1": PASSWORD,
        **changes,
    }


def has_code(mail: EmailMessage) -> bool:
    """Say whether there are six digits in a mail."""
    return re.search(r"\b\d{6}\b", str(mail.body)) is not None


def code_in(mail: EmailMessage) -> str:
    """Return the six digits of a mail."""
    found = re.search(r"\b(\d{6})\b", str(mail.body))
    assert found, mail.body
    return found.group(1)


def other_than(code: str) -> str:
    """Return a code that is wrong."""
    return f"{(int(code) + 1) % 1_000_000:06}"


def at_once(count: int, work: Callable[[], object]) -> list[object]:
    """Run `work` in `count` threads that start together; return what each returned or raised."""
    ready = threading.Barrier(count, timeout=20)
    results: list[object] = []

    def run() -> None:
        try:
            ready.wait()
            results.append(work())
        except Exception as error:
            results.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads), "some never came back"
    return results


def wait_for_a_lock() -> None:
    """Wait until somebody waits for what this transaction has locked."""
    end = time.monotonic() + 20
    with connection.cursor() as db:
        while True:
            db.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()")
            if db.fetchone() != (0,):
                return
            assert time.monotonic() < end, "nobody waits"


class Sms(CodeChannel):
    """SMS as an app on the right brings it; it keeps what it sends."""

    name = "sms"

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, Purpose]] = []
        self.broken = False

    def send(self, *, user: User, address: str, code: str, purpose: Purpose) -> None:
        if self.broken:
            raise CodeNotSent("The SMS could not be sent. Wait a minute, then try again.")
        self.sent.append((address, code, purpose))
