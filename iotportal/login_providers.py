"""Other sites that people sign in with: which there are is said by the environment alone (see docs/sign-in.md).

A provider is there once all its variables are set. One that lacks some is left out, and `manage.py check` says what is missing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from iotportal import env

PREFIX = "PORTAL_LOGIN_"
# What each needs besides a name; secrets among them can come from files.
_NEEDS = {
    **dict.fromkeys(("google", "github", "facebook", "amazon"), ("ID", "SECRET")),
    "apple": ("ID", "TEAM", "KEY_ID", "KEY"),
    "oidc": ("URL", "ID", "SECRET"),
}
_NAMES = {"google": "Google", "github": "GitHub", "facebook": "Facebook", "amazon": "Amazon", "apple": "Apple"}
_IDS = [*_NAMES, "oidc", *(f"oidc{number}" for number in range(2, 10))]
_SECRETS = frozenset({"SECRET", "KEY"})
_PROOF_KEY = frozenset({"google", "github", "oidc"})  # those that are known to take PKCE (RFC 7636)


@dataclass(frozen=True, slots=True)
class LoginProvider:
    """One provider as the environment has it."""

    id: str  # in addresses and in the database: "google", "oidc", "oidc2"
    kind: str  # "google", …, or "oidc"
    name: str  # as buttons say it
    trusts_email: bool  # its word that an address is somebody's is taken
    values: dict[str, str] = field(repr=False)  # secrets among them
    missing: tuple[str, ...]  # names of variables

    def as_app(self) -> dict[str, Any]:
        """Return it as allauth's SOCIALACCOUNT_PROVIDERS has its apps."""
        settings: dict[str, Any] = {"trusts_email": self.trusts_email, "oauth_pkce_enabled": self.kind in _PROOF_KEY}
        app = {"client_id": self.values["ID"], "secret": self.values.get("SECRET", ""), "name": self.name, "settings": settings}
        if self.kind == "oidc":
            app["provider_id"] = self.id
            settings["server_url"] = self.values["URL"].rstrip("/")
        elif self.kind == "apple":  # which signs its requests instead of naming a secret
            app |= {"secret": self.values["KEY_ID"], "key": self.values["TEAM"]}
            settings["certificate_key"] = self.values["KEY"]
        return app


def read() -> list[LoginProvider]:
    """Return the providers of which at least one variable is set, complete or not."""
    return [one for one in map(_provider, _IDS) if one is not None]


def unknown() -> list[str]:
    """Return the variables that look as if they were for a provider and are not, as a misspelt name is."""
    known = {f"{PREFIX}{one.upper()}_{name}" for one in _IDS for name in (*_NEEDS[_kind(one)], "NAME", "TRUST_EMAIL")}
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name.removesuffix("_FILE") not in known)


def for_allauth(providers: list[LoginProvider]) -> dict[str, Any]:
    """Return allauth's SOCIALACCOUNT_PROVIDERS for those that are complete."""
    apps: dict[str, Any] = {}
    for one in providers:
        if not one.missing:
            kind = "openid_connect" if one.kind == "oidc" else one.kind
            apps.setdefault(kind, {"APPS": []})["APPS"].append(one.as_app())
    return apps


def _kind(provider_id: str) -> str:
    return "oidc" if provider_id.startswith("oidc") else provider_id


def _provider(provider_id: str) -> LoginProvider | None:
    kind, prefix = _kind(provider_id), f"{PREFIX}{provider_id.upper()}_"
    said = {name: env.secret(prefix + name, "") if name in _SECRETS else env.text(prefix + name, "") for name in _NEEDS[kind]}
    values = {name: value.strip() for name, value in said.items()}
    if not any(values.values()):
        return None
    return LoginProvider(
        id=provider_id,
        kind=kind,
        name=env.text(prefix + "NAME", "").strip() or _NAMES.get(kind, "OpenID Connect"),
        trusts_email=env.boolean(prefix + "TRUST_EMAIL", default=kind == "google"),
        values=values,
        missing=tuple(prefix + name for name, value in values.items() if not value),
    )
