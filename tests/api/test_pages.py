"""The API's pages in a real browser: nothing that the policy would have to let through, and everything works."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from tests.api.live import DEADLINE_S, LivePortal

_CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.django_db,
    pytest.mark.browser,
    pytest.mark.skipif(_CHROMIUM is None, reason="LEFT OUT: no Chromium here to drive; see .ci/left-out.sh"),
]


class Watch:
    """What went wrong in a browser, and whom it asked."""

    def __init__(self, context: BrowserContext) -> None:
        self.troubles: list[str] = []
        self.hosts: set[str] = set()
        context.on("console", lambda said: self.troubles.append(said.text) if said.type in {"error", "warning"} else None)
        context.on("weberror", lambda error: self.troubles.append(str(error.error)))
        context.on("requestfailed", lambda request: self.troubles.append(f"{request.url}: {request.failure}"))
        context.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))


@pytest.fixture
def context(portal: LivePortal) -> Iterator[BrowserContext]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        context = chromium.new_context(base_url=portal.url, viewport={"width": 1280, "height": 900})
        context.set_default_timeout(DEADLINE_S * 1000)
        yield context
        chromium.close()


@pytest.fixture
def watch(portal: LivePortal, context: BrowserContext) -> Iterator[Watch]:
    """Fail the test for anything in the console, and for any other host."""
    watch = Watch(context)
    yield watch
    assert watch.troubles == []
    assert {host for host in watch.hosts if host} <= {urlsplit(portal.url).netloc}


@pytest.fixture
def page(portal: LivePortal, context: BrowserContext, watch: Watch) -> Page:
    """Return a page of the signed-in user."""
    key = portal.session().cookies["sessionid"] or ""
    context.add_cookies([{"name": "sessionid", "value": key, "url": portal.url}])
    return context.new_page()


def policy(headers: dict[str, str]) -> dict[str, set[str]]:
    return {words[0]: set(words[1:]) for part in headers["content-security-policy"].split(";") if (words := part.split())}


def try_out(page: Page, operation: str, tag: str, **fill: str) -> Any:
    """Open an operation, fill its parameters in and press Execute; return the answer's status and body."""
    block = page.locator(f"#operations-{tag}-{operation}")
    block.locator(".opblock-summary-control").click()
    block.locator(".try-out__btn").click()
    for name, value in fill.items():
        field = (
            block.locator("textarea.body-param__text") if name == "body" else block.locator(f"tr[data-param-name={name}] input")
        )
        field.fill(value)
    block.locator("button.execute").click()
    status = block.locator(".live-responses-table .response .response-col_status").first
    expect(status).to_have_text("200")
    return json.loads(block.locator(".live-responses-table .highlight-code code").first.inner_text())


def test_the_description_is_read_and_tried_with_a_token(portal: LivePortal, context: BrowserContext, watch: Watch) -> None:
    page = context.new_page()
    answer = page.goto("/api/v1/docs")
    assert answer is not None
    rules = policy(answer.headers)
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == {"'self'"}
    assert rules["img-src"] == {"'self'", "data:"}
    page.locator("button.authorize").click()
    page.locator(".modal-ux input#auth-bearer-value").fill(portal.secret)
    page.locator(".auth-container", has=page.locator("#auth-bearer-value")).locator("button.authorize").click()
    page.locator(".modal-ux button.btn-done").first.click()
    listed = try_out(page, "devices_list", "devices")
    assert portal.device.hex in {device["id"] for device in listed["results"]}
    done = try_out(page, "gpio_set", "commands", device_id=portal.device.hex, number="7", body='{"value": 1}')
    assert (done["api"], done["value"]) == ("set_gpio", 1)


def test_the_description_is_tried_by_a_signed_in_browser_without_a_token(portal: LivePortal, page: Page) -> None:
    page.goto("/api/v1/docs")
    done = try_out(page, "gpio_set", "commands", device_id=portal.device.hex, number="8", body='{"value": 1}')
    assert done["value"] == 1
    expect(page.get_by_role("link", name=portal.user.username)).to_be_visible()


def test_the_browsable_pages_have_our_name_and_the_way_back(portal: LivePortal, page: Page) -> None:
    answer = page.goto("/api/v1/devices")
    assert answer is not None
    rules = policy(answer.headers)
    assert all(rules[kind] == {"'self'"} for kind in ("script-src", "style-src", "img-src", "connect-src"))
    expect(page).to_have_title("Devices · API · IoT Portal")
    page.get_by_role("link", name="IoT Portal").click()
    page.wait_for_url("**/devices/")


def test_forms_of_the_browsable_pages_register_set_and_delete(portal: LivePortal, page: Page) -> None:
    page.goto("/api/v1/devices")
    page.locator("textarea").fill('{"name": "From the page"}')
    page.get_by_role("button", name="POST").click()
    said = page.locator(".response-info")
    expect(said).to_contain_text("HTTP 201")
    made = json.loads(said.inner_text().partition("\n\n")[2])
    page.goto(f"{portal.device_path}/gpio/9")
    page.locator("textarea").fill('{"value": 1}')
    page.get_by_role("button", name="PUT").click()
    expect(said).to_contain_text("set_gpio")
    page.goto(f"/api/v1/devices/{made['id']}")
    page.get_by_role("button", name="DELETE").click()
    page.locator("#deleteModal button.btn-danger").click()
    expect(said).to_contain_text("HTTP 204")


def test_a_mistake_in_a_form_is_told_on_its_page(portal: LivePortal, page: Page, watch: Watch) -> None:
    page.goto("/api/v1/devices")
    page.locator("textarea").fill('{"name": "')
    page.get_by_role("button", name="POST").click()
    expect(page.locator(".response-info")).to_contain_text("The body is not valid JSON.")
    watch.troubles = [text for text in watch.troubles if "status of 400" not in text]


@pytest.mark.parametrize("path", ["", "/account", "/profiles", "/profiles/ft900", "/messages", "/messages?page_size=2"])
def test_every_list_opens(portal: LivePortal, page: Page, path: str) -> None:
    page.goto(f"/api/v1{path}")
    expect(page.locator(".response-info")).to_contain_text("HTTP 200 OK")


def test_the_pages_of_a_list_are_turned_back_and_forth(portal: LivePortal, page: Page) -> None:
    page.goto("/api/v1/devices?page_size=1")
    expect(page.locator(".response-info")).to_contain_text(portal.device.hex)
    page.locator(".pager .next a").click()
    expect(page.locator(".response-info")).to_contain_text(portal.modern.hex)
    page.locator(".pager .previous a").click()
    expect(page.locator(".response-info")).to_contain_text(portal.device.hex)


def test_a_stranger_to_the_api_is_shown_the_way_to_sign_in(portal: LivePortal, context: BrowserContext, watch: Watch) -> None:
    page = context.new_page()
    page.goto("/api/v1/account")
    page.get_by_role("link", name="Sign in").click()
    page.wait_for_url("**/accounts/login/?next=/api/v1/account")
    watch.troubles = [text for text in watch.troubles if "status of 401" not in text]
