"""Other sites that sign people in, for pages: `{% load login_providers %}`."""

from __future__ import annotations

from django import template
from django.conf import settings

from iotportal.login_providers import LoginProvider

register = template.Library()


@register.simple_tag
def login_providers() -> list[LoginProvider]:
    """Return the sites that are set up."""
    return [one for one in settings.LOGIN_PROVIDERS if not one.missing]


@register.filter
def site_icon(provider: LoginProvider) -> str:
    """Return the name of a site's icon."""
    return "world" if provider.kind == "oidc" else f"brand-{provider.kind}"
