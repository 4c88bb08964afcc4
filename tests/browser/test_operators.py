"""Somebody who works for the portal helps, in the admin, and shows a second factor first."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.desk import Desk, is_live
from tests.browser.test_factors import add_app


def test_an_operator_shows_a_second_factor_finds_a_person_and_shuts_them_out_with_a_reason(desk: Desk) -> None:
    desk.expect("status of 40[13]", "WebSocket")
    theirs = desk.page("paula", "/devices/", own_session=True)
    is_live(theirs)

    page = desk.page("oscar", "/admin/", own_session=True)
    expect(page.get_by_role("heading", name="The admin needs a second factor")).to_be_visible()
    page.goto("/account/")
    add_app(page)
    page.goto("/admin/accounts/user/")
    page.get_by_role("searchbox").fill("paula@example.com")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="paula", exact=True).click()
    expect(page.get_by_role("table").filter(has_text="Last used").first).to_be_visible()

    page.get_by_role("button", name="Deactivate").click()
    page.get_by_label("Reason").fill("Asked by letter")
    page.get_by_role("button", name="Deactivate").click()
    expect(page.get_by_text("Deactivate: done for 1.")).to_be_visible()
    expect(theirs).to_have_url(re.compile("/accounts/login/"))

    page.goto("/admin/admin/logentry/")
    expect(page.get_by_role("row", name=re.compile("oscar.*paula.*Deactivate: Asked by letter"))).to_have_count(1)
    door = desk.page(None, "/accounts/login/")
    door.get_by_label("User name or e-mail").fill("paula")
    door.get_by_label("Password").fill("correct horse battery")
    door.get_by_role("button", name="Sign in", exact=True).click()
    expect(door.get_by_text(re.compile("inactive|deactivated|shut", re.I)).first).to_be_visible()
