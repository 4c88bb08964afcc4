"""An API token, from the page that makes it to the page that takes it away."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.desk import Desk, is_live, pin
from tests.browser.stack import Board


def test_a_token_is_shown_once_works_for_a_program_and_is_dead_once_it_is_revoked(desk: Desk, board: Board) -> None:
    page, control = desk.page("alice", "/account/", own_session=True), desk.control(board)  # a recent sign-in
    page.get_by_role("link", name="New token").click()
    page.get_by_label(re.compile("^Name")).fill("grafana")
    page.get_by_role("button", name="Make the token").click()
    expect(page.get_by_text("Copy it now: it is shown this once.")).to_be_visible()
    secret = page.locator("#token").inner_text()
    assert re.fullmatch(r"iotp_\S{30,}", secret)
    expect(page.locator("#try")).to_contain_text("curl")

    is_live(control)
    path, command = f"/devices/{board.hex}/commands", {"api": "set_gpio", "arguments": {"number": 14, "value": 1}}
    status, body = board.portal.api("POST", path, command, token=secret)
    assert (status, body["answer"]) == (200, {"number": 14, "value": 1})
    expect(pin(control, 14).locator("[data-level]")).to_have_text("HIGH")
    assert board.portal.api("POST", "/devices", {"name": "Not with this one"}, token=secret)[0] == 403

    page.get_by_role("link", name="Done").click()
    token = page.locator(".set li").filter(has_text="grafana")
    expect(token).to_contain_text(re.compile("used .*(just now|ago)"))
    assert secret not in page.content()
    token.get_by_role("link", name="Revoke grafana").click()
    page.get_by_role("button", name="Revoke grafana").click()
    expect(page.locator(".set li").filter(has_text="grafana")).to_have_count(0)
    status, body = board.portal.api("POST", path, command, token=secret)
    assert status == 401, body
