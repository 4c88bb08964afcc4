"""`{% url %}` as Django has it, but for what it looks up more than once: a builtin of all templates (settings.TEMPLATES).

A page has twenty to forty addresses, most of them the same on every page and the rest those of one device. To put one together
takes Django as long as it takes to draw a row of a table.
"""

from __future__ import annotations

from functools import lru_cache
from uuid import UUID

from django import template
from django.template import defaulttags
from django.template.base import Parser, Token
from django.urls import URLResolver, get_resolver, get_script_prefix, get_urlconf, reverse
from django.utils.html import conditional_escape

register = template.Library()


class URLNode(defaulttags.URLNode):
    """Django's, which keeps the addresses that are made of a name, texts and ids."""

    def render(self, context: template.Context) -> str:
        """Return the address; all else is Django's to put together."""
        args = tuple(arg.resolve(context) for arg in self.args)
        if self.kwargs or self.asvar is not None or not all(isinstance(arg, str | UUID) for arg in args):
            return super().render(context)
        place = get_resolver(get_urlconf()), get_script_prefix()
        found = _address(*place, self.view_name.resolve(context), args, _namespace(context))
        return conditional_escape(found) if context.autoescape else found


@register.tag
def url(parser: Parser, token: Token) -> URLNode:
    """Read the tag as Django does."""
    node = defaulttags.url(parser, token)
    return URLNode(node.view_name, node.args, node.kwargs, node.asvar)


def _namespace(context: template.Context) -> str | None:
    """Return the instance of an app that the page belongs to, as Django finds it."""
    request = getattr(context, "request", None)
    if hasattr(request, "current_app"):
        return request.current_app  # type: ignore[union-attr, no-any-return]  # whoever sets it, sets a text
    return getattr(getattr(request, "resolver_match", None), "namespace", None)


@lru_cache(maxsize=4096)
def _address(resolver: URLResolver, prefix: str, name: str, args: tuple[str | UUID, ...], namespace: str | None) -> str:
    """Return the address; `resolver` and `prefix` are those in force, for the cache to know them. Raises NoReverseMatch."""
    return reverse(name, args=args, current_app=namespace)
