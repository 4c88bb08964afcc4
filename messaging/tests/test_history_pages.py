from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import cast

import pytest
from asgiref.sync import async_to_sync
from django.http import StreamingHttpResponse
from django.test import Client
from django.urls import reverse

from accounts.models import Account, User
from devices.models import Device
from devices.services import delete_device
from devices.tests.factories import make_account, make_device
from messaging.selectors import MessageFilter
from messaging.tests.history import exchange, many, now, said
from messaging.views import export as export_view

HISTORY, EXPORT = "/history/", "/history/export/"


@pytest.fixture
def browser(alice: User, client: Client) -> Client:
    client.force_login(alice)
    return client


def page(client: Client, query: str = "", status: int = 200) -> str:
    response = client.get(f"{HISTORY}?{query}")
    assert response.status_code == status
    return response.content.decode()


def exported(client: Client, query: str) -> str:
    response = client.get(f"{EXPORT}?{query}")
    assert response.status_code == 200
    assert response["Content-Disposition"].startswith("attachment")
    body = cast("AsyncIterator[bytes]", cast(StreamingHttpResponse, response).streaming_content)

    async def read() -> bytes:
        return b"".join([chunk async for chunk in body])

    return async_to_sync(read)().decode()


def test_it_shows_both_directions_with_the_time_the_answer_took(browser: Client, pump: Device) -> None:
    exchange(pump, "get_gpio", '{"number": 4}', '{"number": 4, "value": 0}')
    html = page(browser)
    assert "38.4 ms" in html
    assert "{&quot;number&quot;: 4, &quot;value&quot;: 0}" in html
    assert "2 of 2." in html
    assert 'aria-label="Messages a minute' in html


def test_it_escapes_what_devices_say(browser: Client, pump: Device) -> None:
    said(pump, "from", "write_uart", '{"value": "<script>alert(1)</script>"}')
    html = page(browser)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_it_says_when_there_was_something_before_the_shown_time(browser: Client, pump: Device) -> None:
    said(pump, "to", "get_status", "{}", now() - timedelta(hours=3))
    html = page(browser, f"device={pump.hex}")
    assert "No messages from Pump in the last hour." in html
    assert "3 h ago" in html
    assert "Show everything" in html
    assert "1 of 1." in page(browser, f"device={pump.hex}&range=all")


def test_it_says_that_there_never_was_anything(browser: Client) -> None:
    assert "from its first connection on" in page(browser)


@pytest.mark.parametrize("how", ["{hex}", "pump", "PUMP"])
def test_it_takes_a_device_by_id_or_name(browser: Client, account: Account, pump: Device, how: str) -> None:
    said(make_device(account, "Lamp"), "to", "get_status", "{}")
    said(pump, "to", "get_status", "{}")
    assert "1 of 1." in page(browser, f"device={how.format(hex=pump.hex)}")


def test_it_answers_a_foreign_device_exactly_as_an_unknown_one(browser: Client, pump: Device) -> None:
    foreign = make_device(make_account("mallory"), "Foreign")
    said(foreign, "to", "get_status", '{"secret": 1}')
    unknown_html = page(browser, f"device={'0' * 32}", 400)
    foreign_html = page(browser, f"device={foreign.hex}", 400)
    assert "You have no device of this name or id." in foreign_html
    assert unknown_html.count("<") == foreign_html.count("<")
    assert "Foreign" not in foreign_html
    assert "secret" not in foreign_html


def test_it_names_deleted_devices_without_a_link(browser: Client, pump: Device) -> None:
    said(pump, "to", "get_status", "{}")
    delete_device(device=pump)
    html = page(browser)
    assert "<span data-name>Pump</span>" in html


@pytest.mark.parametrize(
    ("query", "said_at_field"),
    [
        ("since=yesterday", "valid date"),
        ("since=2026-11-23T10:00&until=2026-11-23T09:00", "This is not after From."),
        ("api=GET%20it", "An api is small letters"),
        ("direction=sideways", "Nothing was looked up"),
        ("range=forever", "Nothing was looked up"),
        ("q=%00", "ull characters"),
        ("q=" + "x" * 101, "at most 100"),
        ("device=%00", "Nothing was looked up"),
    ],
)
def test_it_says_at_the_field_what_is_wrong_with_the_filter(
    browser: Client, pump: Device, query: str, said_at_field: str
) -> None:
    assert said_at_field in page(browser, query, 400)


def test_it_reads_times_in_the_users_zone(browser: Client, alice: User, pump: Device) -> None:
    alice.time_zone = "Asia/Tokyo"
    alice.save()
    at = now().replace(microsecond=0) - timedelta(minutes=10)
    said(pump, "to", "get_status", "{}", at)
    tokyo = (at + timedelta(hours=9)).strftime("%Y-%m-%dT%H:%M:%S")
    html = page(browser, f"since={tokyo}")
    assert "1 of 1." in html
    assert f"{at + timedelta(hours=9):%H:%M:%S}" in html
    after = (at + timedelta(hours=9, seconds=1)).strftime("%Y-%m-%dT%H:%M:%S")
    assert "No messages" in page(browser, f"since={after}")


def test_it_leads_to_older_and_back_to_newer(browser: Client, pump: Device) -> None:
    many(pump, 60, now() - timedelta(minutes=30), timedelta(seconds=1))
    first = browser.get(HISTORY)
    assert first.context["page"].previous is None
    older = browser.get(HISTORY, {"cursor": first.context["page"].next})
    assert len(older.context["rows"]) == 10
    assert "10 of 60." in older.content.decode()
    newer = browser.get(HISTORY, {"cursor": older.context["page"].previous})
    assert [row.message.pk for row in newer.context["rows"]] == [row.message.pk for row in first.context["rows"]]


def test_a_cursor_cut_off_by_a_mail_program_shows_the_first_page(browser: Client, pump: Device) -> None:
    said(pump, "to", "get_status", "{}")
    assert "1 of 1." in page(browser, "cursor=AAAA", 400)


def test_it_exports_exactly_the_filter_as_csv_and_ndjson(
    browser: Client, account: Account, pump: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_view, "BATCH", 7)
    many(pump, 20, now() - timedelta(minutes=30), timedelta(seconds=1))
    said(make_device(account, "Lamp"), "to", "get_status", "{}")
    rows = list(csv.DictReader(io.StringIO(exported(browser, f"format=csv&device={pump.hex}"))))
    lines = [json.loads(line) for line in exported(browser, f"format=ndjson&device={pump.hex}&direction=from").splitlines()]
    assert [row["payload"] for row in rows] == [f'{{"number": {index}}}' for index in reversed(range(20))]
    assert rows[0]["topic"] == f"server/{pump.hex}/get_gpio"
    assert datetime.fromisoformat(rows[0]["time"]).tzinfo is not None
    assert len(lines) == 10
    assert {line["direction"] for line in lines} == {"from"}
    assert lines[0]["device"] == "Pump"


def test_who_is_taken_out_of_an_account_during_an_export_gets_no_more_of_it(
    alice: User, pump: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_view, "BATCH", 7)
    many(pump, 20, now() - timedelta(minutes=30), timedelta(seconds=1))

    def piece(cursor: str | None) -> tuple[str, str | None]:
        return export_view._piece(alice, MessageFilter(), cursor, lambda lines, _names: f"{len(list(lines))} lines", {})

    text, cursor = piece(None)
    assert (text, cursor is None) == ("7 lines", False)
    alice.memberships.all().delete()
    assert piece(cursor) == ("", None)


@pytest.mark.parametrize("cell", ["=1+1", "+49", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_of_the_csv_is_taken_for_a_formula(browser: Client, pump: Device, cell: str) -> None:
    said(pump, "from", "write_uart", cell)
    (row,) = csv.DictReader(io.StringIO(exported(browser, "format=csv"), newline=""))
    assert row["payload"] == f"'{cell}"


def test_it_refuses_to_export_what_it_would_not_show(browser: Client) -> None:
    assert browser.get(f"{EXPORT}?format=xls").status_code == 400
    assert browser.get(f"{EXPORT}?format=csv&device={'0' * 32}").status_code == 400


def test_it_is_for_those_who_signed_in(client: Client) -> None:
    assert client.get(HISTORY).status_code == 302
    assert client.get(EXPORT).status_code == 302


def test_the_address_is_what_it_always_was() -> None:
    assert (reverse("messaging:history"), reverse("messaging:export")) == (HISTORY, EXPORT)
