from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from accounts.models import Account, Membership, Role, User
from devices.models import Device
from devices.services import claim_device, delete_device, make_claim_codes
from devices.tests.factories import make_account, make_device, make_user
from messaging import selectors
from messaging.models import Outcome
from messaging.selectors import BadCursor, Cursor, MessageFilter, Page
from messaging.tests.history import asked, exchange, many, now, said
from messaging.traces import rail

pytestmark = pytest.mark.django_db


def walk(user: User, wanted: MessageFilter, limit: int) -> list[UUID]:
    """Return all ids of a filter by following `next`."""
    found: list[UUID] = []
    cursor: str | None = None
    while True:
        page = selectors.messages(user, wanted, cursor, limit)
        found += [row.pk for row in page.rows]
        cursor = page.next
        if cursor is None:
            return found


def ids(page: Page) -> list[UUID]:  # type: ignore[type-arg]  # of whatever
    return [row.pk for row in page.rows]


def test_it_pages_newest_first_without_gap_or_double_even_within_one_microsecond(alice: User, pump: Device) -> None:
    at = now() - timedelta(minutes=5)
    many(pump, 23, at, timedelta(0))  # all at the same time: the id decides
    many(pump, 24, at + timedelta(seconds=1), timedelta(seconds=1))
    whole = ids(selectors.messages(alice, MessageFilter(), limit=100))
    assert len(whole) == 47
    assert walk(alice, MessageFilter(), 5) == whole


def test_it_goes_back_to_exactly_where_it_came_from(alice: User, pump: Device) -> None:
    many(pump, 25, now() - timedelta(minutes=5), timedelta(seconds=1))
    first = selectors.messages(alice, MessageFilter(), None, 10)
    second = selectors.messages(alice, MessageFilter(), first.next, 10)
    third = selectors.messages(alice, MessageFilter(), second.next, 10)
    assert (first.previous, third.next) == (None, None)
    back = selectors.messages(alice, MessageFilter(), third.previous, 10)
    assert ids(back) == ids(second)
    assert ids(selectors.messages(alice, MessageFilter(), back.previous, 10)) == ids(first)
    assert ids(selectors.messages(alice, MessageFilter(), back.next, 10)) == ids(third)


def test_it_shows_each_user_only_messages_of_own_accounts(alice: User, pump: Device) -> None:
    foreign = make_device(make_account("mallory"), "Foreign")
    said(pump, "to", "get_status", "{}")
    said(foreign, "to", "get_status", "{}")
    assert [row.device_id for row in selectors.messages(alice, MessageFilter()).rows] == [pump.pk]
    assert selectors.messages(alice, MessageFilter(device_id=foreign.pk)).rows == []
    assert selectors.history_device(alice, foreign.pk) is None


def test_it_merges_several_accounts_in_order(alice: User, pump: Device) -> None:
    shared = make_account("bob")
    Membership.objects.create(user=alice, account=shared, role=Role.VIEWER)
    lamp = make_device(shared, "Lamp")
    start = now() - timedelta(minutes=5)
    for index in range(20):
        said(pump if index % 3 else lamp, "to", "get_status", f'{{"n": {index}}}', start + timedelta(seconds=index))
    page = selectors.messages(alice, MessageFilter(), limit=100)
    assert [row.payload for row in page.rows] == [f'{{"n": {index}}}' for index in reversed(range(20))]
    assert walk(alice, MessageFilter(), 3) == ids(page)
    assert selectors.count_messages(alice, MessageFilter()).number == 20


def test_it_keeps_the_history_of_a_deleted_device_readable(alice: User, pump: Device) -> None:
    said(pump, "to", "get_status", "{}")
    delete_device(device=pump)
    (row,) = selectors.history_rows(alice, selectors.messages(alice, MessageFilter(device_id=pump.pk)).rows)
    assert row.device is not None
    assert row.device.name == "Pump"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (MessageFilter(api="set_gpio"), 1),
        (MessageFilter(direction="from"), 2),
        (MessageFilter(text="NUMBER"), 2),
        (MessageFilter(text="get_sta"), 2),
        (MessageFilter(text="%"), 1),
        (MessageFilter(text="_"), 4),
        (MessageFilter(text="\\"), 1),
        (MessageFilter(text="nothing"), 0),
        (MessageFilter(text="100", direction="to"), 0),
    ],
)
def test_it_filters(alice: User, pump: Device, wanted: MessageFilter, expected: int) -> None:
    for direction, api, payload in [
        ("to", "set_gpio", '{"number": 10, "value": 1}'),
        ("from", "presence", '{"number": "100 %", "path": "c:\\\\"}'),
        ("to", "get_status", "{}"),
        ("from", "get_status", '{"value": "running_now"}'),
    ]:
        said(pump, direction, api, payload)
    if wanted.text == "_":  # it stands for itself, not for any character
        expected = 3
    assert len(selectors.messages(alice, wanted).rows) == expected
    assert selectors.count_messages(alice, wanted).number == expected


def test_it_filters_by_time_from_until_before(alice: User, pump: Device) -> None:
    noon = datetime(2026, 11, 3, 12, tzinfo=UTC).replace(year=now().year, month=now().month)
    for minute in range(3):
        said(pump, "to", "get_status", f"{minute}", noon + timedelta(minutes=minute))
    page = selectors.messages(alice, MessageFilter(since=noon, until=noon + timedelta(minutes=2)))
    assert [row.payload for row in page.rows] == ["1", "0"]


def test_a_search_that_finds_little_says_how_far_it_looked_and_goes_on_from_there(
    alice: User, pump: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors, "SCAN", 10)
    start = now() - timedelta(minutes=5)
    many(pump, 35, start, timedelta(seconds=1))
    page = selectors.messages(alice, MessageFilter(text='"number": 3}'), None, 5)
    assert page.rows == []
    assert page.scanned_to == start + timedelta(seconds=25)
    assert page.next is not None
    found = walk(alice, MessageFilter(text='"number": 3}'), 5)
    assert len(found) == 1
    every_to = walk(alice, MessageFilter(direction="to"), 4)
    assert len(every_to) == len(set(every_to)) == 18
    assert selectors.count_messages(alice, MessageFilter(text="nothing")).at_least


@pytest.mark.parametrize("text", ["", "x", "AAAA", "!!!!", "AH" + "_" * 32, "é", "A" * 500])
def test_it_refuses_a_cursor_it_did_not_make(alice: User, text: str) -> None:
    if not text:  # none at all is the first page
        selectors.messages(alice, MessageFilter(), text)
        return
    with pytest.raises(BadCursor):
        selectors.messages(alice, MessageFilter(), text)


def test_a_cursor_reads_back_as_it_was_written() -> None:
    cursor = Cursor(datetime(2026, 2, 3, 4, 5, 6, 789_012, tzinfo=UTC), UUID(int=2**127 + 5), newer=True)
    assert Cursor.parse(str(cursor)) == cursor


def test_it_pairs_each_answer_with_its_question(alice: User, pump: Device) -> None:
    at = now() - timedelta(minutes=1)
    exchange(pump, "get_gpio", '{"number": 4}', '{"number": "4", "value": 0}', at)
    exchange(pump, "set_gpio", '{"number": 12, "value": 1}', None, at + timedelta(seconds=1))
    said(pump, "from", "presence", '{"value": "online"}', at + timedelta(seconds=20))
    rows = selectors.history_rows(alice, selectors.messages(alice, MessageFilter()).rows)
    online, silent, answer, question = rows
    assert (answer.paired, answer.elapsed_ms, answer.late) == (True, 38.4, False)
    assert (question.paired, question.flag) == (True, None)
    assert silent.flag == ("bad", "no answer in 5 s")
    assert (online.paired, online.flag) == (False, None)


def test_it_flags_a_late_answer_and_gives_it_to_no_later_question(alice: User, pump: Device) -> None:
    at = now() - timedelta(minutes=1)
    payload, answer = '{"number": 12, "value": 1}', '{"number": 12, "value": 1}'
    said(pump, "to", "set_gpio", payload, at)
    asked(pump, "set_gpio", payload, answer, at, outcome=Outcome.TIMEOUT, late_ms=6204.1, answered_ms=None, delivered_ms=None)
    said(pump, "from", "set_gpio", answer, at + timedelta(milliseconds=6204))
    exchange(pump, "set_gpio", payload, answer, at + timedelta(seconds=10))
    second_answer, _, late, first = selectors.history_rows(alice, selectors.messages(alice, MessageFilter()).rows)
    assert (late.flag, late.elapsed_ms) == (("warn", "late"), 6204.1)
    assert first.silent_s == 5.0
    assert second_answer.elapsed_ms == 38.4


def test_it_marks_what_was_malformed(alice: User, pump: Device) -> None:
    said(pump, "from", "write_uart", '{"value": "say "hi""}', malformed=True)
    (row,) = selectors.history_rows(alice, selectors.messages(alice, MessageFilter()).rows)
    assert row.flag == ("bad", "malformed, text kept")


def test_it_draws_the_latest_round_trips_of_each_device(alice: User, account: Account, pump: Device) -> None:
    lamp = make_device(account, "Lamp")
    start = now() - timedelta(minutes=20)
    for index in range(50):
        asked(pump, "get_status", "{}", "x", start + timedelta(seconds=index), delivered_ms=float(index))
    asked(pump, "get_status", "{}", None, start + timedelta(minutes=2))
    asked(lamp, "get_status", "{}", "x", now() - timedelta(hours=2))
    trips = selectors.recent_round_trips([pump.pk, lamp.pk], now())
    assert set(trips) == {pump.pk}
    points = trips[pump.pk].points
    assert (len(points), points[-1], points[0]) == (44, None, 7.0)
    assert trips[pump.pk].median == 28.0


def test_the_round_trips_of_a_busy_device_among_many_quiet_ones_are_not_read_one_and_all(pump: Device) -> None:
    busy = """
        INSERT INTO messaging_command (id, time, account_id, device_id, api, payload, outcome, timeout_s)
        SELECT gen_random_uuid(), now() - n * interval '0.1 s', %s, CASE WHEN n %% 2 = 0 THEN %s ELSE gen_random_uuid() END,
            'get_status', '{}', 'answered', 5 FROM generate_series(1, 2000) n
    """
    plans: list[dict[str, Any]] = []

    def explain(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        execute("EXPLAIN (ANALYZE, FORMAT JSON) " + sql, params, many, context)
        plans.append(context["cursor"].fetchone()[0][0]["Plan"])
        return execute(sql, params, many, context)

    with connection.cursor() as db:
        db.execute(busy, [pump.account_id, pump.pk])
        db.execute("ANALYZE messaging_command")
    with connection.execute_wrapper(explain):
        assert len(selectors.recent_round_trips([pump.pk], now())[pump.pk].points) == 44
    assert max(rows_of(plans[0])) == 44


def rows_of(plan: dict[str, Any]) -> list[float]:
    """Return how many rows each step of a plan gave."""
    return [plan["Actual Rows"], *(rows for step in plan.get("Plans", ()) for rows in rows_of(step))]


def test_a_claim_parts_names_commands_and_round_trips(alice: User, account: Account, pump: Device) -> None:
    exchange(pump, "get_gpio", '{"number": 4}', '{"value": 0}', now() - timedelta(minutes=2))
    bob = make_user("bob")
    code = make_claim_codes(account=account, devices=[pump], by=alice)[0].text
    claimed = claim_device(user=bob, code=code)
    exchange(claimed, "get_gpio", '{"number": 4}', '{"value": 1}', now())
    assert len(selectors.recent_round_trips([pump.pk], now())[pump.pk].points) == 1
    assert [one.command.account_id for one in rail(claimed)] == [claimed.account_id]
    for user, owner, name in ((alice, account, None), (bob, claimed.account, "Pump")):
        page = selectors.messages(user, MessageFilter()).rows
        assert {command.account_id for command in selectors.commands_around(page)} == {owner.pk}
        assert {row.device and row.device.name for row in selectors.history_rows(user, page)} == {name}
