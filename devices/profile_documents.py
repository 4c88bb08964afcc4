"""The JSON of a profile: how people see it, how it is stored, and how it begins. No database here."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from devices.profiles import Api, Field, Profile, all_profiles

Document = dict[str, Any]

_PROFILE_KEYS = [one.name for one in fields(Profile)]
_API_KEYS = [one.name for one in fields(Api)]
_FIELD_KEYS = [one.name for one in fields(Field)]


def blank(name: str, slug: str) -> Document:
    """Return a profile that can nothing yet."""
    return {"slug": slug, "name": name, "description": "", "apis": {}}


def in_order(document: Mapping[str, Any]) -> Document:
    """Return a checked document with its keys as they are explained, and its apis in their own order."""
    ordered = _ordered(document, _PROFILE_KEYS)
    ordered["apis"] = {name: _ordered_api(api) for name, api in document.get("apis", {}).items()}
    return ordered


def to_stored(document: Mapping[str, Any]) -> Document:
    """Return a document as the database keeps it: JSONB forgets the order of keys, so its apis are a list."""
    return {**document, "apis": [{"name": name, **api} for name, api in document["apis"].items()]}


def from_stored(stored: Mapping[str, Any]) -> Document:
    """Return the document that `to_stored` was given."""
    apis = {api["name"]: {key: value for key, value in api.items() if key != "name"} for api in stored["apis"]}
    return in_order({**stored, "apis": apis})


def with_api(document: Mapping[str, Any], name: str, api: Mapping[str, Any], *, before: str = "") -> Document:
    """Return the document with an api put in, in the place of the one that was called `before`, or at the end."""
    apis = dict(document["apis"])
    if before not in apis:
        return {**document, "apis": {**apis, name: dict(api)}}
    put = [(name, dict(api)) if one == before else (one, other) for one, other in apis.items()]
    return {**document, "apis": dict(put)}


def without_api(document: Mapping[str, Any], name: str) -> Document:
    """Return the document without an api."""
    return {**document, "apis": {one: api for one, api in document["apis"].items() if one != name}}


def free_slug(name: str, taken: Iterable[str]) -> str:
    """Return a slug made of a name that is neither taken nor a shipped profile's."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:36].strip("-")
    base = base if base[:1].isalpha() else f"profile-{base}".strip("-")[:36]
    used = {*taken, *(profile.slug for profile in all_profiles())}
    return next(slug for slug in (base, *(f"{base}-{number}" for number in range(2, 10**4))) if slug not in used)


def _ordered_api(api: Mapping[str, Any]) -> Document:
    ordered = _ordered(api, _API_KEYS)
    for part in ("fields", "answer"):
        if part in ordered:
            ordered[part] = [_ordered(one, _FIELD_KEYS) for one in ordered[part]]
    return ordered


def _ordered(raw: Mapping[str, Any], keys: list[str]) -> Document:
    return {key: raw[key] for key in keys if key in raw}
