"""Who walks, and the things of the owner's that the addresses name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import requests
from allauth.usersessions.models import UserSession
from django.apps import apps
from django.utils import timezone

from accounts.models import Account, ApiToken, Invitation, Membership, Role, User
from accounts.services import create_token, log_in
from accounts.services.sessions import session_id
from billing.tests.helpers import make_order, make_redemption
from devices.models import Certificate, DeviceJob
from devices.profile_documents import blank, with_api
from devices.services import make_profile
from notifications.models import Browser, Notification, Recipient, Rule
from tests.api.live import DEADLINE_S, LivePortal, committed


@dataclass
class People:
    portal: LivePortal
    staff: User
    guest: User  # a member of organisations who can be removed
    profile: str = ""  # the id of one of the organisation's own
    organisation: tuple[UUID, UUID, UUID] | None = None  # its id, the guest's and an invitation's, until one of them is used up
    sessions: dict[str, requests.Session] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)  # of the documented API, by role

    def session(self, role: str, *, new: bool = False) -> requests.Session:
        """Return a browser of `role`, a `new` one where its session may end."""
        if new or role not in self.sessions:
            self.sessions[role] = self._session(role)
        return self.sessions[role]

    def device_answers(self) -> bool:
        return self.portal.ask("GET", f"{self.portal.device_path}/status?timeout=1").ok

    def _session(self, role: str) -> requests.Session:
        portal = self.portal
        users = {"stranger": portal.stranger, "owner": portal.user, "staff": self.staff, **portal.members}
        if role != "anonymous":
            return portal.session(users[role])
        session = requests.Session()
        session.cookies.set("csrftoken", "c" * 32)
        session.headers["X-CSRFToken"] = "c" * 32
        return session


def fresh_device(portal: LivePortal) -> str:
    answer = portal.ask("POST", "/api/v1/devices", json={"name": f"Walrus {next(_numbers)}"})
    return str(answer.json()["id"])


def certificate_of(device: str) -> UUID:
    return committed(lambda: Certificate.objects.filter(device_id=UUID(hex=device), status="active").get().pk)


def fresh_token(people: People) -> UUID:
    token, _ = committed(lambda: create_token(user=people.portal.user, name=f"walk {next(_numbers)}"))
    return token.pk


def fresh_profile(portal: LivePortal) -> str:
    name = f"Walrus kind {next(_numbers)}"
    document = with_api(blank(name, ""), "get_rtc", {"title": "Clock", "kind": "get"})
    return committed(lambda: make_profile(account=portal.device.account, name=name, document=document)).hex


def fresh_job(portal: LivePortal) -> str:
    over = {"status": DeviceJob.Status.DONE, "ended_at": timezone.now()}
    return committed(lambda: DeviceJob.objects.create(account=portal.device.account, by=portal.user, **over)).hex


def fresh_notification(people: People) -> UUID:
    about = {"cause": "device", "source": f"walk:{next(_numbers)}", "message": "Walrus", "asked_at": timezone.now()}
    over = {"status": "refused", "reason": "too_many", "ended_at": timezone.now()}
    device = people.portal.device
    return committed(lambda: Notification.objects.create(account=device.account, device=device, **about, **over)).pk


def fresh_recipient(people: People) -> UUID:
    recipient = {"channel": "email", "address": f"walrus{next(_numbers)}@example.com"}
    return committed(lambda: Recipient.objects.create(account=people.portal.device.account, **recipient)).pk


def fresh_named(people: People, channel: str) -> UUID:
    about = {"channel": channel, "address": f"walrus{next(_numbers)}", "sealed": b"x", "confirmed_at": timezone.now()}
    return committed(lambda: Recipient.objects.create(account=people.portal.device.account, **about)).pk


def fresh_browser(people: People) -> UUID:
    about = {"name": "Walrus", "endpoint": f"https://push.example.com/{next(_numbers)}", "p256dh": "x", "auth": "x"}
    return committed(lambda: Browser.objects.create(user=people.portal.user, **about)).pk


def fresh_rule(people: People) -> UUID:
    device = people.portal.device
    about = {"api": "get_gpio", "field": "value", "comparison": "eq", "value": "1", "recipient": "walrus@example.com"}
    return committed(lambda: Rule.objects.create(account=device.account, device=device, **about)).pk


def fresh_order(people: People) -> UUID:
    return committed(lambda: make_order(people.portal.device.account)).pk


def fresh_login(people: People) -> UUID:
    user = people.portal.user
    committed(lambda: log_in(user=user, ip=None, user_agent="walk"))
    return user.api_tokens.filter(kind=ApiToken.Kind.LOGIN).latest("created_at").pk


def fresh_session(people: People) -> UUID:
    """Sign the owner in once more, and use that session."""
    session = people.portal.session(people.portal.user)
    key = session.cookies["sessionid"]
    session.get(people.portal.url + "/menu/", timeout=DEADLINE_S)
    return session_id(UserSession.objects.get(session_key=key))


def fresh_organisation(people: People) -> tuple[UUID, UUID, UUID]:
    """Make an organisation with the same members and a guest, and an invitation to its owner; return the three ids."""
    portal, number = people.portal, next(_numbers)

    def make() -> tuple[UUID, UUID, UUID]:
        account = Account.objects.create(kind=Account.Kind.ORGANISATION, name=f"Guild {number}")
        members = {**portal.members, "owner": portal.user}
        Membership.objects.bulk_create(Membership(account=account, user=user, role=role) for role, user in members.items())
        Membership.objects.create(account=account, user=people.guest, role=Role.VIEWER)
        ends = timezone.now() + timedelta(days=1)
        to_owner = {"email": portal.user.email, "invited_by": portal.user, "expires_at": ends}
        invitation = Invitation.objects.create(account=account, role=Role.VIEWER, secret_hash=number, **to_owner)
        return account.pk, people.guest.uuid, invitation.pk

    return committed(make)


_numbers = iter(range(10**6))

# What stands in an address for each name in its pattern, where it is not the device's.
PARTS: dict[str, Callable[[People], UUID | str]] = {
    "job_id": lambda people: fresh_job(people.portal),
    "account_id": lambda people: organisation(people)[0],
    "user_id": lambda people: organisation(people)[1],
    "invitation_id": lambda people: organisation(people)[2],
    "order_id": fresh_order,
    "notification_id": fresh_notification,
    "recipient_id": fresh_recipient,
    "webhook_id": lambda people: fresh_named(people, "webhook"),
    "service_id": lambda people: fresh_named(people, "apprise"),
    "browser_id": fresh_browser,
    "rule_id": fresh_rule,
    "login_id": fresh_login,
    "session_id": fresh_session,
    "token_id": fresh_token,
    "passkey_id": lambda people: UUID(int=0),
    "provider_id": lambda people: "nothing",
    "provider": lambda people: "postmark",
    "content_type_id": lambda people: "1",
    "secret": lambda people: "s" * 43,
    "issuer": lambda people: "0" * 40,
    "number": lambda people: "3",
    "api": lambda people: "get_rtc",
}


def organisation(people: People) -> tuple[UUID, UUID, UUID]:
    people.organisation = people.organisation or fresh_organisation(people)
    return people.organisation


def address(people: People, pattern: str, *, fresh: bool = False) -> str:
    """Return an address of the pattern; what it names is the owner's, and a `fresh` one if it is to be taken away."""
    if "/?" in pattern:  # the documented API
        return "/" + re.sub(r"\^(?:\(\?:)?([\w/]+).*", r"\1", pattern)
    pattern = re.sub(r"\^\(\?P<app_label>[\w|]+\)/\$", "accounts/", pattern)
    pattern = pattern.replace("(?P<url>.*)$", "nothing").replace(r"^[\s\S]*\Z", "nothing")
    device = fresh_device(people.portal) if fresh and "device_id" in pattern else people.portal.device.hex

    def part(found: re.Match[str]) -> str:
        kind, name = found.groups()
        if name in {"slug", "key"}:
            return fresh_profile(people.portal) if fresh else people.profile
        if name == "name":
            return "status" if kind == "slug" else "device.crt"
        if name == "object_id":
            return admin_object(people, pattern)
        value = {"device_id": lambda _: UUID(device), "certificate_id": lambda _: certificate_of(device), **PARTS}[name](people)
        return str(value) if kind == "uuid" or isinstance(value, str) else value.hex

    return "/" + re.sub(r"<(\w+):(\w+)>", part, pattern)


def admin_object(people: People, pattern: str) -> str:
    found = re.match(r"admin/(\w+)/(\w+)/<path", pattern)
    if found is None:
        return "1"
    if found[2] == "device":
        return str(people.portal.device.pk)  # the walk deletes others, and what is deleted stays in the list
    if found[2] == "order":
        return str(fresh_order(people))
    if found[2] == "promoredemption":
        return str(committed(lambda: make_redemption(people.portal.device.account)).pk)
    return str(apps.get_model(found[1], found[2])._default_manager.order_by("pk")[0].pk)


def ask(session: requests.Session, url: str, method: str) -> requests.Response:
    body: dict[str, Any] = {}
    if method in {"POST", "PUT", "PATCH"}:
        body = {"json": {}} if "/api/" in url else {"data": {"unknown": "1"}}
    return session.request(method, url, allow_redirects=False, timeout=DEADLINE_S, **body)


def assert_nothing_told(people: People, answer: requests.Response, path: str) -> None:
    """Assert that the answer says nothing about the owner's device or organisation but the address that was asked for."""
    device = people.portal.device
    text = answer.text.replace(path, "") + answer.headers.get("location", "").replace(path, "")
    for secret in ("Guild", device.hex, str(device.pk)):
        assert secret not in text
    assert device.name not in text or answer.ok  # what is for everybody may have it in an example
