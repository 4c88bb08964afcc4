"""The history: what it shows, how it is looked through, and what it gives away."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.desk import Desk, is_live
from tests.browser.stack import Board, Portal, until

COMMANDS = 60


@pytest.fixture(scope="module")
def talked(portal: Portal) -> Iterator[Board]:
    """Return a device with 2 × COMMANDS messages; it has gone offline again."""
    board = portal.register("Talker").start()
    for number in range(COMMANDS - 1):
        assert board.command("get_gpio", number=number % 16)[0] == 200
    assert board.command("write_uart", value="Needle in a haystack")[0] == 200
    until(lambda: "Needle" in str(portal.api("GET", f"/messages?device={board.hex}&direction=from")[1]), "all is written")
    yield board
    board.close()


def _rows(page: Page) -> list[str]:
    found: list[str] = page.locator("#rows tbody tr").evaluate_all("(rows) => rows.map((row) => row.dataset.id)")
    return found


def test_it_is_paged_to_its_end_and_back_without_gap_or_double(desk: Desk, talked: Board) -> None:
    page = desk.page("alice", f"/history/?device={talked.hex}")
    expect(page.locator("#rows tbody tr")).to_have_count(50)
    expect(page.locator("#rows .bot")).to_contain_text(f"50 of {2 * COMMANDS}.")
    pages = [_rows(page)]
    for number in range(2):
        page.get_by_role("link", name="Older").click()
        expect(page.locator("#rows tbody tr")).to_have_count((50, 2 * COMMANDS - 100)[number])
        pages.append(_rows(page))
    assert len({row for rows in pages for row in rows}) == 2 * COMMANDS
    expect(page.get_by_role("link", name="Older")).to_have_count(0)
    expect(page.locator("#tail")).to_have_count(0)
    page.get_by_role("link", name="Newer").click()
    expect(page.locator("#rows tbody tr")).to_have_count(50)
    assert _rows(page) == pages[1]
    page.get_by_role("link", name="Newer").click()
    expect(page.get_by_role("link", name="Newer")).to_have_count(0)
    assert _rows(page) == pages[0]


# A change, and in the same moment the form as the answer to an earlier question draws it.
REDRAWN = """() => {
    const form = document.getElementById("filters"), drawn = form.cloneNode(true);
    form.elements.until.value = "2020-01-02T00:00";
    form.elements.until.dispatchEvent(new Event("change", { bubbles: true }));
    drawn.elements.until.value = "";
    form.replaceWith(drawn);
    htmx.process(drawn);
}"""


def test_it_is_filtered_by_device_api_direction_text_and_time(desk: Desk, talked: Board, board: Board) -> None:
    desk.expect("htmx:(afterRequest|sendAbort)")  # a newer question takes the place of one under way
    assert board.command("get_mac")[0] == 200
    page = desk.page("alice", "/history/")
    rows = page.locator("#rows tbody tr")
    expect(rows.filter(has_text=board.name)).to_have_count(2)
    page.get_by_label("Device", exact=True).select_option(talked.hex)
    expect(page).to_have_url(re.compile(f"device={talked.hex}"))
    expect(rows.filter(has_text=board.name)).to_have_count(0)
    page.get_by_label("Api", exact=True).fill("write_uart")
    page.get_by_label("Api", exact=True).press("Enter")
    expect(rows).to_have_count(2)
    page.locator("#filters").get_by_role("link", name="From", exact=True).click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Needle in a haystack")
    expect(page.get_by_label("Device", exact=True)).to_have_value(talked.hex)
    page.get_by_label("Search").fill("needle")
    page.get_by_label("Search").press("Enter")
    expect(page).to_have_url(re.compile("q=needle"))
    expect(rows).to_have_count(1)

    page.get_by_label("Search").fill("thimble")
    page.get_by_label("Search").press("Enter")
    said = page.locator("#rows [data-empty]")
    expect(said).to_contain_text("No messages from Talker with “thimble” in them on write_uart in the last hour. Last one:")
    said.get_by_role("link", name="Show everything").click()
    expect(said).to_contain_text("No messages from Talker with “thimble” in them on write_uart.")
    page.goto(f"/history/?device={talked.hex}")
    page.get_by_role("link", name="Last 7 days").click()
    expect(rows).to_have_count(50)
    page.get_by_label("From", exact=True).fill("2020-01-01T00:00:00")
    page.get_by_label("Until").fill("2020-01-02T00:00:00")
    expect(said).to_contain_text("No messages from Talker")


def test_what_was_typed_while_the_form_was_drawn_anew_is_asked_for_too(desk: Desk, talked: Board) -> None:
    page = desk.page("alice", f"/history/?device={talked.hex}")
    page.evaluate(REDRAWN)
    expect(page).to_have_url(re.compile("until=2020-01-02"))
    expect(page.locator("#rows [data-empty]")).to_contain_text("No messages from Talker")


def test_a_filter_that_makes_no_sense_is_marked_and_nothing_is_looked_up(desk: Desk) -> None:
    desk.expect("status of 400.*/history/", "Response Status Error Code 400")
    page = desk.page("alice", "/history/?since=2026-01-02T00:00&until=2026-01-01T00:00&api=Get%20Soil&device=nobody")
    expect(page.locator("#filters .err")).to_have_text(
        ["You have no device of this name or id.", "An api is small letters, digits and _.", "This is not after From."]
    )
    expect(page.get_by_role("heading", name="Nothing was looked up")).to_be_visible()
    page.goto("/history/?cursor=nonsense")
    expect(page.get_by_role("heading", name="History")).to_be_visible()


def test_the_tail_follows_while_it_is_on_and_catches_up_when_it_is_on_again(desk: Desk, board: Board) -> None:
    page, other = (desk.page("alice", f"/history/?device={board.hex}{more}") for more in ("", "&direction=from"))
    is_live(page)
    is_live(other)
    rows, tail = page.locator("#rows tbody tr"), page.get_by_role("button", name="Live tail")
    expect(page.locator("#rows [data-empty]")).to_be_visible()
    assert board.command("get_ip")[0] == 200
    expect(rows).to_have_count(2)
    expect(page.locator("#rows [data-empty]")).to_have_count(0)
    expect(rows.nth(0)).to_have_attribute("data-way", "from")
    expect(rows.nth(0)).to_have_class(re.compile("pair"))
    expect(rows.nth(0).locator("[data-took]")).to_have_text(re.compile(r"[\d.]+ ms"))
    expect(other.locator("#rows tbody tr")).to_have_count(1)
    tail.click()
    expect(tail).to_have_attribute("aria-pressed", "false")
    assert board.command("get_mac")[0] == 200
    expect(other.locator("#rows tbody tr")).to_have_count(2)
    expect(rows).to_have_count(2)
    tail.click()
    expect(rows).to_have_count(4)
    live = rows.nth(0).inner_text()
    page.reload()
    assert re.sub(r"\s+", " ", rows.nth(0).inner_text()) == re.sub(r"\s+", " ", live)


def test_it_is_exported_whole_as_csv_and_as_ndjson_with_the_filter_of_the_page(desk: Desk, talked: Board, tmp_path: Path) -> None:
    page = desk.page("alice", f"/history/?device={talked.hex}&direction=to")
    table = list(csv.DictReader(io.StringIO(_export(page, "CSV", tmp_path))))
    lines = [json.loads(line) for line in _export(page, "NDJSON", tmp_path).splitlines()]
    assert len(table) == len(lines) == COMMANDS
    assert {row["device_id"] for row in table} == {talked.hex}
    assert table[0]["api"] == lines[0]["api"] == "write_uart"
    assert json.loads(table[0]["payload"]) == json.loads(lines[0]["payload"]) == {"value": "Needle in a haystack"}


def _export(page: Page, kind: str, folder: Path) -> str:
    page.get_by_text("Export").click()
    with page.expect_download() as started:
        page.get_by_role("link", name=re.compile(f"^{kind},")).click()
    assert started.value.suggested_filename.endswith("." + kind.lower())
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    page.keyboard.press("Escape")
    return path.read_text()


def test_a_viewer_reads_the_same_history_and_a_stranger_none_of_it(desk: Desk, talked: Board) -> None:
    page = desk.page("vera", f"/history/?device={talked.hex}")
    expect(page.locator("#rows tbody tr")).to_have_count(50)
    desk.expect("status of 40[04]")
    page = desk.page("mallory", f"/history/?device={talked.hex}")
    expect(page.locator("#filters .err")).to_have_text("You have no device of this name or id.")
    expect(page.locator("#rows tbody tr")).to_have_count(0)
    for path in (f"/devices/{talked.hex}/control/", f"/devices/{'0' * 32}/control/"):
        page.goto(path)
        expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
        assert talked.name not in page.content()
