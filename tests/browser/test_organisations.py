"""An organisation from its making to the day when somebody is no longer in it."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.desk import Desk, is_live
from tests.browser.stack import Portal

LINK = re.compile(r"http://localhost:\d+(/invitations/\S+)")


def test_who_is_invited_by_mail_sees_what_their_role_allows_until_they_are_removed(portal: Portal, desk: Desk) -> None:
    desk.expect("status of 404", "WebSocket")
    owner = desk.page("olga", "/account/")
    owner.get_by_role("link", name="New organisation").click()
    owner.get_by_label(re.compile("^Name")).fill("Waterworks")
    owner.get_by_role("button", name="Make it").click()
    expect(owner.get_by_role("heading", name="Waterworks", exact=True)).to_be_visible()
    organisation = owner.url
    owner.get_by_role("link", name="Register device").click()
    owner.get_by_label("Name").fill("Intake pump")
    owner.get_by_role("button", name="Register device").click()
    owner.get_by_role("link", name="Open Control").click()
    control = owner.url

    owner.goto(organisation)
    owner.get_by_label("E-mail").fill("ines@example.com")
    owner.locator("#invitations select[name=role]").select_option("viewer")
    owner.get_by_role("button", name="Invite", exact=True).click()
    expect(owner.locator("#invitations")).to_contain_text("ines@example.com")
    found = LINK.search(portal.mailed("ines@example.com", "invites you to Waterworks")["text"])
    assert found

    member = desk.page("mallory", found[1])  # to whom the mail was not sent
    expect(member.get_by_text("It is for another address.")).to_be_visible()
    member.goto(control)
    expect(member.get_by_role("heading", name=re.compile("Intake"))).to_have_count(0)
    member = desk.page("ines", found[1])
    expect(member.get_by_text("olga invites ines@example.com")).to_be_visible()
    member.get_by_role("button", name="Accept").click()
    expect(member.get_by_role("heading", name="Waterworks", exact=True)).to_be_visible()
    expect(member.get_by_role("button", name="Invite", exact=True)).to_have_count(0)
    _may_control(member, control, may=False)

    owner.goto(organisation)
    owner.get_by_label("Role of ines").select_option("operator")
    owner.get_by_role("button", name="Change the role of ines").click()
    expect(owner.get_by_label("Role of ines")).to_have_value("operator")
    _may_control(member, control, may=True)

    owner.get_by_role("link", name="Remove ines").click()
    owner.get_by_role("button", name="Remove ines").click()
    expect(owner.locator("#members")).not_to_contain_text("ines")
    assert member.goto(control).status == 404  # type: ignore[union-attr]  # http always answers
    member.goto("/account/")
    expect(member.locator("#organisations")).not_to_contain_text("Waterworks")


def _may_control(page: Page, control: str, *, may: bool) -> None:
    """See that the page has buttons that do something, or none."""
    page.goto(control)
    is_live(page)
    expect(page.get_by_label("GPIO number")).to_have_count(int(may))
