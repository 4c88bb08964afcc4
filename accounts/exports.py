"""Everything of an account as one zip file, made while it is sent: it holds a few rows in memory, however long it gets.

Each app adds its files to an `Export` (`hooks.account_exported`): a name, and what yields its text piece by piece, which is
called when its turn comes. What is in a file is the person's and no secret: no hash, no private key, no code.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount

from accounts import selectors
from accounts.models import Account, ApiToken, User
from accounts.services import sessions
from iotportal.csv_text import csv_lines

PIECE = 500  # rows that are in memory at a time
Text = Callable[[], Iterable[str]]


@dataclass
class Export:
    """What is exported: of whom, and the files that the apps have added."""

    user: User
    account: Account  # the personal one
    files: dict[str, Text] = field(default_factory=dict)

    def add_table(self, name: str, columns: list[str], rows: Callable[[], Iterable[Iterable[object]]]) -> None:
        """Add a CSV file; times are in UTC, ISO 8601."""

        def text() -> Iterator[str]:
            yield csv_lines([columns])
            found = iter(rows())
            while some := list(islice(found, PIECE)):
                yield csv_lines([_cell(value) for value in row] for row in some)

        self.files[name] = text

    def add_json(self, name: str, value: Callable[[], Any]) -> None:
        """Add a JSON file."""
        self.files[name] = lambda: [json.dumps(value(), indent=2, ensure_ascii=False, default=_cell) + "\n"]


def _cell(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, int):
        return value  # one below zero is no formula
    if isinstance(value, UUID):
        return value.hex  # as everywhere else
    return "" if value is None else str(value)


class _Pipe(io.RawIOBase):
    """What `ZipFile` writes into and the answer reads from; it cannot be sought in, so nothing has to be kept."""

    def __init__(self) -> None:
        super().__init__()
        self._written: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._written.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken, self._written = b"".join(self._written), []
        return taken


def zipped(export: Export) -> Generator[bytes]:
    """Yield the zip file, piece by piece."""
    pipe = _Pipe()
    with ZipFile(pipe, "w", ZIP_DEFLATED) as archive:
        for name, text in export.files.items():
            entry = ZipInfo(name, time.gmtime()[:6])
            entry.compress_type = ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as file:
                for piece in text():
                    file.write(piece.encode())
                    if ready := pipe.take():
                        yield ready
    yield pipe.take()


def add_own(export: Export) -> None:
    """Add what accounts know of a person."""
    user = export.user
    export.add_json("profile.json", lambda: _profile(user))
    export.add_table(
        "sessions.csv",
        ["kind", "address", "program", "signed_in", "last_used"],
        lambda: [
            *(["browser", one.ip, one.user_agent, one.created_at, one.last_seen_at] for one in sessions.live_sessions(user)),
            *(["program", one.ip, one.user_agent, one.created_at, one.last_used_at] for one in sessions.live_logins(user)),
        ],
    )
    export.add_table(
        "api_tokens.csv",
        ["name", "begins_with", "scopes", "created", "expires", "last_used"],
        lambda: (
            [one.name, one.prefix, " ".join(one.scopes), one.created_at, one.expires_at, one.last_used_at]
            for one in user.api_tokens.filter(kind=ApiToken.Kind.PERSONAL)
        ),
    )
    export.add_table(
        "accounts.csv",
        ["id", "kind", "name", "role", "since"],
        lambda: (
            [one.account_id, one.account.kind, one.account.name, one.role, one.created_at]
            for one in selectors.memberships_of(user)
        ),
    )


def _profile(user: User) -> dict[str, object]:
    names = ("username", "email", "first_name", "last_name", "phone", "phone_verified", "time_zone", "language", "theme")
    addresses = EmailAddress.objects.filter(user=user).values("email", "verified", "primary")
    sites = SocialAccount.objects.filter(user=user)
    return {
        "id": user.uuid,
        **{name: getattr(user, name) for name in names},
        "joined": user.date_joined,
        "last_sign_in": user.last_login,
        "delete_at": user.delete_at,
        "addresses": list(addresses),
        "second_factors": [*Authenticator.objects.filter(user=user).values("type", "created_at", "last_used_at")],
        "codes_at_sign_in": user.code_factor,
        "sites": [{"site": one.provider, "id": one.uid, "since": one.date_joined, "said": one.extra_data} for one in sites],
    }
