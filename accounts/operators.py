"""The group `Operators`: what somebody needs who helps people with this portal, and nothing more.

Each app says what operators need of it; the group is brought up to that after each migration. Nobody in it can change groups,
permissions or who is staff: those are a superuser's.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.models import Group, Permission
from django.db import DEFAULT_DB_ALIAS

GROUP = "Operators"
_needed: dict[str, set[str]] = {}


def need(*permissions: str) -> None:
    """Have the group include these permissions ("app.codename")."""
    for permission in permissions:
        app, _, codename = permission.partition(".")
        _needed.setdefault(app, set()).add(codename)


def bring_up_to_date(sender: AppConfig, using: str = DEFAULT_DB_ALIAS, **kwargs: Any) -> None:
    """Give the group what it needs of an app whose tables were migrated, and take away what it does not."""
    if sender.label not in _needed:
        return
    existing = Permission.objects.using(using).filter(content_type__app_label=sender.label)
    needed = existing.filter(codename__in=_needed[sender.label])
    group, _ = Group.objects.using(using).get_or_create(name=GROUP)
    other = group.permissions.exclude(content_type__app_label__in=set(_needed) - {sender.label})
    group.permissions.remove(*other.exclude(pk__in=needed))
    group.permissions.add(*needed)
