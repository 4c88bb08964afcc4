"""What is wrong with the portal's identity: the seal key, and the files of the certificate authority."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured

from devices import pki, profile_check, profiles
from devices.sealing import parse_seal_key


def check_identity(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Check the seal key and, where they exist, the authority's files; before the first `setup_pki` there is nothing to say."""
    return [*_seal_key(), *_permissions(Path(settings.PKI_DIR)), *_authority(), *_server_certificate()]


def check_profiles(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Check every shipped profile against the schema, and that it can be read; an operator may have added one."""
    found: list[CheckMessage] = []
    for path in sorted(profiles.DATA.iterdir(), key=lambda path: path.name):
        if not path.name.endswith(".json"):
            continue
        try:
            problems = profile_check.schema_problems(profile_check.read_json(path.read_text("utf-8")))
            if not problems:
                profiles.get_profile(path.name.removesuffix(".json"))
        except (profile_check.InvalidProfile, profiles.ProfileError, profiles.UnknownProfile) as error:
            problems = {profile_check.WHOLE: [str(error)]}
        found += [
            Error(f"The profile {path.name} is wrong: {place}: {' '.join(texts)}", id="devices.E006")
            for place, texts in problems.items()
        ]
    return found


def check_seal_key_is_random(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Check, for `check --deploy`, that the seal key is not one that somebody typed."""
    try:
        key = parse_seal_key(settings.SEAL_KEY)
    except ImproperlyConfigured:
        return []  # check_identity says so
    if len(set(key)) >= 16:  # 32 random bytes have fewer distinct ones once in 10¹⁶ keys
        return []
    hint = "Make one with `openssl rand -base64 32`. Keys that are sealed already need the old one."
    return [Warning("PORTAL_SEAL_KEY does not look random.", hint=hint, id="devices.W005")]


def _seal_key() -> list[CheckMessage]:
    try:
        parse_seal_key(settings.SEAL_KEY)
    except ImproperlyConfigured as error:
        return [Error(str(error), hint="Make one with `openssl rand -base64 32`.", id="devices.E001")]
    return []


def _permissions(directory: Path) -> list[CheckMessage]:
    """Say which private keys others can read. Only warnings, for mounted secrets may have modes that nobody can change."""
    if not directory.is_dir():
        return []
    if not os.access(directory, os.R_OK | os.X_OK):
        hint = f"It must belong to the user that runs the portal (uid {os.getuid()})."
        return [Error(f"{directory} cannot be read.", hint=hint, id="devices.E003")]
    return [
        Warning(
            f"{path} can be read by others, who can then be the portal, or any device.",
            hint=f"chmod 600 {path}",
            id="devices.W004",
        )
        for path in sorted(directory.glob("*.key"))
        if path.stat().st_mode & 0o077
    ]


def _authority() -> list[CheckMessage]:
    if not (Path(settings.PKI_DIR) / "issuing-ca.pem").exists():
        return []
    try:
        issuing = pki.authority().issuing
    except (pki.PkiError, OSError) as error:
        return [Error(f"The certificate authority cannot be used: {error}", id="devices.E004")]
    if issuing.not_valid_after_utc - datetime.now(UTC) > timedelta(days=settings.CERTIFICATE_DAYS):
        return []
    hint = "Run `manage.py rotate_ca`; devices get certificates of the new one as they are renewed."
    text = f"The issuing CA ends on {issuing.not_valid_after_utc:%Y-%m-%d}, before PORTAL_CERTIFICATE_DAYS are over."
    return [Warning(text, hint=hint, id="devices.W003")]


def _server_certificate() -> list[CheckMessage]:
    try:
        server = pki.server_certificate()
    except (pki.PkiError, OSError) as error:
        return [Error(f"The broker's certificate cannot be used: {error}", id="devices.E005")]
    if server is None:
        return []
    found: list[CheckMessage] = []
    if server.not_valid_after_utc - datetime.now(UTC) < pki.RENEW_BEFORE:
        text = f"The broker's certificate ends on {server.not_valid_after_utc:%Y-%m-%d}."
        found.append(Warning(text, hint="Run `manage.py setup_pki` and restart the broker.", id="devices.W001"))
    if settings.DEVICE_HOST.lower().strip("[]") not in pki.names_of(server):
        text = f"The broker's certificate does not name {settings.DEVICE_HOST} (PORTAL_DEVICE_HOST); devices will refuse it."
        found.append(Warning(text, hint="Run `manage.py setup_pki` and restart the broker.", id="devices.W002"))
    return found
