"""The figures of a range of the history."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from accounts.models import Membership, Role, User
from devices.models import Device
from devices.tests.factories import make_account, make_device, make_user
from messaging import figures as module
from messaging.figures import Figures, figures
from messaging.selectors import MessageFilter
from messaging.tests.history import exchange, many, now

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def passed(found: Figures) -> list[tuple[int, int]]:
    return [(one.to, one.from_) for one in found.buckets]


def test_they_count_what_the_pages_show(alice: User, pump: Device) -> None:
    until = now()
    for minute in range(60):
        exchange(pump, "get_gpio", '{"number": 4}', '{"number": 4, "value": 0}', until - timedelta(minutes=minute, seconds=30))
    exchange(pump, "set_gpio", '{"number": 4, "value": 1}', None, until - timedelta(minutes=10, seconds=20))
    found = figures(alice, MessageFilter(), since=until - HOUR, until=until)
    assert (found.messages, found.silent, found.p50, found.cut) == (121, 1, 38.4, False)
    assert (found.step, len(found.buckets)) == (timedelta(minutes=1), 60)
    assert passed(found) == [(1, 1)] * 49 + [(2, 1)] + [(1, 1)] * 10
    assert [one.silent for one in found.buckets] == [0] * 49 + [1] + [0] * 10
    one_api = figures(alice, MessageFilter(api="set_gpio"), since=until - HOUR, until=until)
    assert (one_api.messages, one_api.silent, one_api.p50) == (1, 1, None)
    assert passed(one_api) == [(0, 0)] * 49 + [(1, 0)] + [(0, 0)] * 10


def test_they_begin_where_counting_stopped(alice: User, pump: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COUNT", 10)
    until = now()
    many(pump, 30, until - timedelta(seconds=60), timedelta(seconds=2))
    found = figures(alice, MessageFilter(), since=until - HOUR, until=until)
    assert (found.messages, found.cut) == (10, True)
    assert (found.since, found.step) == (until - timedelta(seconds=20), timedelta(seconds=1))
    assert passed(found) == [(1, 0), (0, 0), (0, 1), (0, 0)] * 5
    odd = figures(alice, MessageFilter(direction="from"), since=until - HOUR, until=until)
    assert (odd.messages, odd.since) == (5, found.since)  # of the same ten


def test_of_several_accounts_they_begin_where_the_first_was_cut_and_take_two_queries(
    alice: User, pump: Device, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    shared = make_account("bob")
    Membership.objects.create(user=alice, account=shared, role=Role.VIEWER)
    until = now()
    many(pump, 30, until - timedelta(seconds=60), timedelta(seconds=2))
    many(make_device(shared, "Lamp"), 3, until - timedelta(seconds=30), timedelta(seconds=10))
    monkeypatch.setattr(module, "COUNT", 10)
    with django_assert_num_queries(3):  # the accounts, the messages, the commands
        found = figures(alice, MessageFilter(), since=until - HOUR, until=until)
    assert (found.messages, found.since) == (12, until - timedelta(seconds=20))


@pytest.mark.parametrize(
    ("span", "step"),
    [
        (timedelta(seconds=1), timedelta(seconds=1)),
        (timedelta(seconds=73), timedelta(seconds=2)),
        (HOUR, timedelta(minutes=1)),
        (timedelta(days=7), timedelta(hours=3)),
        (timedelta(days=3650), timedelta(weeks=8)),
    ],
)
def test_their_steps_can_be_read_off_an_axis(alice: User, pump: Device, span: timedelta, step: timedelta) -> None:
    until = now()
    found = figures(alice, MessageFilter(), since=until - span, until=until)
    assert (found.step, found.messages, found.cut) == (step, 0, False)
    assert len(found.buckets) <= 72


def test_who_has_no_account_has_none(db: None) -> None:
    until = now()
    nobody = make_user("carol")
    nobody.memberships.all().delete()
    found = figures(nobody, MessageFilter(), since=until - HOUR, until=until)
    assert (found.messages, found.silent, found.p50, found.cut, passed(found)) == (0, 0, None, False, [(0, 0)])
