"""Every address of the portal, with every method, in every role: what is answered.

The table (tests/url_walk/, in parts) names every pattern of the URL map; a new one fails this test until somebody has said there
what it answers. What a new name in a pattern stands for goes into `PARTS` of tests/url_walk/people.py.

The device, and everything that hangs on it, belongs to an organisation:

    anonymous  not signed in
    stranger   signed in, no member
    viewer     a member who may look
    operator   a member who may send commands
    owner      a member who may do all; what one person alone can own (a token, a session) is the owner's too
    staff      works for the portal (the admin pages); a stranger to every device

The words of a row say what those who are signed in get, from the stranger up to the owner. Words may be left out where nothing
changes: "200" everybody, "404 200" stranger and members, "404 403 200" stranger, viewer, and operator with owner, "404 403 403
200" each. What the staff gets on pages and in the API is what the stranger gets.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import requests
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from accounts.models import User
from accounts.services import create_user, log_in
from billing.tests.helpers import fill_billing, forget_billing, forget_orders
from messaging import cache
from notifications.models import SenderHealth, Suppression, Tariff, Template
from tests.api.live import DEADLINE_S, committed, live_portal, until
from tests.url_walk.accounts import SIGN_IN
from tests.url_walk.documented import LEGACY
from tests.url_walk.people import (
    People,
    address,
    ask,
    assert_nothing_told,
    fresh_device,
    fresh_notification,
    fresh_profile,
    fresh_recipient,
    fresh_rule,
)
from tests.url_walk.rows import ROLES, Row, read
from tests.url_walk.table import TABLE

pytestmark = [pytest.mark.django_db, pytest.mark.slow, pytest.mark.xdist_group("url walk")]


def every_pattern(resolver: URLResolver, before: str = "") -> Iterator[str]:
    for found in resolver.url_patterns:
        whole = before + str(found.pattern)
        if isinstance(found, URLPattern):
            yield whole
        else:
            yield from every_pattern(found, whole)


def test_the_table_names_every_address_there_is() -> None:
    assert set(every_pattern(get_resolver())) == set(TABLE)


@pytest.fixture(scope="module")
def people(
    pki: Path, django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[People]:
    with django_db_blocker.unblock():
        staff = create_user(username="olga", email="olga@example.com", password="x", first_name="Olga", last_name="O")
        User.objects.filter(pk=staff.pk).update(is_staff=True, is_superuser=True)
        guest = create_user(username="guest", email="guest@example.com", password="x", first_name="Guest", last_name="G")
        Group.objects.create(name="Helpers")
        LogEntry.objects.create(user=staff, action_flag=CHANGE, object_repr="Helpers", change_message="Made for the walk")
        fill_billing()
        Suppression.objects.create(channel="email", address="walrus@example.com", reason="operator")
        Tariff.objects.create(sender="smtp", amount=1, starts_at=timezone.now() + timedelta(days=1))
        SenderHealth.objects.create(sender="smtp")
        Template.objects.create(event="offline", language="en", subject="Off", text="Off")
        with live_portal(pki, tmp_path_factory.mktemp("portal"), organisation="Waterworks") as portal:
            people = People(portal, User.objects.get(pk=staff.pk), guest, fresh_profile(portal))
            fresh_notification(people)
            fresh_recipient(people)
            fresh_rule(people)
            yield people
            forget_orders()  # or their account could not go
        forget_billing()
        Suppression.objects.all().delete()
        Template.objects.all().delete()
        Group.objects.filter(name="Helpers").delete()
        LogEntry.objects.all().delete()
        User.objects.filter(pk__in=[staff.pk, guest.pk]).delete()


@pytest.fixture(autouse=True)
def without_limits(request: pytest.FixtureRequest) -> None:
    """Forget how often this address was here: the door's limits are others' business."""
    if "people" in request.fixturenames:
        for pattern in ("*allauth:rl:*", "*window:*"):
            for key in list(cache.client().scan_iter(pattern, count=10_000)):
                cache.client().delete(key)


@pytest.mark.parametrize("pattern", TABLE)
def test_an_address_answers_as_the_table_says(people: People, pattern: str) -> None:
    row = TABLE[pattern]
    wrong = [line for role in row.roles() for line in walk(people, pattern, row, role)]
    assert not wrong, "\n".join(wrong)


def walk(people: People, pattern: str, row: Row, role: str) -> Iterator[str]:
    """Ask for an address as `role` with every method that says something; yield what was answered against the table."""
    deletes = role == "staff" and pattern.endswith("delete/")  # asking is enough: what the owner has is needed on
    for method in ("GET", "HEAD") if deletes else row.asked(role):
        changes = method not in {"GET", "HEAD", "OPTIONS"}
        path = address(people, pattern, fresh=row.fresh and role == "owner" and changes)
        session = people.session(role, new="logout" in pattern)
        answer = ask(session, people.portal.url + path, method)
        if changes and answer.status_code < 400:
            people.organisation = None
        if answer.status_code not in row.expected(method, role):
            yield f"{role}: {method} {path}: {answer.status_code}, not {row.expected(method, role)}"
        if role == "stranger" or (role == "anonymous" and row.names_a_thing()):
            assert_nothing_told(people, answer, path)
        if pattern.endswith("/restart") and answer.status_code == 200 and method == "POST":
            until(people.device_answers, "the device to be back")


def legacy_body(people: People, role: str, *, fresh: bool, ends: bool) -> dict[str, Any]:
    """Return a body of the documented API: who asks, and the owner's device, or one that may be taken away.

    `ends`: the request may end the token's life, so it gets one of its own.
    """
    portal = people.portal
    user = {"stranger": portal.stranger, "owner": portal.user, "staff": people.staff, **portal.members}[role]
    if role not in people.tokens:
        people.tokens[role] = committed(lambda: log_in(user=user, ip=None, user_agent="").access)
    token = people.tokens.pop(role) if ends else people.tokens[role]
    device = fresh_device(portal) if fresh else portal.device.hex
    return {"username": user.username, "access_token": token, "deviceid": device, "index": 0}


@pytest.mark.parametrize("path", LEGACY)
def test_a_documented_path_answers_a_token_as_the_table_says(people: People, path: str) -> None:
    wrong = [line for role in ROLES[1:] for line in walk_documented(people, path, role)]
    assert not wrong, "\n".join(wrong)


def walk_documented(people: People, path: str, role: str) -> Iterator[str]:
    """Ask for a documented path as `role`, the owner in every spelling; yield what was answered against the table."""
    others, named = LEGACY[path]
    row = Row({one: read(401, words) for one, words in named.items()}, read(401, "405"))
    spellings = itertools.product((path, *others), ("", "/")) if role == "owner" else [(path, "")]
    for spelling, slash in spellings:
        for method in row.asked(role) if (spelling, slash) == (path, "") else named:
            takes_away = (method, path) in {("POST", "devices/unregister_device"), ("DELETE", path)}
            body = legacy_body(people, role, fresh=takes_away and role == "owner", ends=path == "user/logout")
            url = f"{people.portal.url}/api/{spelling}{slash}"
            answer = requests.request(method, url, json=body, allow_redirects=False, timeout=DEADLINE_S)
            if answer.status_code not in row.expected(method, role):
                yield f"{role}: {method} {url}: {answer.status_code}, not {row.expected(method, role)}"
            if role == "stranger":
                assert_nothing_told(people, answer, body["deviceid"])


ID = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}")
UNKNOWN = UUID("01234567-89ab-cdef-0123-456789abcdef")


@pytest.mark.parametrize("pattern", [pattern for pattern, row in TABLE.items() if row.names_a_thing()])
def test_a_strangers_answer_is_the_one_to_an_unknown_id(people: People, pattern: str) -> None:
    session = people.session("stranger")
    path = address(people, pattern)
    unknown = ID.sub(lambda found: str(UNKNOWN) if found[1] else UNKNOWN.hex, path)
    for method in TABLE[pattern].asked("stranger"):
        one, other = (ask(session, people.portal.url + where, method) for where in (path, unknown))
        assert one.status_code == other.status_code
        assert plain(one, path) == plain(other, unknown)


def plain(answer: requests.Response, path: str) -> str:
    """Return the body without what is different in every answer: the ids that were asked for, and the form's secret."""
    text = answer.text
    for found in ID.finditer(path):
        text = text.replace(found[0], "ID")
    return re.sub(r'(csrfmiddlewaretoken" value="|csrf-token" content="|X-CSRFToken": ?")[^"]*', "", text)


def test_nothing_unsafe_is_done_without_the_csrf_token(people: People) -> None:
    session = people.session("owner", new=True)
    del people.sessions["owner"]
    del session.headers["X-CSRFToken"]
    exempt = {
        "api/v1",
        "api/v1/",
        r"api/^[\s\S]*\Z",
        "api/v1/docs",
        "api/v1/schema",
        "api/auth/docs",
        "api/auth/schema",
        "api/docs",
        "api/schema",
        "accounts/apple/login/callback/",
        "receipts/twilio/",  # signed by who sends it, as the next two are
        "receipts/vonage/",
        "receipts/aws/",
        "receipts/mail/<slug:provider>/",  # with a user and a password
        "payments/paypal/ipn/",  # PayPal has no cookie; what it says is verified with it
        "payments/paypal/webhook/",
        "notifications/unsubscribe/<str:secret>/",  # a mail program has no cookie; the link is the proof
    }  # they do nothing
    for pattern in sorted(set(TABLE) - exempt):
        if pattern.startswith((SIGN_IN, "api/^")) or (pattern.startswith("api/") and "POST" not in TABLE[pattern].named):
            continue
        path = address(people, pattern)
        answer = ask(session, people.portal.url + path, "POST")
        assert answer.status_code == 403, (path, answer.status_code)


NONSENSE = """
/%00 /%ff%fe /devices/%00/ /devices/../admin/ //example.com/devices/ /help/?x=%00
/devices/?q=%00&page=%00&show=%00 /history/?text=%00&device=%00&since=%00&cursor=%00 /history/export/?format=%00
/api/v1/%0a /api/v1/devices/%00 /api/v1/devices/%ff /api/v1/devices?name=%00 /api/v1/devices?cursor=%00
/api/v1/messages?text=%00 /api/v1/messages?device=%00 /api/v1/messages?api=%00&since=%00 /api/v1/messages?cursor=%ff
/api/v1/schema?format=%00 /api/v1/schema?lang=%00&version=%0a /api/v1/docs?lang=%00&version=%0a /api/v1?format=%00
"""


@pytest.mark.parametrize("path", [*NONSENSE.split(), "/devices/" + "a" * 5000 + "/"])
@pytest.mark.parametrize("role", ["anonymous", "owner"])
def test_an_address_that_makes_no_sense_is_the_callers_mistake(people: People, path: str, role: str) -> None:
    session = people.session(role)
    url = people.portal.url + path
    request = session.prepare_request(requests.Request("GET", url))
    request.url = url  # as it stands, not as requests would clean it
    answer = session.send(request, allow_redirects=False, timeout=DEADLINE_S)
    assert answer.status_code < 500, answer.text[:300]
