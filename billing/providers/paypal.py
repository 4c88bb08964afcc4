"""Where PayPal is, and how it is asked: its sandbox, the real one, or one on this machine (`simulators.paypal`)."""

from __future__ import annotations

import json
from typing import Any

import requests
from django.conf import settings
from paypal.standard import conf

from billing.providers.base import ProviderUnavailable

TIMEOUT_S = 10


def checkout_url() -> str:
    """Return where buyers pay by Payments Standard."""
    if settings.PAYPAL_URL:
        return f"{settings.PAYPAL_URL}/cgi-bin/webscr"
    return str(conf.LOGIN_URL if settings.PAYPAL_ENVIRONMENT == "live" else conf.SANDBOX_LOGIN_URL)


def postback_url() -> str:
    """Return where notices are verified: it is a setting's, never what the notice says of itself (`test_ipn`)."""
    if settings.PAYPAL_URL:
        return f"{settings.PAYPAL_URL}/cgi-bin/webscr"
    return str(conf.POSTBACK_ENDPOINT if settings.PAYPAL_ENVIRONMENT == "live" else conf.SANDBOX_POSTBACK_ENDPOINT)


def ask(method: str, url: str, **more: Any) -> requests.Response:
    """Send a request and return what came, with a status below 500.

    Raises:
        ProviderUnavailable: nothing came in time, or nothing that is an answer.
    """
    try:
        response = requests.request(method, url, timeout=TIMEOUT_S, allow_redirects=False, **more)
    except requests.RequestException as error:
        raise ProviderUnavailable("PayPal cannot be reached right now.") from error
    if response.status_code >= 500 or response.status_code == 429:
        raise ProviderUnavailable(f"PayPal answered {response.status_code}.")
    return response


def read_json(body: bytes | str) -> dict[str, Any] | None:
    """Return the JSON object of a body; None if it is none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
