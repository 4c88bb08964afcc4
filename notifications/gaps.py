"""People's own words with gaps, like ``{device}``: pure. Only names of a fixed list are filled, with text; nothing is looked up
in anything, and what is filled in is not looked at again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches

_GAP = re.compile(r"\{([a-z_]{1,32})\}")
# What was meant as a gap, or opens something in the languages of templates: none of it does anything here, so it is a mistake.
# Braces around anything else, as in {"level": 3}, are text.
_MEANT = re.compile(r"\{\{|\{%|\{#|\{\s*([A-Za-z_][^{}\s\"']{0,63})\s*\}")


class UnknownGap(ValueError):
    """A gap that cannot be filled; the text says which, which was perhaps meant, and which there are."""


def check(text: str, known: Collection[str]) -> None:
    """Make sure that each gap can be filled. Raises UnknownGap."""
    for found in _MEANT.finditer(text):
        if found[1] not in known or found[0] != f"{{{found[1]}}}":
            raise UnknownGap(_explained(found[0], found[1] or "", known))


def _explained(text: str, name: str, known: Collection[str]) -> str:
    near = get_close_matches(re.split(r"\W", name.lower())[0], known, 1)
    meant = f" Did you mean {{{near[0]}}}?" if near else ""
    return f"{text} is not known.{meant} You can use {', '.join(f'{{{one}}}' for one in known)}."


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return the text with its gaps filled; one that has no value stays as it is."""
    return _GAP.sub(lambda found: values.get(found[1], found[0]), text)
