"""From nobody to a device that answers."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from playwright.sync_api import Page, expect

from tests.browser.desk import Desk, ask_pin, is_live, no_reload, sign_in
from tests.browser.stack import Portal


def test_a_stranger_signs_up_confirms_the_mailed_code_and_signs_in_again_by_email(portal: Portal, desk: Desk) -> None:
    page = desk.page(None, "/")
    page.get_by_role("link", name="No account yet?").click()
    for label, value in {
        "First name": "Nora",
        "Last name": "Newcomer",
        "User name": "nora",
        "E-mail": "nora@example.com",
        "Password": "a long way to Tipperary",
    }.items():
        page.get_by_label(re.compile(f"^{label}")).fill(value)
    page.get_by_role("button", name="Sign up", exact=True).click()

    expect(page.get_by_role("heading", name="Check your mail")).to_be_visible()
    page.locator(".six").fill(portal.mailed_code("nora@example.com"))
    page.get_by_role("button", name="Confirm").click()

    expect(page).to_have_url(re.compile("/devices/$"))
    expect(page.get_by_role("heading", name="No devices yet")).to_be_visible()
    expect(page.locator("#simulate")).to_have_text(re.compile(r"^python3 .*\.zip$"))

    is_live(page)
    page.get_by_label("Menu of nora").click()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto("/devices/")
    expect(page).to_have_url(re.compile("/accounts/login/"))
    sign_in(page, "nora@example.com", "a long way to Tipperary")


def test_a_wrong_code_and_a_wrong_password_are_said_where_they_were_typed(portal: Portal, desk: Desk) -> None:
    desk.expect("status of 400.*/accounts/(confirm-email|login)/")
    page = desk.page(None, "/accounts/signup/")
    for label in ("First name", "Last name", "User name"):
        page.get_by_label(re.compile(f"^{label}")).fill("olaf")
    page.get_by_label(re.compile("^E-mail")).fill("olaf@example.com")
    page.get_by_label(re.compile("^Password")).fill("a long way to Tipperary")
    page.get_by_role("button", name="Sign up", exact=True).click()
    right = portal.mailed_code("olaf@example.com")
    page.locator(".six").fill("000000" if right != "000000" else "000001")
    page.get_by_role("button", name="Confirm").click()
    expect(page.locator(".f .c-bad")).to_contain_text("tries left")
    page = desk.page(None, "/accounts/login/")
    page.get_by_label("User name or e-mail").fill("alice")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.locator(".err")).to_contain_text("tries left")


def test_a_new_device_is_registered_its_zip_is_run_and_the_page_shows_by_itself_that_it_answers(
    portal: Portal, desk: Desk, tmp_path: Path
) -> None:
    page = desk.page("alice", "/devices/register/")
    page.get_by_label("Name").fill("Greenhouse pump")
    page.get_by_role("button", name="Register device").click()
    expect(page.get_by_role("heading", name="Greenhouse pump is registered")).to_be_visible()
    device = page.locator("#device-id").inner_text().replace("\n", "").replace(" ", "")
    assert re.fullmatch("[0-9a-f]{32}", device)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the device id").click()
    expect(page.get_by_role("button", name="Copy the device id")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == device
    _check_files(page, device, tmp_path)
    expect(page.locator("[data-head]")).to_have_text("Waiting for it to connect")
    is_live(page)

    line = page.locator("#simulate").inner_text()
    archive = tmp_path / line.rpartition("/")[2]
    assert line.startswith("python3 ")
    assert archive.exists()
    portal.run_simulator(device, archive)
    try:
        with no_reload(page):
            expect(page.locator("[data-step=connect]")).to_have_class("done")
            expect(page.locator("[data-step=connect] [data-said]")).to_contain_text("TLSv1.3")
            expect(page.locator("[data-step=answer] [data-said]")).to_have_text(re.compile(r"answered in [\d.,]+ (ms|s)"))
            expect(page.locator("[data-head]")).to_have_text("It is up")
        page.get_by_role("link", name="Open Control").click()
        expect(page).to_have_url(re.compile("/control/$"))
        is_live(page)
        expect(ask_pin(page, 4, "Set high").locator("[data-level]")).to_have_text("HIGH")
    finally:
        portal.stop_process(device)


def _check_files(page: Page, device: str, folder: Path) -> None:
    """Download everything from the page and see that it belongs together."""
    files = {name: _download(page, name, folder) for name in ("root-ca.pem", "greenhouse-pump.crt", "greenhouse-pump.key")}
    certificate = x509.load_pem_x509_certificate(files["greenhouse-pump.crt"])
    key = load_pem_private_key(files["greenhouse-pump.key"], None)
    assert certificate.subject.rfc4514_string() == f"CN={device}"
    assert certificate.public_key() == key.public_key()
    assert x509.load_pem_x509_certificate(files["root-ca.pem"]).extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert device in _download(page, "iot_config.h", folder).decode()
    with page.expect_download() as started:
        page.get_by_role("link", name="All, one zip").click()
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        assert archive.testzip() is None
        assert "__main__.py" in archive.namelist()
        assert archive.read("device.crt") == files["greenhouse-pump.crt"]


def _download(page: Page, name: str, folder: Path) -> bytes:
    with page.expect_download() as started:
        page.get_by_role("link", name=f"Download {name}").click()
    assert started.value.suggested_filename == name
    started.value.save_as(folder / name)
    return (folder / name).read_bytes()
