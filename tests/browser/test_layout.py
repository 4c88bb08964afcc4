"""Every main page at every width, by keyboard, and for those who want nothing to move."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.desk import PHONE, Desk, ask_pin, is_live, knob, pin
from tests.browser.stack import Board, Portal

WIDTHS = (360, 768, 900, 1100, 1440)
SIGNED_OUT = ("/accounts/login/", "/accounts/signup/", "/accounts/password/reset/", "/help/", "/terms/", "/privacy/")
SIGNED_IN = ("/devices/", "/devices/register/", "/history/", "/account/", "/account/profile/", "/account/tokens/new/")
MORE = ("/settings/", "/menu/", "/help/", "/no-such-page/")
OF_A_DEVICE = ("", "registered/", "control/", "delete/")


@pytest.fixture(scope="module")
def wide(portal: Portal) -> Iterator[Board]:
    """Return a device with everything that is long."""
    board = portal.register("Device-with-a-name-that-has-no-place-to-break-in-it-at-all-0").start()
    for value in ("w" * 300, "many words that go on " * 20):
        assert board.command("write_uart", value=value)[0] == 200
    assert board.command("set_gpio", number=3, value=1)[0] == 200
    assert board.command("get_a_thing_that_has_a_long_name_but_is_not_known_to_it", timeout=1)[0] in (200, 504)
    yield board
    board.close()


@pytest.mark.parametrize("person", [None, "alice"])
def test_no_page_scrolls_sideways_at_any_width(desk: Desk, wide: Board, person: str | None) -> None:
    desk.expect("status of 404")
    pages = [*SIGNED_IN, *MORE, *(f"/devices/{wide.hex}/{one}" for one in OF_A_DEVICE)] if person else SIGNED_OUT
    page = desk.page(person)
    too_wide = []
    for path in pages:
        page.goto(path)
        for details in page.locator("main details.more:not([hidden]) > summary").all():
            details.click()
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            if over > 0:
                too_wide.append(f"{path} at {width}: {over} px, {_widest(page)}")
    assert too_wide == []


def _widest(page: Page) -> str:
    """Name the element that reaches out the farthest."""
    found: str = page.evaluate(
        """() => {
          const reach = (one) => one.getBoundingClientRect().right;
          const all = [...document.body.querySelectorAll("*")].filter((one) => reach(one) > innerWidth + 0.5);
          const one = all.sort((a, b) => reach(b) - reach(a))[0];
          return one ? one.outerHTML.slice(0, 120) : "nothing seen";
        }"""
    )
    return found


def test_a_phone_controls_a_device_from_the_list_to_the_answer(desk: Desk, board: Board) -> None:
    page = desk.page("alice", "/devices/", size=PHONE, has_touch=True, is_mobile=True)
    is_connected = page.locator("#link").get_by_role("img", name="Live updates are connected")
    expect(is_connected).to_be_visible()
    page.locator(f'.cards li[data-device="{board.hex}"] .card').tap()
    page.wait_for_url("**/control/")
    expect(is_connected).to_be_visible()
    ask_pin(page, 2, "Set high")
    knob(page, 2).tap()
    expect(pin(page, 2).locator("[data-level]")).to_have_text("LOW")
    expect(page.locator("#dock")).to_contain_text("set_gpio 2")
    page.get_by_role("navigation", name="Jump to").get_by_role("link", name="UART").tap()
    expect(page.get_by_label("Text to send")).to_be_in_viewport()
    page.locator(".tabbar").get_by_role("link", name="History").tap()
    expect(page.locator("#rows tbody tr").first).to_contain_text("set_gpio")


def test_a_switch_is_reached_and_turned_by_keyboard_alone_and_keeps_the_focus(desk: Desk, board: Board) -> None:
    assert board.command("set_gpio", number=3, value=0)[0] == 200
    page = desk.control(board)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(40):
        page.keyboard.press("Tab")
        if knob(page, 3).evaluate("(knob) => knob === document.activeElement"):
            break
    expect(knob(page, 3)).to_be_focused()
    for key, level in (("Space", "HIGH"), ("Enter", "LOW")):
        page.keyboard.press(key)
        expect(pin(page, 3).locator("[data-level]")).to_have_text(level)
        expect(pin(page, 3)).to_have_class("confirmed")
        expect(knob(page, 3)).to_be_focused()
    expect(page.locator("#timeline")).to_contain_text("set_gpio 3 → 0")
    expect(knob(page, 3)).to_be_focused()
    outline = knob(page, 3).evaluate("(knob) => getComputedStyle(knob).outlineStyle")
    assert outline != "none"


def test_nothing_moves_for_those_who_want_it_still(desk: Desk, board: Board) -> None:
    page = desk.control(board, reduced_motion="reduce")
    ask_pin(page, 3, "Set low")
    knob(page, 3).click()
    expect(pin(page, 3)).to_have_class("confirmed")
    expect(pin(page, 3).locator("[data-level]")).to_have_text("HIGH")
    lasting = page.evaluate("document.getAnimations().filter((one) => one.effect.getComputedTiming().duration > 1).length")
    assert lasting == 0


def test_the_dark_theme_of_the_settings_is_on_every_page(desk: Desk) -> None:
    page = desk.page("vera", "/settings/")
    page.get_by_label("Dark").check()
    page.get_by_role("button", name="Save").click()
    page.goto("/devices/")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    is_live(page)
