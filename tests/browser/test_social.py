"""Signing in with another site: a real OpenID Connect provider, under the portal's own policy on what pages may do."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from accounts.tests.sites import Site, running_site
from tests.browser.desk import Desk
from tests.browser.stack import Portal

# The provider's library warns of what it does itself; its pages want a stylesheet from the internet.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:authlib")
STYLES = re.compile(r"^https://cdn\.jsdelivr\.net/")


@pytest.fixture(scope="module")
def site(portal: Portal) -> Iterator[Site]:
    """Return the provider that the portal was told of."""
    with running_site(portal.site_port) as site:
        yield site


def test_a_stranger_comes_in_with_another_site(site: Site, desk: Desk) -> None:
    site.person("nils-there", name="Nils North", email="nils@example.com", email_verified=True, preferred_username="nils")
    page = _door(desk)
    _come_in(page, "nils-there")
    expect(page.get_by_role("heading", name="No devices yet")).to_be_visible()
    page.goto("/account/")
    expect(page.locator("#sites")).to_contain_text("nils@example.com")


def test_an_account_with_the_same_confirmed_address_is_the_one_that_a_trusted_site_opens(
    site: Site, portal: Portal, desk: Desk
) -> None:
    site.person("sam-there", name="Sam", email="sam@example.com", email_verified=True)
    page = _door(desk)
    _come_in(page, "sam-there")
    expect(page.get_by_label("Menu of sam")).to_be_visible()
    portal.mailed("sam@example.com", "Home SSO connected")

    page.goto("/account/")
    page.get_by_role("link", name="Disconnect Home SSO").click()
    page.get_by_role("button", name="Disconnect Home SSO").click()
    expect(page.locator("#sites")).to_contain_text("not connected")
    page.get_by_role("button", name="Connect Home SSO").click()
    page.get_by_placeholder("sub").fill("sam-there")
    page.get_by_role("button", name="Authorize").click()
    expect(page.locator("#sites")).to_contain_text("sam@example.com")


def _door(desk: Desk) -> Page:
    page = desk.page(None, "/accounts/login/")
    page.route(STYLES, lambda route: route.fulfill(body="", content_type="text/css"))
    return page


def _come_in(page: Page, sub: str) -> None:
    """Sign in at the site, where a page without a click of its own leads."""
    page.get_by_role("button", name="Home SSO").click()
    page.get_by_placeholder("sub").fill(sub)
    page.get_by_role("button", name="Authorize").click()
