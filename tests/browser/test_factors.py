"""Second factors and passkeys, with an app's sums and a security key that Chromium plays."""

from __future__ import annotations

import re

from playwright.sync_api import CDPSession, Page, expect

from accounts.tests.factor_helpers import app_code
from tests.browser.desk import Desk, is_live
from tests.browser.seed import PASSWORD
from tests.browser.stack import Portal


def test_an_app_guards_the_sign_in_a_recovery_code_stands_in_once_and_a_trusted_browser_is_not_asked(
    portal: Portal, desk: Desk
) -> None:
    desk.expect("status of 400.*/accounts/second-factor/")
    page = desk.page("felix", "/account/", own_session=True)
    secret, codes = add_app(page)
    portal.mailed("felix@example.com", "Authenticator app added")
    page.goto("/account/")
    assert codes[0] not in page.content()
    expect(page.locator("#factors")).to_contain_text("10 left")

    door = desk.page(None)
    _type_password(door, "felix")
    expect(door.get_by_role("heading", name="Open your app")).to_be_visible()
    door.locator(".six").fill(app_code(secret, 7))  # of three minutes ahead
    door.get_by_role("button", name="Sign in", exact=True).click()
    expect(door.locator(".c-bad")).to_contain_text("not right")
    door.goto("/devices/")  # which leads to the same step
    expect(door.get_by_role("heading", name="Open your app")).to_be_visible()
    _use_recovery_code(door, codes[0])
    _is_in(door)
    portal.mailed("felix@example.com", "Recovery code used")
    is_live(door)  # the end of the session is told to an open page too, which then asks anew
    _log_out(door, "felix")
    _type_password(door, "felix")
    _use_recovery_code(door, codes[0])
    expect(door.locator(".err")).to_contain_text("not right")

    door.get_by_role("link", name="Use it").first.click()
    door.get_by_role("checkbox", name="Trust this browser").check()
    door.locator(".six").fill(app_code(secret, 1))  # the present one was used to set it up
    door.get_by_role("button", name="Sign in", exact=True).click()
    _is_in(door)
    is_live(door)
    _log_out(door, "felix")
    _type_password(door, "felix")
    _is_in(door)

    page.goto("/account/")
    page.get_by_role("link", name="Switch the second factor off").click()
    page.locator("main form button").click()
    expect(page.locator("#factors .bar")).to_contain_text("off")


def add_app(page: Page) -> tuple[str, list[str]]:
    """Set the app up and return its secret and the recovery codes."""
    page.get_by_role("link", name="Set up an authenticator app").click()
    expect(page.locator("svg.qr")).to_be_visible()
    secret = page.locator("#secret").inner_text().replace("\n", "").replace(" ", "")
    page.get_by_role("textbox", name="Code").fill(app_code(secret))
    page.get_by_role("button", name="Add the app").click()
    expect(page.get_by_text("They are shown this once.")).to_be_visible()
    codes = page.locator("#codes").inner_text().split()
    assert len(set(codes)) == 10, codes
    with page.expect_download() as started:
        page.get_by_role("button", name="Download").click()
    assert started.value.path().read_text().split()[-10:] == codes
    page.get_by_role("link", name="I have kept them").click()
    return secret, codes


def _use_recovery_code(page: Page, code: str) -> None:
    page.locator("li").filter(has_text="A recovery code").get_by_role("link").click()
    page.get_by_label("Recovery code").fill(code)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_a_passkey_is_asked_for_after_a_fresh_confirmation_signs_in_alone_and_is_gone_once_it_is_removed(
    portal: Portal, desk: Desk
) -> None:
    desk.expect("status of 400.*/accounts/passkey/")
    page = desk.page("petra", "/account/", own_session=True)
    key = _plug_in_a_key(page)
    portal.let_sign_ins_grow_old(page.context)
    page.get_by_role("link", name="Add a passkey").click()
    expect(page.get_by_role("heading", name="Confirm that it is you")).to_be_visible()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    page.get_by_label("Name").fill("Blue key")
    page.get_by_role("button", name="Make the passkey").click()
    page.get_by_role("link", name="I have kept them").click()
    expect(page.locator("#factors")).to_contain_text("Blue key")
    portal.mailed("petra@example.com", "Passkey added")

    _log_out(page, "petra")
    page.get_by_role("button", name="Sign in with a passkey").click()
    _is_in(page)
    _log_out(page, "petra")
    _type_password(page, "petra")  # the passkey is a second factor too
    expect(page.get_by_role("heading", name="Use your passkey")).to_be_visible()
    page.get_by_role("button", name="Use a passkey").click()
    _is_in(page)

    page.goto("/account/")
    expect(page.locator("#factors li").filter(has_text="Blue key")).to_contain_text("used")
    page.get_by_role("link", name="Remove Blue key").click()
    page.locator("main form button").click()
    expect(page.locator("#factors .bar")).to_contain_text("off")
    _log_out(page, "petra")
    page.get_by_role("button", name="Sign in with a passkey").click()  # the key still has it, the portal does not
    expect(page.get_by_role("alert")).to_be_visible()
    page.goto("/devices/")
    expect(page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()
    key.detach()


def _plug_in_a_key(page: Page) -> CDPSession:
    """Give the page's browser a device that makes passkeys and always finds its person there."""
    key = page.context.new_cdp_session(page)
    key.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    key.send(
        "WebAuthn.addVirtualAuthenticator",
        {"options": {**options, "isUserVerified": True, "automaticPresenceSimulation": True}},
    )
    return key


def test_codes_by_mail_are_asked_for_at_the_next_sign_in_and_no_more_once_they_are_switched_off(
    portal: Portal, desk: Desk
) -> None:
    page = desk.page("petra", "/account/", own_session=True)
    page.get_by_role("link", name="Switch on codes by message").click()
    page.get_by_role("button", name="Switch codes on").click()
    page.get_by_role("link", name="I have kept them").click()
    _log_out(page, "petra")
    _type_password(page, "petra")
    expect(page.get_by_role("heading", name="Check your mail")).to_be_visible()
    mail = portal.mailed("petra@example.com", "Your code to sign in")
    page.locator(".six").fill(re.findall(r"\b\d{6}\b", mail["text"])[0])
    page.get_by_role("button", name="Sign in", exact=True).click()
    _is_in(page)
    page.goto("/account/")
    page.get_by_role("link", name="Switch off codes by message").click()
    page.locator("main form button").click()
    expect(page.locator("#factors .bar")).to_contain_text("off")
    _log_out(page, "petra")
    _type_password(page, "petra")
    _is_in(page)


def _type_password(page: Page, name: str) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("User name or e-mail").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def _is_in(page: Page) -> None:
    expect(page.get_by_role("heading", name="Devices", exact=True)).to_be_visible()


def _log_out(page: Page, name: str) -> None:
    page.get_by_label(f"Menu of {name}").click()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()
