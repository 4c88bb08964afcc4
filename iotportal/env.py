"""Typed readers of environment variables.

Everything a deployment can change comes through here and is read in ``iotportal.settings`` alone. A value that cannot be
read stops the start with the variable's name and what it may be, rather than falling back to something else.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

DATABASE_TLS = ("sslmode", "sslrootcert", "sslcert", "sslkey")  # what a database's URL may say besides, as libpq has it


def text(name: str, default: str | None = None) -> str:
    """Return the variable `name`; without `default` it must be set.

    Raises:
        ImproperlyConfigured: it is not set and there is no default.
    """
    value = os.environ.get(name, default)
    if value is None:
        raise ImproperlyConfigured(f"Set the environment variable {name}.")
    return value


def secret(name: str, default: str | None = None) -> str:
    """Return the secret `name`, or the content of the file that `name`_FILE points to.

    Raises:
        ImproperlyConfigured: both are set, the file cannot be read or is empty, or nothing is set and there is no default.
    """
    path = os.environ.get(f"{name}_FILE")
    if path is None:
        return text(name, default)
    if name in os.environ:
        raise ImproperlyConfigured(f"Set {name} or {name}_FILE, not both.")
    try:
        value = Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE: {error.strerror}: {path}") from error
    if not value:
        raise ImproperlyConfigured(f"{name}_FILE: {path} is empty.")
    return value


def prefixed(prefix: str) -> dict[str, str]:
    """Return all secrets whose names begin with `prefix`, by the rest of their names. Raises as `secret`."""
    names = {name.removesuffix("_FILE") for name in os.environ if name.startswith(prefix)}
    return {name.removeprefix(prefix): secret(name) for name in sorted(names)}


def boolean(name: str, default: bool) -> bool:
    """Return the variable `name` as a bool; only 1/0, true/false, yes/no, on/off are taken."""
    value = os.environ.get(name)
    if value is None or value == "":
        return default
    known = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    try:
        return known[value.lower()]
    except KeyError:
        raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}.") from None


def integer(name: str, default: int, *, minimum: int | None = None, maximum: int | None = None) -> int:
    """Return the variable `name` as an int within the bounds."""
    value = os.environ.get(name)
    if value is None or value == "":
        return default
    try:
        number = int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, not {value!r}.") from None
    if (minimum is not None and number < minimum) or (maximum is not None and number > maximum):
        raise ImproperlyConfigured(f"{name} must lie between {minimum} and {maximum}, not {number}.")
    return number


def choice(name: str, choices: tuple[str, ...]) -> str:
    """Return the variable `name`, one of `choices`, of which the first is the default."""
    value = os.environ.get(name) or choices[0]
    if value not in choices:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
    return value


def words(name: str, default: str = "") -> list[str]:
    """Return the variable `name` split at commas, without blanks."""
    return [word.strip() for word in os.environ.get(name, default).split(",") if word.strip()]


def database(name: str = "DATABASE_URL", default: str | None = None) -> dict[str, Any]:
    """Return Django's database settings from a URL `postgres://user:password@host:port/name?sslmode=verify-full`."""
    parts = urlsplit(secret(name, default))
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured(f"{name} must start with postgres://; the portal needs PostgreSQL.")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(options.keys() - set(DATABASE_TLS)):  # to pass over one would be to connect without it
        raise ImproperlyConfigured(f"{name} has {unknown[0]}; after ? it takes {', '.join(DATABASE_TLS)} alone.")
    return {
        "ENGINE": "iotportal.database",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "OPTIONS": options,
    }
