"""People's own words with gaps, like ``{device}``: pure. Only names of a fixed list are filled, with text; nothing is looked up
in anything, and what is filled in is not looked at again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

_GAP = re.compile(r"\{([a-z_]{1,32})\}")


class UnknownGap(ValueError):
    """A gap that cannot be filled; the text says which, and which can."""


def check(text: str, known: Collection[str]) -> None:
    """Make sure that each gap can be filled. Raises UnknownGap."""
    for name in _GAP.findall(text):
        if name not in known:
            raise UnknownGap(f"{{{name}}} is not known. You can use {', '.join(f'{{{one}}}' for one in known)}.")


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return the text with its gaps filled; one that has no value stays as it is."""
    return _GAP.sub(lambda found: values.get(found[1], found[0]), text)
