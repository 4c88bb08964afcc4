"""What kinds of device there are: the portal's own profiles, from the same files, and what firmware makes of them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devices.profiles import Profile, ProfileError, all_profiles, parse_profile

PROFILES: dict[str, Profile] = {profile.slug: profile for profile in all_profiles()}
STANDARD, FT900, MODERN = (PROFILES[slug] for slug in ("standard", "ft900", "modern"))

LARGEST_PROFILE_BYTES = 256 * 1024
# The portal waits `settle_s` after an answer; a device that is conformant listens again well before that.
_SHARE_OF_SETTLE = 5


class ProfileProblem(Exception):
    """A profile cannot be had; the text says why and what to do."""


def deaf_s(profile: Profile) -> float | None:
    """Return how long the device does not listen after an answer, in seconds; None: it always listens."""
    return profile.settle_s / _SHARE_OF_SETTLE if profile.deaf else None


def text_bytes(profile: Profile) -> int | None:
    """Return the size of the device's buffers for recipient and message; None: no limit."""
    notification = profile.apis.get("trigger_notification")
    sizes = [one.max_bytes for one in notification.fields if one.max_bytes is not None] if notification else []
    return min(sizes, default=None)


def is_documented(profile: Profile, api: str) -> bool:
    """Say whether the profile has this api as the protocol documents it, with the same fields and answer."""
    own, documented = profile.apis.get(api), STANDARD.apis.get(api)
    return own is not None and documented is not None and _shape(own) == _shape(documented)


def _shape(api: Any) -> Any:
    return [[(one.name, one.type) for one in part] for part in (api.fields, api.answer)]


def own_profile(document: object, where: str) -> Profile:
    """Return the profile that a JSON object describes. Raises ProfileProblem."""
    if not isinstance(document, Mapping) or not isinstance(document.get("slug"), str):
        raise ProfileProblem(f"{where} is not a profile: it is a JSON object with slug, name and apis")
    if "extends" in document:
        raise ProfileProblem(f"{where} extends another profile; download the whole one from its page at the portal")
    try:
        return parse_profile(document, where=where, slug=document["slug"])
    except ProfileError as error:
        raise ProfileProblem(str(error)) from error


def read_profile(path: Path) -> Profile:
    """Return the profile in a file, as its page at the portal offers it. Raises ProfileProblem."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_PROFILE_BYTES + 1)
        document = json.loads(text) if len(text) <= LARGEST_PROFILE_BYTES else None
    except (OSError, ValueError, RecursionError) as error:
        raise ProfileProblem(f"{path} cannot be read: {error}") from error
    return own_profile(document, path.name)


def find_profile(word: str) -> Profile:
    """Return the profile that the command line names: a shipped one, or the file of another. Raises ProfileProblem."""
    if word in PROFILES:
        return PROFILES[word]
    if word.endswith(".json") or Path(word).is_file():
        return read_profile(Path(word))
    raise ProfileProblem(f"no profile is named {word}: there are {', '.join(sorted(PROFILES))}, or give a profile.json")


def fetch_profile(portal: str, token: str, device_id: str) -> Profile:
    """Ask the portal what kind of device this is, and return its profile as it is now. Raises ProfileProblem."""
    url = f"{portal.rstrip('/')}/api/v1/devices/{device_id}/profile"
    if not url.startswith(("http://", "https://")):
        raise ProfileProblem(f"{portal} is not the portal's address: it begins with https:// or http://")
    request = urllib.request.Request(url)  # noqa: S310 - http and https alone, see above
    request.add_unredirected_header("Authorization", f"Bearer {token}")  # wherever it sends us, the token stays here
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - http and https alone, see above
            document = json.loads(answer.read(LARGEST_PROFILE_BYTES))
    except urllib.error.HTTPError as error:
        what = {401: "the token is not good there", 403: "the token may not read it", 404: "it has no such device"}
        raise ProfileProblem(f"{portal} does not give the profile of {device_id}: {what.get(error.code, error)}") from error
    except (OSError, ValueError) as error:
        raise ProfileProblem(f"{portal} does not give the profile of {device_id}: {error}") from error
    return own_profile(document, device_id[:8])
