"""What `bench.pages` asks besides devices and their history: what people are told and pay, who belongs to what, the admin."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from accounts.models import Account, User
    from devices.models import Device

ENTRIES, MEMBERS, RULES = 1000, 50, 20


def fill_beside(user: User, device: Device, notifications: int) -> Account:
    """Give the user's account notifications, rules and movements of credits, and return an organisation of many people."""
    from accounts.models import Membership, Role, User
    from accounts.services import create_organisation
    from accounts.services.tokens import create_token
    from billing.services import give_credits, spend_credits
    from notifications.models import Rule

    say(device, notifications)
    Rule.objects.bulk_create(
        Rule(account=device.account, device=device, api="get_gpio", field="value", comparison="eq", value="1", recipient="push:")
        for _ in range(RULES)
    )
    give_credits(account=device.account, credits=ENTRIES, reason="bench", key="bench")
    for number in range(ENTRIES):
        spend_credits(account=device.account, credits=1, key=f"bench:{number}")
    for number in range(20):
        create_token(user=user, name=f"Token {number}", scopes=["read"])
    organisation = create_organisation(user=user, name="Bench works")
    people = User.objects.bulk_create(
        User(username=f"person{number}", email=f"person{number}@example.com", password="!") for number in range(MEMBERS)
    )
    Membership.objects.bulk_create(Membership(account=organisation, user=one, role=Role.VIEWER) for one in people)
    return organisation


def say(device: Device, number: int) -> None:
    """Write notifications of the last week, each sent at once."""
    from notifications.models import Notification

    now = datetime.now(UTC)
    times = [now - timedelta(days=7) * (one / max(1, number)) for one in range(number)]
    Notification.objects.bulk_create(
        [
            Notification(
                account_id=device.account_id,
                device=device,
                cause="device",
                source=f"bench:{uuid4()}",
                recipient="ops@example.com",
                channel="email",
                address="ops@example.com",
                message=f"The pump is at {at:%H:%M} as it should be.",
                status="sent",
                created_at=at,
                asked_at=at,
                sent_at=at + timedelta(milliseconds=80),
            )
            for at in times
        ],
        batch_size=1000,
    )


def pages_beside(device: Device, organisation: Account) -> dict[str, str]:
    """Return what its owner is asked for."""
    from notifications.models import Notification, Rule

    billing, one = f"/account/billing/{device.account_id}/", f"/devices/{device.hex}/"
    return {
        "Device's timeline": f"{one}timeline/",
        "Certificates": "/devices/certificates/",
        "Profiles": "/devices/profiles/",
        "One profile": "/devices/profiles/standard/",
        "Notifications": "/notifications/",
        "Notifications, text that is rare": "/notifications/?q=nowhere",
        "One notification": f"/notifications/{Notification.objects.filter(device=device).latest('created_at').hex}/",
        "Recipients": "/notifications/recipients/",
        "Rules": "/notifications/rules/",
        "One rule": f"/notifications/rules/{Rule.objects.filter(device=device)[0].pk.hex}/",
        "New rule": "/notifications/rules/new/",
        "Preferences": "/notifications/preferences/",
        "Account": "/account/",
        "Organisation": f"/account/organisations/{organisation.pk}/",
        "Subscription": billing,
        "Payments": f"{billing}payments/",
        "Buy credits": f"{billing}buy/",
    }


def operator() -> User:
    """Make somebody who may see the admin."""
    from django.conf import settings

    from accounts.models import User

    settings.ADMIN_REQUIRES_FACTOR = False
    return User.objects.create_superuser("operator", "operator@example.org", secrets.token_urlsafe())


def pages_of_admin() -> dict[str, str]:
    """Return the lists of the admin."""
    from django.contrib import admin

    lists = sorted(f"{one._meta.app_label}/{one._meta.model_name}/" for one in admin.site._registry)
    return {"Admin": "/admin/"} | {f"Admin, {one}": f"/admin/{one}" for one in lists}
