"""What is said again and again, a row of a page or a mail: rendered once a process, with holes, and filled for each.

A row of a list costs the template language almost as much as a page of text, although only its values differ from the row above.
So the fragment stays a template beside the page, and the words of a mail among the mails, and is rendered by the same language,
but once: each `{{ name }}` in it leaves a hole. A hole has no filter and no `if`; what is chosen from row to row comes as a
value, and what is the same for the whole page (`same`) is an ordinary variable: there is one stencil for each combination.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from functools import lru_cache
from html import escape

from django.conf import settings
from django.template import Context
from django.template.loader import get_template
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language

_HOLE = re.compile("\x00(\\w+)\x00")
_SPECIAL = re.compile("[&<>\"']").search
_LITERALS = {"True", "False", "None"}  # the template language looks these up like variables


class _Hole(SafeString):
    """What stands for a value that comes later."""

    def __bool__(self) -> bool:
        raise TypeError("A hole of a stencil is neither true nor false: give what an `if` asks for as `same`.")


class _Holes(dict[str, object]):
    """A context in which every name that has no value leaves a hole."""

    def __contains__(self, key: object) -> bool:
        return key not in _LITERALS

    def __missing__(self, key: str) -> _Hole:
        return _Hole(f"\x00{key}\x00")


def draw(template: str, values: Mapping[str, object], **same: Hashable) -> SafeString:
    """Fill a stencil: `values` are escaped unless they are safe already, None is nothing; `same` decides what the stencil is.

    Raises:
        KeyError: a hole has no value.
    """
    return mark_safe(_filled(_of(template, same), values))  # noqa: S308  # the template's own text, and values that are escaped


def draw_all(template: str, rows: Iterable[tuple[Mapping[str, object], Mapping[str, Hashable]]]) -> SafeString:
    """Fill a stencil for each of `rows`, pairs of `values` and `same`."""
    made: dict[tuple[tuple[str, Hashable], ...], str] = {}  # so that what holds for all is asked once
    drawn = []
    for values, same in rows:
        key = tuple(same.items())
        if (stencil := made.get(key)) is None:
            stencil = made[key] = _of(template, same)
        drawn.append(_filled(stencil, values))
    return mark_safe("".join(drawn))  # noqa: S308  # as in `draw`


def write(template: str, values: Mapping[str, str], **same: Hashable) -> str:
    """Fill the stencil of a plain text, in which nothing is escaped. Otherwise, and in what it raises, as `draw`."""
    return _of(template, same) % values


def _of(template: str, same: Mapping[str, Hashable]) -> str:
    made = _make if settings.DEBUG else _stencil  # who works on a template wants to see the change
    return made(template, get_language(), **same)


def _filled(stencil: str, values: Mapping[str, object]) -> str:
    return stencil % {key: _shown(value) for key, value in values.items()}


def _shown(value: object) -> str:
    if isinstance(value, SafeString):
        return value
    if value is None:
        return ""
    return escaped(str(value))


def escaped(text: str) -> str:
    """Return a text as HTML: as `html.escape` does, but most texts have nothing in them that it looks for, five times."""
    return escape(text) if _SPECIAL(text) else text


def _make(template: str, language: str | None, /, **same: Hashable) -> str:
    """Return the fragment as a text for `%`; `language` is the one in force, for the cache to know it."""
    text = get_template(template).template.render(Context(_Holes(same)))  # type: ignore[attr-defined]  # the backend is Django's
    return _HOLE.sub(r"%(\1)s", text.strip().replace("%", "%%"))


_stencil = lru_cache(maxsize=512)(_make)
