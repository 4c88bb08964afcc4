"""Getting in, staying in, getting back in, and getting out everywhere."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.desk import Desk, is_live
from tests.browser.seed import PASSWORD
from tests.browser.stack import Portal

NEW_PASSWORD = "a long way to Tipperary"


def test_the_code_of_a_sign_up_counts_down_to_the_next_one_and_is_taken_as_it_is_pasted(portal: Portal, desk: Desk) -> None:
    desk.expect("status of 400.*/accounts/confirm-email/")
    page = desk.page(None, "/accounts/signup/")
    values = {"First name": "Kim", "Last name": "Keen", "User name": "kim", "E-mail": "kim@example.com", "Password": NEW_PASSWORD}
    for label, value in values.items():
        page.get_by_label(re.compile(f"^{label}")).fill(value)
    page.get_by_role("button", name="Sign up", exact=True).click()
    _counts_down(page)

    code = portal.mailed_code("kim@example.com")
    page.locator(".six").fill("000000" if code != "000000" else "000001")
    page.get_by_role("button", name="Confirm").click()
    expect(page.locator(".f .c-bad")).to_contain_text("tries left")
    _counts_down(page)

    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("(text) => navigator.clipboard.writeText(text)", f"Your code: {code[:3]} {code[3:]}")
    page.locator(".six").press("ControlOrMeta+v")
    expect(page.locator(".six")).to_have_value(code)
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("heading", name="No devices yet")).to_be_visible()


def _counts_down(page: Page) -> None:
    """See the seconds go by beside a button that waits."""
    expect(page.get_by_role("button", name="Send again")).to_be_disabled()
    wait = page.locator("#wait")
    expect(wait).to_have_text(re.compile(r"^possible in 0:\d\d$"))
    expect(wait).not_to_have_text(wait.inner_text())


def test_a_browser_that_keeps_one_signed_in_still_does_after_it_was_closed(desk: Desk) -> None:
    for keep, finds in ((False, "Sign in"), (True, "Devices")):
        page = desk.page(None, "/accounts/login/")
        page.get_by_label("User name or e-mail").fill("rose@example.com")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_label("Keep me signed in").set_checked(keep)
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.get_by_role("heading", name="Devices", exact=True)).to_be_visible()
        kept = [cookie for cookie in page.context.cookies() if cookie["expires"] > 0]  # others do not outlive the browser
        again = desk.context(None)
        again.add_cookies(kept)  # type: ignore[arg-type]  # what Playwright gives is what it takes
        page = again.new_page()
        page.goto("/devices/")
        expect(page.get_by_role("heading", name=finds, exact=True)).to_be_visible()


def test_a_forgotten_name_and_password_come_by_mail_and_the_other_browser_is_signed_out(portal: Portal, desk: Desk) -> None:
    desk.expect("status of 400.*/accounts/(login|password)/", "WebSocket", "status of 40[13]")
    elsewhere = desk.page("rose", "/devices/", own_session=True)
    is_live(elsewhere)
    page = desk.page(None, "/accounts/login/")
    page.get_by_role("link", name="Forgot username or password?").click()
    page.get_by_label("E-mail").fill("rose@example.com")
    page.get_by_role("button", name="Send the mail").click()
    expect(page.get_by_role("heading", name="Check your mail")).to_be_visible()
    code = portal.mailed_code("rose@example.com")
    assert "Your user name: rose" in portal.mailed("rose@example.com", "a code for a new password")["text"]
    page.locator(".six").fill(code)
    page.get_by_role("button", name="Confirm").click()
    page.get_by_label(re.compile("^New password")).fill(NEW_PASSWORD)
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_role("heading", name="Password changed")).to_be_visible()

    _is_out(elsewhere)
    portal.mailed("rose@example.com", "Your password at IoT Portal was changed")
    page.get_by_role("link", name="Sign in", exact=True).click()
    for password, finds in ((PASSWORD, "Sign in"), (NEW_PASSWORD, "Devices")):
        page.get_by_label("User name or e-mail").fill("rose")
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.get_by_role("heading", name=finds, exact=True)).to_be_visible()


def _is_out(page: Page) -> None:
    """See that an open page knows that its session is over, and that nothing of it stays on the screen."""
    expect(page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()


def test_sessions_that_are_ended_from_the_list_are_over_in_their_open_pages_and_the_profile_is_changed(desk: Desk) -> None:
    desk.expect("WebSocket", "status of 40[13]")
    phone = desk.page("theo", "/devices/", own_session=True, user_agent=PHONE)
    is_live(phone)
    page = desk.page("theo", "/account/", own_session=True)
    sessions = page.locator("#sessions-list li")
    expect(sessions.filter(has_text="this one")).to_have_count(1)
    page.get_by_role("button", name=re.compile("^Sign out .*iPhone")).click()
    expect(sessions.filter(has_text="iPhone")).to_have_count(0)
    _is_out(phone)

    others = [desk.page("theo", "/devices/", own_session=True) for _ in range(2)]
    page.reload()
    page.get_by_role("link", name="Sign out everywhere else").click()
    page.get_by_role("button", name="Sign out everywhere else").click()
    expect(sessions).to_have_count(1)
    for other in others:
        _is_out(other)

    page.goto("/account/profile/")
    page.get_by_label("First name").fill("Theodora")
    page.get_by_label("Time zone").select_option("Europe/Stockholm")
    page.get_by_role("button", name="Save").click()
    page.goto("/account/profile/")
    expect(page.get_by_label("First name")).to_have_value("Theodora")
    expect(page.get_by_label("Time zone")).to_have_value("Europe/Stockholm")


PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 "
    "Mobile/15E148 Safari/604.1"
)
