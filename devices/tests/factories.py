"""Users, accounts and devices for tests, made as the portal makes them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections

from accounts.models import Account, Membership, User
from accounts.services import create_user, personal_account
from devices.models import Device
from devices.services import register_device

T = TypeVar("T")


def make_user(username: str) -> User:
    """Return a new user with a personal account."""
    return create_user(
        username=username, email=f"{username}@example.org", password="x", first_name=username.title(), last_name="T"
    )


def make_account(username: str = "alice") -> Account:
    """Return the personal account of a new user."""
    return personal_account(make_user(username))


def make_member(account: Account, username: str, role: str) -> User:
    """Return a new user who also has `role` in `account`."""
    user = make_user(username)
    Membership.objects.create(user=user, account=account, role=role)
    return user


def make_device(account: Account, name: str = "Pump", profile: str = "standard") -> Device:
    """Return a newly registered device."""
    return register_device(account=account, name=name, profile=profile).device


def at_once(*calls: Callable[[], T]) -> list[T | Exception]:
    """Run each call in a thread with a database connection of its own; return what each returned or raised."""

    def run(call: Callable[[], T]) -> T | Exception:
        try:
            return call()
        except Exception as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))
