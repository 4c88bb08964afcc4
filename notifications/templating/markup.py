"""The HTML that an operator may write for mails: a few tags that close, and gaps where text stands. Pure.

What is kept is written anew from what was understood of it, so no mail program understands it otherwise: there is no script, no
style, no image that tells when it was looked at, and no way to end what the portal puts around it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from html import escape
from html.parser import HTMLParser

_TAGS = frozenset({
    "a", "b", "bdi", "blockquote", "code", "div", "em", "h2", "h3", "i", "li", "ol", "p", "pre", "s", "small", "span", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "u", "ul",
})  # fmt: skip
_VOID = frozenset({"br", "hr"})
_URL = re.compile(r"(?:https?://|mailto:)[^\s{}<>\"'\\]{1,500}")
_LINK = re.compile(r"\{([a-z_]{1,32})\}")
_VALUES = {"dir": re.compile(r"auto|ltr|rtl"), "lang": re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")}


class BadMarkup(ValueError):
    """HTML that is not taken. The text says why."""


def canonical(source: str, links: Collection[str] = ()) -> str:
    """Return HTML as it is kept. `links`: the names of gaps that may be where a link leads.

    Raises:
        BadMarkup: it has something that mails do not have, or a tag that does not close.
    """
    reader = _Reader(links)
    reader.feed(source)
    reader.close()
    if reader.open:
        raise BadMarkup(f"<{reader.open[-1]}> does not close.")
    return "".join(reader.parts).strip()


class _Reader(HTMLParser):
    """Writes down what it understands, and takes nothing else."""

    def __init__(self, links: Collection[str]) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.open: list[str] = []
        self._links = links

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a tag of the list."""
        if tag not in _TAGS | _VOID:
            raise BadMarkup(f"<{tag[:20]}> is not taken. These are: {', '.join(sorted(_TAGS | _VOID))}.")
        self.parts.append(f"<{tag}{''.join(self._attribute(tag, name, value or '') for name, value in attrs)}>")
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close what was opened last."""
        if tag in _VOID:
            return
        if not self.open or self.open[-1] != tag:
            raise BadMarkup(f"</{tag[:20]}> closes nothing that is open there.")
        self.open.pop()
        self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        """Take text."""
        self.parts.append(escape(data, quote=False))

    def handle_comment(self, data: str) -> None:
        """Take no comment: it would be in every mail."""
        raise BadMarkup("Comments and declarations are not taken.")

    def handle_decl(self, decl: str) -> None:
        """Nor what is for programs."""
        self.handle_comment(decl)

    def handle_pi(self, data: str) -> None:
        """Nor this."""
        self.handle_comment(data)

    def unknown_decl(self, data: str) -> None:
        """Nor that."""
        self.handle_comment(data)

    def _attribute(self, tag: str, name: str, value: str) -> str:
        if tag == "a" and name == "href":
            gap = _LINK.fullmatch(value)
            if not (gap and gap[1] in self._links) and not _URL.fullmatch(value):
                known = "".join(f"{{{one}}}, " for one in self._links)
                raise BadMarkup(f"A link leads to {known}https://…, http://… or mailto:… alone.")
        elif name not in _VALUES or not _VALUES[name].fullmatch(value):
            raise BadMarkup(f"{name[:20]} is not taken in <{tag}>. A link has href, and everything dir and lang.")
        return f' {name}="{escape(value)}"'
