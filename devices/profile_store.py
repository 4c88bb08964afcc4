"""Every profile there is, shipped or somebody's own, by its key.

A key names one version of one profile: the slug of a shipped one, or `{id}/{version}` of an own one. What a key stands for never
changes, so every process keeps what it has read, and a save takes effect by the key that devices are looked up with.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from devices.models import Device, OwnProfile, ProfileVersion
from devices.profile_documents import Document, from_stored, in_order
from devices.profiles import DEFAULT_PROFILE, Profile, ProfileError, UnknownProfile, get_profile, parse_profile, resolved

logger = logging.getLogger(__name__)

KEPT = 500  # own profiles that one process remembers

_lock = threading.Lock()
_own: OrderedDict[str, Profile] = OrderedDict()


def own_key(profile_id: UUID, version: int) -> str:
    """Return the key of a version of an own profile."""
    return f"{profile_id.hex}/{version}"


def key_of(device: Device) -> str:
    """Return the key of the profile that a device is treated by now; asks for its own profile if that was not joined."""
    return device.profile if device.own_profile is None else own_key(device.own_profile.pk, device.own_profile.version)


def known(key: str) -> Profile | None:
    """Return the profile of a key if this process knows it, without asking anybody."""
    if "/" not in key:
        return get_profile(key)
    with _lock:
        profile = _own.get(key)
        if profile is not None:
            _own.move_to_end(key)
        return profile


def find(key: str) -> Profile:
    """Return the profile of a key. Raises UnknownProfile: there is none, or that version is not kept any more."""
    profile = known(key)
    if profile is not None:
        return profile
    hex_id, _, number = key.partition("/")
    version = ProfileVersion.objects.filter(profile_id=UUID(hex=hex_id), number=int(number)).only("document").first()
    if version is None:
        raise UnknownProfile(key)
    return learn(key, version.document)


def document(profile: Profile, own: OwnProfile | None) -> Document:
    """Return the JSON that a profile is made of. Raises UnknownProfile: that version is not kept any more."""
    if own is None:
        return in_order(resolved(profile.slug))
    version = own.versions.filter(number=own.version).only("document").first()
    if version is None:
        raise UnknownProfile(own.slug)
    return from_stored(version.document)


def learn(key: str, stored: Mapping[str, Any]) -> Profile:
    """Read an own profile as it is stored and remember it.

    It was checked when it was saved. Should a later portal not understand it any more, its devices are treated as standard ones.
    """
    document = from_stored(stored)
    try:
        profile = parse_profile(document, where=key, slug=document["slug"])
    except ProfileError:
        logger.exception("the own profile %s cannot be read any more", key)
        profile = get_profile(DEFAULT_PROFILE)
    with _lock:
        _own[key] = profile
        while len(_own) > KEPT:
            _own.popitem(last=False)
    return profile
