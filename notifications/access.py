"""The one door to a notification, a recipient and a rule: nobody gets one without the question "may this user?"."""

from __future__ import annotations

from typing import TypeVar

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404

from accounts.access import Action, role_may
from accounts.models import Membership, User
from devices.access import parse_device_id
from notifications.models import Channel, Notification, Recipient, Rule

Row = TypeVar("Row", Notification, Recipient, Rule)


def access_notification(user: User, key: str, action: Action = Action.READ) -> Notification:
    """Return the notification if `user` may do `action` in its account.

    Raises:
        Http404: there is no such notification, or it is another's; both look the same.
        PermissionDenied: the user may see it, but not do this.
    """
    return _access(Notification.objects.select_related("account", "device", "user"), user, key, action)


def access_recipient(user: User, key: str, action: Action = Action.READ) -> Recipient:
    """Return the recipient if `user` may do `action` in its account. Raises as `access_notification`."""
    return _access(Recipient.objects.select_related("account"), user, key, action)


def access_named(user: User, key: str, channel: Channel, action: Action = Action.READ) -> Recipient:
    """Return the webhook or other service if `user` may do `action` in its account. Raises as `access_notification`."""
    return _access(Recipient.objects.filter(channel=channel).select_related("account"), user, key, action)


def access_rule(user: User, key: str, action: Action = Action.READ) -> Rule:
    """Return the rule if `user` may do `action` in its account. Raises as `access_notification`."""
    return _access(Rule.objects.select_related("account", "device"), user, key, action)


def _access(rows: QuerySet[Row], user: User, key: str, action: Action) -> Row:
    row_id = parse_device_id(key)
    found = rows.filter(pk=row_id).first() if row_id else None
    role = (
        Membership.objects.filter(user=user, account=found.account_id).values_list("role", flat=True).first() if found else None
    )
    if found is None or role is None:
        raise Http404("There is nothing here.")
    if not role_may(role, action):
        raise PermissionDenied("Your role in this account does not allow that.")
    return found
