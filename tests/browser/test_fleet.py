"""Many devices, and devices that change hands: registered as a job, taken home as one file, given away by a code."""

from __future__ import annotations

import re
import subprocess
import zipfile
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.desk import PHONE, Desk, no_reload
from tests.browser.seed import PASSWORD

CODE = re.compile(r"(?:[2-9A-Z]{4}-){3}[2-9A-Z]{4}")


def register_many(page: Page, pattern: str, count: int) -> None:
    page.goto("/devices/register/many/")
    page.get_by_label("Names").fill(pattern)
    page.get_by_label("How many").fill(str(count))
    page.get_by_role("button", name="Register them").click()


def test_many_are_registered_before_ones_eyes_and_taken_home_in_one_file(desk: Desk, tmp_path: Path) -> None:
    page = desk.page("carla")
    register_many(page, "Lamp {n}", 25)
    expect(page.get_by_role("heading", name="Registered", exact=True)).to_be_visible()  # by itself
    expect(page.locator("#state")).to_contain_text("25 of 25 registered")
    with page.expect_download() as started:
        page.get_by_role("link", name="Result as CSV").click()
    assert started.value.path().read_text().count(",registered,") == 25

    password, command = page.get_by_label("Password of the archive").input_value(), page.locator("#open").inner_text()
    with page.expect_download() as started:
        page.get_by_role("button", name="Download").click()
    started.value.save_as(tmp_path / started.value.suggested_filename)
    subprocess.run([*command.split(), "-pass", f"pass:{password}"], cwd=tmp_path, check=True)  # noqa: S603 - as the page has it
    with zipfile.ZipFile(next(tmp_path.glob("*.zip"))) as whole:
        assert sum(name.endswith("/device.key") for name in whole.namelist()) == 25

    page.get_by_role("button", name="Codes to print").click()
    expect(page.locator(".claim svg.qr")).to_have_count(25)
    page.emulate_media(media="print")
    expect(page.locator(".edge")).to_be_hidden()
    box = page.locator(".claim").first.bounding_box()
    assert box is not None
    assert box["width"] < 720  # two beside each other
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]


def test_a_job_that_is_cancelled_keeps_what_it_has_made_and_says_so(desk: Desk) -> None:
    page = desk.page("carla")
    register_many(page, "Sensor {n}", 1000)
    with no_reload(page):
        expect(page.locator("#state")).to_contain_text(re.compile(r"[1-9]\d* of 1,000 registered"))  # the bar moves by itself
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", name="Cancelled")).to_be_visible()
    expect(page.locator("#state")).to_contain_text("whole and stay")
    value = int(page.locator("progress").get_attribute("value") or 0)
    assert 0 < value < 1000
    page.reload()
    assert int(page.locator("progress").get_attribute("value") or 0) == value  # nothing goes on behind it


def test_a_code_shown_once_gives_the_device_to_whoever_scans_it_and_signs_in(desk: Desk) -> None:
    desk.expect("status of (400|404)")
    owner = desk.page("carla", "/devices/register/")
    owner.get_by_label("Name").fill("Door bell")
    owner.get_by_role("button", name="Register device").click()
    expect(owner.get_by_role("heading", name="Door bell is registered")).to_be_visible()
    device = owner.url.removesuffix("registered/")
    owner.goto(device)
    panel = owner.locator("#claim-code")
    withdrawn = make_code(owner)
    owner.get_by_role("link", name="Door bell").click()
    expect(panel).to_contain_text("code until")
    panel.get_by_role("link", name="Withdraw…").click()
    owner.get_by_role("button", name="Withdraw it").click()
    expect(panel).not_to_contain_text("code until")
    code = make_code(owner)

    dora = desk.page(None, f"/devices/claim/#{code}", size=PHONE)  # as the QR code has it, on a phone that is not signed in
    expect(dora.locator("[data-claim-code]")).to_have_text(code)
    dora.get_by_role("link", name="I have an account").click()
    dora.get_by_label("User name or e-mail").fill("dora")
    dora.get_by_label("Password").fill(PASSWORD)
    dora.get_by_role("button", name="Sign in", exact=True).click()
    field = dora.get_by_label("Code")
    expect(field).to_have_value(code)
    assert code not in dora.url
    field.fill(withdrawn)
    dora.get_by_role("button", name="Claim it").click()
    expect(dora.locator(".err")).to_contain_text("This code does not work")
    dora.get_by_label("Code").fill(code.lower())
    dora.get_by_role("button", name="Claim it").click()
    expect(dora.get_by_role("heading", name="Door bell")).to_be_visible()
    expect(dora.get_by_role("link", name="renew its certificate")).to_be_visible()
    assert dora.url == device
    assert owner.goto(device).status == 404  # type: ignore[union-attr]  # http always answers


def make_code(page: Page) -> str:
    """Make a claim code on the page of the device, and return what is shown this once."""
    page.locator("#claim-code").get_by_role("link", name="Make a code").click()
    page.get_by_role("button", name="Make a code").click()
    expect(page.locator(".claim svg.qr")).to_be_visible()
    found = CODE.search(page.locator(".claim").inner_text())
    assert found
    return found[0]
