"""Whose something is that is added by the API."""

from __future__ import annotations

from accounts.access import Action, access_account
from accounts.models import Account, User
from accounts.services import personal_account
from devices.access import parse_device_id
from iotportal.problems import Problem

OF_ACCOUNT = "Whose devices want to write; your own account unless given."


def owner(user: User, named: str | None) -> Account:
    """Return the account that is named, or the user's own, if the user may manage it.

    Raises:
        Problem: 404, there is no such account.
        Http404, PermissionDenied: as `access_account`.
    """
    account_id = parse_device_id(named) if named is not None else personal_account(user).pk
    if account_id is None:
        raise Problem(404, "not_found", "No such account.")
    return access_account(user, account_id, Action.MANAGE)
