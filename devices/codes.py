"""Random codes that people read, write down and type."""

from __future__ import annotations

import secrets

ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # none that is taken for another: no 0 and O, 1, I and L, U and V


def random_code(groups: int, letters: int) -> str:
    """Return `groups` groups of `letters` each, with hyphens between them: 4.9 random bits a letter."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(letters)) for _ in range(groups))
