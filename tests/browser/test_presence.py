"""The device's own page: what is known of its presence, as it changes, and what happened to it."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.desk import PHONE, Desk, is_live, no_reload
from tests.browser.stack import Board


def device_page(desk: Desk, board: Board, person: str = "alice") -> Page:
    page = desk.page(person, f"/devices/{board.hex}/")
    is_live(page)
    return page


def test_the_page_follows_a_device_that_goes_comes_back_and_loses_its_power(desk: Desk, board: Board) -> None:
    page = device_page(desk, board)
    presence, happened = page.locator("#presence"), page.locator("#happened li")
    expect(presence.locator("dl")).to_contain_text("Online")
    expect(presence.locator("dl")).to_contain_text("127.0.0.1")
    expect(happened.first).to_contain_text("Connected")
    with no_reload(page):
        board.stop()
        expect(presence).to_contain_text("It sent DISCONNECT, as a device does that leaves on purpose.")
        expect(happened.first).to_contain_text("Said goodbye")
        board.start()
        expect(presence.locator("dl")).to_contain_text("Online")
        board.kill()
        expect(presence).to_contain_text("the device lost its power")
        expect(happened.first).to_contain_text("Went without goodbye")
        expect(presence.locator("dl")).to_contain_text("2 in 24 hours")
    expect(happened).to_have_count(5)  # registered, and twice there and gone


def test_message_and_answer_are_told_apart_the_moment_they_come(desk: Desk, board: Board) -> None:
    page, control = device_page(desk, board), desk.control(board)
    for shown in (page, control):
        expect(shown.locator("[data-last-answer-ms]")).to_have_text(re.compile("none", re.IGNORECASE))
    with no_reload(page), no_reload(control):
        assert board.command("get_rtc")[0] == 200
        for shown in (page, control):
            expect(shown.locator("[data-last-message] time")).to_be_visible()
            expect(shown.locator("[data-last-answer-ms]")).to_have_text(re.compile(r"[\d.]+ (ms|s)"))
            expect(shown.locator("[data-last-answer]")).to_contain_text("get_rtc")


def test_a_strip_shows_the_last_days_to_everybody_who_may_look(desk: Desk, board: Board) -> None:
    page = device_page(desk, board, "vera")
    strips = page.locator("#presence svg.strip")
    expect(strips).to_have_count(2)
    for strip in strips.all():
        expect(strip).to_have_attribute("aria-label", re.compile("Since it was registered: (Online|Offline)"))
    expect(page.locator("#presence form")).to_have_count(0)


def test_all_that_happened_has_a_page_of_its_own(desk: Desk, board: Board) -> None:
    page = desk.page("alice", f"/devices/{board.hex}/timeline/", size=PHONE)
    expect(page.get_by_role("heading", name=f"What happened to {board.name}")).to_be_visible()
    expect(page.locator(".lines li").last).to_contain_text("Registered")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]


def test_while_the_broker_is_away_nothing_is_claimed(desk: Desk, board: Board) -> None:
    portal = board.portal
    portal.kill("broker")
    try:
        page = desk.page("alice", f"/devices/{board.hex}/")
        expect(page.locator("#presence")).to_contain_text("The portal does not hear the broker since")
        expect(page.locator("#presence")).to_contain_text("The device was online then.")
        devices = desk.page("alice", "/devices/")
        expect(devices.locator("#silent")).to_contain_text("does not hear the broker")
    finally:
        portal.start_broker()
    with no_reload(page):
        expect(page.locator("#presence dl")).to_contain_text("Online")
        expect(page.locator("#happened li").nth(1)).to_contain_text("The broker was restarted")
    devices.reload()
    expect(devices.locator("#silent")).to_be_empty()
