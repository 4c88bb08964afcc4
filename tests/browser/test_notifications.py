"""A rule is made, the device says what it waits for, and the log shows how the mail gets away."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from tests.browser.desk import Desk, is_live, no_reload
from tests.browser.stack import Board, Portal, until


def switch_on(portal: Portal, board: Board) -> dict[str, Any] | None:
    """Switch the pin on, again while the bridge does not know the rule yet, and return the mail about it."""
    board.command("set_gpio", number=12, value=1)
    return next((one for one in portal.mails("alice@example.com") if one["subject"] == f"{board.name}: value is 1"), None)


def test_a_rule_mails_what_a_device_says_and_the_log_shows_it_live(desk: Desk, portal: Portal, board: Board) -> None:
    page = desk.page("alice", "/notifications/rules/new/")
    page.get_by_label("Device", exact=True).select_option(label=board.name)
    page.get_by_text("Only some of these messages").click()
    fields = {
        "api": "set_gpio", "field": "value", "value": "1", "only_field": "number", "only_value": "12",
        "recipient": "alice@example.com", "message": "{device} has pin 12 at {value} <b>",
    }  # fmt: skip
    for name, text in fields.items():
        page.locator(f"#r-{name}").fill(text)
    page.get_by_label("When it").select_option("eq")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("set_gpio where number is 12: value is 1")).to_be_visible()
    log = desk.page("alice", "/notifications/")
    is_live(log)
    with no_reload(log):
        words = f"{board.name} has pin 12 at 1 <b>"
        mail = until(lambda: switch_on(portal, board), "the mail")
        row = log.get_by_role("row").filter(has_text=words)
        expect(row).to_contain_text("sent")
    assert words in mail["text"]
    page.get_by_role("button", name=f"Test the rule of {board.name}").click()
    expect(page.get_by_text("smtp: taken")).to_be_visible()
