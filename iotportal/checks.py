"""Settings that can be read but cannot work, told by `manage.py check` before anybody waits for an answer.

What cannot be read at all stops the start in `iotportal.env`. Errors are what breaks the portal; what only a public
installation must not do is a warning of `check --deploy`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.http.request import validate_host
from django.utils.translation import to_locale

from iotportal.login_providers import LoginProvider
from iotportal.sockets import MAX_SOCKET_FOLDER, fits_sockets

_HOST_NAME = re.compile(r"[A-Za-z0-9._-]+\Z")
_ORIGIN = re.compile(r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:]+\])(?::\d{1,5})?\Z")
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})


def check_settings(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Check what every process needs."""
    return [*_portal_url(), *_hosts(), *_addresses(), *_broker_sockets(), *_cors_origins(), *_login_providers(), *_languages()]


def check_deployment(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Check what a public installation must have besides (`check --deploy`)."""
    found: list[CheckMessage] = []
    if not settings.PORTAL_URL.startswith("https://"):
        hint = "Set PORTAL_URL to https://… and let a proxy hold the certificate; sign-in and tokens pass in the clear otherwise."
        found.append(Warning("The portal is not served over HTTPS.", hint=hint, id="iotportal.W001"))
    if settings.DEVICE_HOST in _HERE:
        hint = "Set PORTAL_DEVICE_HOST to the name or address at which devices reach the broker."
        found.append(
            Warning(f"Devices are told to connect to {settings.DEVICE_HOST}, themselves.", hint=hint, id="iotportal.W002")
        )
    if "*" in settings.ALLOWED_HOSTS:
        hint = "Name the hosts in PORTAL_ALLOWED_HOSTS; links in mails are built from the name that a request brings."
        found.append(Warning("Any host name is taken.", hint=hint, id="iotportal.W003"))
    if not settings.ADMIN_REQUIRES_FACTOR:
        hint = "Leave PORTAL_ADMIN_REQUIRES_FACTOR alone; who opens the admin without a second factor is told how to set one up."
        found.append(Warning("The admin opens with a password alone.", hint=hint, id="iotportal.W004"))
    return found


def _portal_url() -> list[CheckMessage]:
    parts = urlsplit(settings.PORTAL_URL)
    if (
        parts.scheme in {"http", "https"}
        and parts.hostname
        and not (parts.path or parts.query or parts.fragment or parts.username)
    ):
        return []
    hint = "Only scheme, host and port, such as https://portal.example.com or http://localhost:8000."
    return [Error(f"PORTAL_URL is {settings.PORTAL_URL!r}, which is no base URL.", hint=hint, id="iotportal.E001")]


def _hosts() -> list[CheckMessage]:
    host = urlsplit(settings.PORTAL_URL).hostname
    if not host:
        return []  # said already
    if validate_host(f"[{host}]" if ":" in host else host, settings.ALLOWED_HOSTS):
        return []
    hint = f"Add {host} to PORTAL_ALLOWED_HOSTS, or every page answers 400 under the portal's own URL."
    return [Error("PORTAL_ALLOWED_HOSTS does not have the host of PORTAL_URL.", hint=hint, id="iotportal.E002")]


def _addresses() -> list[CheckMessage]:
    values = {"PORTAL_DEVICE_HOST": settings.DEVICE_HOST, "MQTT_HOST": settings.MQTT_HOST}
    hint = "A host name or an address, without scheme or port; the port has a variable of its own."
    return [
        Error(f"{name} is {value!r}, which is no host.", hint=hint, id="iotportal.E003")
        for name, value in values.items()
        if not _is_host(value)
    ]


def _broker_sockets() -> list[CheckMessage]:
    folder = settings.BROKER_SOCKETS
    if folder is None or (folder.is_absolute() and fits_sockets(folder)):
        return []
    hint = (
        f"An absolute path of at most {MAX_SOCKET_FOLDER} bytes, for systems take no longer names of sockets; or leave it empty."
    )
    return [Error(f"PORTAL_BROKER_SOCKETS is {str(folder)!r}, where no sockets can be.", hint=hint, id="iotportal.E010")]


def _cors_origins() -> list[CheckMessage]:
    hint = "Scheme, host and port as a browser sends them, such as https://app.example.com; * is not taken."
    return [
        Error(f"PORTAL_CORS_ORIGINS has {origin!r}, which is no origin.", hint=hint, id="iotportal.E004")
        for origin in settings.CORS_ORIGINS
        if not _ORIGIN.match(origin)
    ]


def _languages() -> list[CheckMessage]:
    hint = "docs/accounts.md says how a language is added."
    folders = [Path(folder) for folder in settings.LOCALE_PATHS]
    return [
        Error(f"PORTAL_LANGUAGES names {code!r}, but the portal's texts are not there in it.", hint=hint, id="iotportal.E009")
        for code, _ in settings.LANGUAGES
        if code != "en" and not any((folder / to_locale(code) / "LC_MESSAGES" / "django.mo").is_file() for folder in folders)
    ] or [
        Error(f"PORTAL_{name} is empty.", hint="Set it to en.", id="iotportal.E009")
        for name in ("LANGUAGES", "NOTIFICATION_LANGUAGES")
        if not getattr(settings, name)
    ]


def _is_host(value: str) -> bool:
    if _HOST_NAME.match(value):  # IPv4 addresses too
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(value).version == 6
    return False


def _login_providers() -> list[CheckMessage]:
    """Say which sites to sign in with are set up by half, or in a way that cannot work."""
    found = [message for one in settings.LOGIN_PROVIDERS for message in _login_provider(one)]
    hint = "Is it misspelt? docs/sign-in.md has the names."
    misspelt = [Error(f"{name} is no variable of the portal.", hint=hint, id="iotportal.E008") for name in settings.LOGIN_UNKNOWN]
    return [*found, *misspelt]


def _login_provider(one: LoginProvider) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if one.missing:
        hint = f"Set {', '.join(one.missing)} too, or nothing of {one.name}; until then it is not offered. See docs/sign-in.md."
        found.append(Error(f"Signing in with {one.name} is set up by half.", hint=hint, id="iotportal.E005"))
    if one.values.get("URL") and not _is_issuer(one.values["URL"]):
        hint = "The provider's issuer, such as https://sso.example.com/realms/home; http:// is for one on this machine alone."
        found.append(Error(f"{one.values['URL']!r} is no address of an OpenID Connect provider.", hint=hint, id="iotportal.E006"))
    if one.values.get("KEY") and not _is_ec_key(one.values["KEY"]):
        hint = "The .p8 file that Apple gave, whole: best by PORTAL_LOGIN_APPLE_KEY_FILE."
        found.append(Error("PORTAL_LOGIN_APPLE_KEY is no private key.", hint=hint, id="iotportal.E007"))
    return found


def _is_issuer(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _HERE))


def _is_ec_key(text: str) -> bool:
    try:
        return isinstance(load_pem_private_key(text.encode(), None), EllipticCurvePrivateKey)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
