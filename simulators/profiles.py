"""What kinds of device there are: the limits and habits of each, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """How one kind of firmware reads, answers and behaves. Sizes are bytes; None means no limit."""

    slug: str
    summary: str
    string_search: bool = False
    """Finds values by searching the text and prints answers without escaping, as the smallest firmware does."""
    payload_bytes: int | None = None
    answer_bytes: int | None = None
    text_bytes: int | None = None
    """Size of the recipient and of the message buffer."""
    deaf_s: float | None = None
    """Unsubscribes while it works; seconds between its answer and listening again. None: always listens."""
    echoes_id: bool = False
    presence: bool = False
    errors: bool = False


STANDARD = Profile("standard", "the documented apis, nothing else")
FT900 = Profile(
    "ft900",
    "the smallest firmware: small buffers, deaf while it works, answers unescaped",
    string_search=True,
    payload_bytes=128,
    answer_bytes=127,
    text_bytes=64,
    deaf_s=0.03,
)
MODERN = Profile(
    "modern",
    "echoes the command's id, tells its presence, answers errors in words",
    echoes_id=True,
    presence=True,
    errors=True,
)

PROFILES: dict[str, Profile] = {profile.slug: profile for profile in (STANDARD, FT900, MODERN)}
