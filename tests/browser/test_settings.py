"""Changing how one gets in, taking one's data along, and leaving."""

from __future__ import annotations

import re
import zipfile

from playwright.sync_api import expect

from tests.browser.desk import Desk
from tests.browser.seed import PASSWORD
from tests.browser.stack import Portal

NEW_PASSWORD = "a long way to Tipperary"
SIGN_IN = re.compile("/accounts/login/")


def test_an_address_and_a_password_are_changed_and_the_account_is_left_and_kept(portal: Portal, desk: Desk) -> None:
    desk.expect("status of 400.*/accounts/login/", "WebSocket")  # the old password; the page whose session has ended
    page = desk.page("selma", "/account/", own_session=True)
    elsewhere = desk.page("selma", "/devices/", own_session=True)

    page.get_by_role("link", name="Change e-mail").click()
    page.get_by_label("New e-mail").fill("selma.new@example.com")
    page.get_by_role("button", name="Send the code").click()
    page.locator(".six").fill(portal.mailed_code("selma.new@example.com"))
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("selma.new@example.com")).to_be_visible()
    portal.mailed("selma@example.com", "changed")

    page.goto("/account/password/")
    page.get_by_label("New password").fill(NEW_PASSWORD)
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_role("heading", name="Account", exact=True)).to_be_visible()
    expect(elsewhere).to_have_url(SIGN_IN)
    portal.mailed("selma.new@example.com", "password")

    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert "selma.new@example.com" in "".join(archive.read(name).decode() for name in archive.namelist())

    page.get_by_role("link", name="Delete…").click()
    page.get_by_label("User name").fill("selma")
    page.get_by_role("button", name="Delete selma").click()
    expect(page.get_by_role("heading", name="Your account is to be deleted")).to_be_visible()
    page.goto("/devices/")
    page.get_by_role("button", name="Keep my account").click()
    expect(page.get_by_role("heading", name="Account", exact=True)).to_be_visible()

    again = desk.page(None, "/accounts/login/")
    for password, finds in ((PASSWORD, "Sign in"), (NEW_PASSWORD, "No devices yet")):
        again.get_by_label("User name or e-mail").fill("selma.new@example.com")
        again.get_by_label("Password").fill(password)
        again.get_by_role("button", name="Sign in", exact=True).click()
        expect(again.get_by_role("heading", name=finds, exact=True)).to_be_visible()
