"""What the bridge knows of devices and users without asking each time: a short, bounded memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar
from uuid import UUID

from devices import profile_store
from devices.profiles import DEFAULT_PROFILE, Profile, UnknownProfile, get_profile
from messaging.bridge.database import Cursor

TTL_S = 60.0
UNKNOWN_TTL_S = 5.0  # of what is not there, so that a device registered a moment ago is soon seen
MAX_DEVICES = 50_000
MAX_USERS = 10_000

FIND_DEVICES = "SELECT id, account_id, profile, own_profile_id FROM devices_device WHERE id = ANY(%s) AND deleted_at IS NULL"
# What is in force of people's own profiles is asked for with every batch that has such devices: a save counts at once.
FIND_VERSIONS = "SELECT id, version FROM devices_ownprofile WHERE id = ANY(%s)"
FIND_DOCUMENTS = """
    SELECT v.profile_id, v.number, v.document FROM devices_profileversion v
    JOIN devices_ownprofile p ON p.id = v.profile_id AND p.version = v.number WHERE p.id = ANY(%s)
"""
# Who moved lately: what a device says belongs to its new account a second after it was claimed, whatever is remembered.
FIND_MOVED = "SELECT id FROM devices_device WHERE moved_at > now() - interval '90 seconds'"
MOVED_EVERY_S = 1.0
FIND_USERS = "SELECT id, username FROM accounts_user WHERE id = ANY(%s)"

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """A device that is not deleted."""

    id: UUID
    account_id: UUID
    profile: Profile
    own_profile_id: UUID | None = None
    hex: str = ""  # of `id` and of `account_id`: to spell them out for each message costs more than to read the message
    account_hex: str = ""


class _Memory(Generic[Key, Value]):
    """Least recently learned goes first; None is remembered too, for a shorter time."""

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        self._size = size
        self._clock = clock
        self._entries: OrderedDict[Key, tuple[float, Value | None]] = OrderedDict()

    def missing(self, keys: Iterable[Key]) -> list[Key]:
        now = self._clock()
        return [key for key in set(keys) if key not in self._entries or self._entries[key][0] <= now]

    def learn(self, key: Key, value: Value | None) -> None:
        self._entries[key] = (self._clock() + (UNKNOWN_TTL_S if value is None else TTL_S), value)
        self._entries.move_to_end(key)

    def trim(self, keep: int) -> None:
        """Forget the oldest, but none of the `keep` that were just asked for."""
        while len(self._entries) > max(self._size, keep):
            self._entries.popitem(last=False)

    def forget(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._entries.pop(key, None)

    def get(self, key: Key) -> Value | None:
        entry = self._entries.get(key)
        return None if entry is None else entry[1]


class Directory:
    """Looks devices and users up by the batch."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._devices: _Memory[UUID, KnownDevice] = _Memory(MAX_DEVICES, clock)
        self._users: _Memory[int, str] = _Memory(MAX_USERS, clock)
        self._clock, self._moved_at = clock, -MOVED_EVERY_S

    def devices(self, cursor: Cursor, ids: Iterable[UUID]) -> Callable[[UUID], KnownDevice | None]:
        """Return a look-up that knows these devices; None for one that is unknown or deleted."""
        wanted = set(ids)
        self._forget_moved(cursor)
        missing = self._devices.missing(wanted)
        if missing:
            cursor.execute(FIND_DEVICES, [missing])
            found = {row[0]: KnownDevice(row[0], row[1], _profile(row[2]), row[3], row[0].hex, row[1].hex) for row in cursor}
            for key in missing:
                self._devices.learn(key, found.get(key))
            self._devices.trim(len(wanted))
        own = {known.own_profile_id for key in wanted if (known := self._devices.get(key)) and known.own_profile_id}
        return self._with_own_profiles(_own_profiles(cursor, own)) if own else self._devices.get

    def _forget_moved(self, cursor: Cursor) -> None:
        """Forget whose the devices were that moved lately."""
        now = self._clock()
        if now - self._moved_at < MOVED_EVERY_S:
            return
        self._moved_at = now
        cursor.execute(FIND_MOVED)
        self._devices.forget(row[0] for row in cursor)

    def _with_own_profiles(self, profiles: Mapping[UUID, Profile]) -> Callable[[UUID], KnownDevice | None]:
        """Return a look-up in which devices of people's own profiles have what is in force of them."""

        def look_up(key: UUID) -> KnownDevice | None:
            known = self._devices.get(key)
            profile = profiles.get(known.own_profile_id) if known is not None and known.own_profile_id else None
            return known if known is None or profile is None else replace(known, profile=profile)

        return look_up

    def users(self, cursor: Cursor, ids: Iterable[int]) -> Callable[[int], str | None]:
        """Return a look-up of user names that knows these users."""
        wanted = set(ids)
        missing = self._users.missing(wanted)
        if missing:
            cursor.execute(FIND_USERS, [missing])
            found = {row[0]: row[1] for row in cursor}
            for key in missing:
                self._users.learn(key, found.get(key))
            self._users.trim(len(wanted))
        return self._users.get


def _own_profiles(cursor: Cursor, ids: set[UUID]) -> dict[UUID, Profile]:
    """Return what is in force of these profiles; one that was deleted meanwhile is left out."""
    cursor.execute(FIND_VERSIONS, [list(ids)])
    keys = {row[0]: profile_store.own_key(row[0], row[1]) for row in cursor}
    found = {key: profile for key, name in keys.items() if (profile := profile_store.known(name)) is not None}
    missing = [key for key in keys if key not in found]
    if missing:
        cursor.execute(FIND_DOCUMENTS, [missing])
        # By the number that came with the document: it may have been saved again since the versions were asked for.
        found |= {row[0]: profile_store.learn(profile_store.own_key(row[0], row[1]), row[2]) for row in cursor.fetchall()}
    return found


def _profile(slug: str) -> Profile:
    """Return a profile; a device whose kind has been withdrawn still has a history."""
    try:
        return get_profile(slug)
    except UnknownProfile:
        return get_profile(DEFAULT_PROFILE)
