"""What the hot path keeps in Valkey, and how a change makes it forget.

    token:{sha256}          "{user} {control or read} {expiry or 0}"                        TTL 60 s
    access:{user}:{device}  "{role} {profile} {lane} {account} {messages} {month} {its end}"  TTL 60 s; no longer than the month
    profile:{own profile}   "{version} {lane}", where the access entry has "{id} own"       TTL 60 s
    presence:{device}       "1" connected, "0" not; written by the bridge, believed while `bridge:alive` lives
    quota:{account}:{yyyymm}, rate:{user}:{minute}, looks:{user}:{minute}, lane:{device}[:{api}]       counters and locks

Where the database knows of nothing, the first two hold "!" for `NOTHING_S`.

A change does not delete an entry but buries it: for `BURIED_S` the key holds "-", which a reader takes as "ask the database" and
which a reader that looked the row up just before the change cannot overwrite (it fills with SET NX).

What a gateway was granted by these keys it grants again without asking, for a second, until Valkey tells it of a change.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import redis
from django.conf import settings

TTL_S = 60
BURIED_S = 5
BURIED = "-"
NOTHING_S = 5
NOTHING = "!"
DISCONNECT_CHANNEL = "broker:disconnect"
COMMAND_STREAM = "commands"
BRIDGE_ALIVE = "bridge:alive"


@lru_cache(maxsize=1)
def client() -> redis.Redis:
    """Return this process's synchronous Valkey client."""
    return redis.Redis.from_url(settings.VALKEY_URL, decode_responses=True)


def access_key(user_id: int, device: str) -> str:
    """Return the key of one user's access to one device."""
    return f"access:{user_id}:{device}"


def token_key(token_hash: str) -> str:
    """Return the key of one token."""
    return f"token:{token_hash}"


def profile_key(profile: str) -> str:
    """Return the key of what is in force of an own profile (its id, 32 hex digits)."""
    return f"profile:{profile}"


def presence_key(device: str) -> str:
    """Return the key of one device's presence."""
    return f"presence:{device}"


def quota_key(account: str, month: str) -> str:
    """Return the key of what an account (32 hex digits) has used of a month (yyyymm)."""
    return f"quota:{account}:{month}"


def bury(keys: Iterable[str]) -> None:
    """Have the next reader of each key ask the database; who goes by what it read has been told (messaging.gateway.standing)."""
    with client().pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.set(key, BURIED, ex=BURIED_S)
        pipe.execute()
    client().ping()  # an answer to a second question comes after the others have been told


def forget_access(device: str, user_ids: list[int]) -> None:
    """Bury the access entries of `device`."""
    bury(access_key(user_id, device) for user_id in user_ids)


def forget_profile(profile: str) -> None:
    """Bury which version of an own profile is in force: all its devices are looked up by the new one from here on."""
    bury([profile_key(profile)])


def forget_token(token_hash: str) -> None:
    """Bury a token."""
    bury([token_key(token_hash)])


def presume_offline(device: str) -> None:
    """Say that a new device is not connected, unless the bridge has heard otherwise meanwhile."""
    client().set(presence_key(device), "0", nx=True)


def ask_broker_to_disconnect(device: str, cause: str, fingerprint: str = "") -> None:
    """Tell the broker process to close the device's connection, or only one that was made with the certificate `fingerprint`.

    `cause` as presence says it: "revoked", "deleted", "operator".
    """
    client().publish(DISCONNECT_CHANNEL, f"{device} {cause} {fingerprint}".rstrip())
