"""What every page knows."""

from django.conf import settings
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse


def portal(request: HttpRequest) -> dict[str, object]:
    """Return the portal's version, its own address and those of the menu."""
    return {
        "portal_url": settings.PORTAL_URL,
        "portal_version": settings.VERSION,
        "account_url": _address("accounts:account"),
        "api_docs_url": _address("api:docs"),
    }


def _address(name: str) -> str:
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""
