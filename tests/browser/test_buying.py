"""Buying credits, from the package to the receipt, at the PayPal that `make run` has."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.desk import Desk
from tests.browser.stack import Portal, until


def test_credits_are_bought_and_the_page_shows_them_by_itself(portal: Portal, desk: Desk) -> None:
    page = desk.page("bianca", "/account/")
    with portal.paypal() as paypal:
        page.get_by_role("link", name="Buy credits").click()
        page.get_by_role("radio").nth(1).check()
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("button", name="Pay via PayPal").click()
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_text("No payment was made.")).to_be_visible()

        page.get_by_role("button", name="Pay via PayPal").click()
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_text("Waiting for PayPal to confirm.")).to_be_visible()
        popup = page.get_by_role("dialog")  # by itself: the IPN comes a second later, and the page is told
        expect(popup).to_contain_text("1,000 credits added")
        expect(popup).to_contain_text("You have 1,000 now.")
        popup.get_by_role("button", name="Close").click()
        page.get_by_role("link", name=re.compile("Receipt")).click()
        with page.expect_download() as download:
            page.get_by_role("link", name="PDF").click()
        assert download.value.path().read_bytes().startswith(b"%PDF-")

        play = desk.page(None, paypal)
        for press in ("Refund half", "Send all notices again"):  # whatever comes again changes nothing
            with play.expect_event("load"):  # with its style sheet: this PayPal is gone in a moment
                play.get_by_role("button", name=press).first.click()
    page.goto("/account/")
    page.get_by_role("link", name="Details").click()
    until(lambda: page.reload() and page.get_by_text("-500").is_visible(), "the refund, which comes by itself and tells no page")
    page.get_by_role("link", name="Payments").click()
    expect(page.get_by_text("Partly refunded")).to_be_visible()
