"""Browsers at a desk: contexts of signed-in people, and an eye on everything that must not happen in any of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request, Response, expect

from tests.browser.seed import PASSWORD
from tests.browser.stack import DEADLINE_S, Board, Portal

DESK, PHONE = (1440, 900), (360, 740)

# Notes when something first becomes true of the page, on the clock that all pages of this machine share (ms since 1970).
STAMPS = """
window.stamps = {};
window.stampWhen = (name, selector, number = 1) => {
  delete window.stamps[name];
  const look = () => {
    if (window.stamps[name] || document.querySelectorAll(selector).length < number) return;
    window.stamps[name] = performance.timeOrigin + performance.now();
    observer.disconnect();
  };
  const observer = new MutationObserver(look);
  observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
  look();
};
"""


_GIVEN_UP = ("htmx:sendAbort", "htmx:afterRequest")  # htmx calls both errors where a page is left behind, as `_on_failed` knows


class Desk:
    """Makes pages and keeps a list of what went wrong in them."""

    def __init__(self, browser: Browser, portal: Portal, sessions: dict[str, Any]) -> None:
        self._browser = browser
        self._portal = portal
        self._sessions = sessions  # of people who have signed in already
        self._contexts: list[BrowserContext] = []
        self._troubles: list[str] = []
        self._expected: list[re.Pattern[str]] = []

    def context(
        self,
        person: str | None = "alice",
        *,
        script: bool = True,
        size: tuple[int, int] = DESK,
        own_session: bool = False,
        **options: Any,
    ) -> BrowserContext:
        """Open a browser of its own, signed in as a person unless that is None."""
        if person and not own_session and person not in self._sessions:
            self.context(person, own_session=True)
        context = self._browser.new_context(
            base_url=self._portal.url,
            viewport={"width": size[0], "height": size[1]},
            java_script_enabled=script,
            storage_state=self._sessions[person] if person and not own_session else None,
            **options,
        )
        self._contexts.append(context)
        context.set_default_timeout(DEADLINE_S * 1000)
        context.add_init_script(STAMPS)
        context.on("console", self._on_console)
        context.on("weberror", lambda error: self._troubles.append(f"script: {error.error}"))
        context.on("response", self._on_response)
        context.on("requestfailed", self._on_failed)
        if person and own_session:
            page = context.new_page()
            sign_in(page, person, PASSWORD)
            page.close()
            self._sessions.setdefault(person, context.storage_state())
        return context

    def page(self, person: str | None = "alice", path: str = "", **options: Any) -> Page:
        """Open a page in a browser of its own."""
        page = self.context(person, **options).new_page()
        if path:
            page.goto(path)
        return page

    def control(self, board: Board, person: str = "alice", **options: Any) -> Page:
        """Open a device's Control page, ready for commands."""
        page = self.page(person, f"/devices/{board.hex}/control/", **options)
        if options.get("script", True):
            is_live(page)
        return page

    def expect(self, *patterns: str) -> None:
        """Allow what is part of the story, such as the browser's own word on a refused form."""
        self._expected += map(re.compile, patterns)

    def troubles(self) -> list[str]:
        """Return what went wrong and was not expected."""
        return [text for text in self._troubles if not any(one.search(text) for one in self._expected)]

    def close(self) -> None:
        """Close all browsers."""
        for context in self._contexts:
            context.close()

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert") and not message.text.startswith(_GIVEN_UP):
            self._troubles.append(f"console {message.type}: {message.text} ({message.location.get('url')})")

    def _on_response(self, response: Response) -> None:
        if response.status >= 500:
            self._troubles.append(f"server: {response.status} {response.request.method} {response.url}")

    def _on_failed(self, request: Request) -> None:
        # A page that is left behind gives up what it was asking for; a download ends the navigation that began it.
        if request.failure not in ("net::ERR_ABORTED", None):
            self._troubles.append(f"network: {request.failure} {request.method} {request.url}")


def sign_in(page: Page, login: str, password: str) -> None:
    """Go through the door."""
    page.goto("/accounts/login/")
    page.get_by_label("User name or e-mail").fill(login)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Devices", exact=True)).to_be_visible()


def is_live(page: Page) -> None:
    """Wait until the page's WebSocket is there."""
    expect(page.locator("#link [data-text]")).to_have_text("Live")


def pin(page: Page, number: int) -> Locator:
    """Return a pin's row."""
    return page.locator(f"#pin-{number}")


def knob(page: Page, number: int) -> Locator:
    """Return a pin's switch."""
    return pin(page, number).get_by_role("switch")


def ask_pin(page: Page, number: int, button: str = "Get") -> Locator:
    """Ask for a pin by its number (Get, Set low, Set high) and return its row once the device has confirmed."""
    page.get_by_label("GPIO number").fill(str(number))
    page.locator("#gpio form.bot .join").get_by_role("button", name=button, exact=True).click()
    row = pin(page, number)
    expect(row.locator("[data-level]")).to_have_text(re.compile("LOW|HIGH"))
    return row


@contextmanager
def no_reload(page: Page) -> Iterator[None]:
    """Fail if the page that is seen at the end is not the one from the beginning."""
    page.evaluate("window.same = true")
    yield
    assert page.evaluate("window.same"), "the page was loaded again"


def stamp(page: Page, name: str, selector: str, number: int = 1) -> None:
    """Note the time when `number` elements match."""
    page.evaluate("([name, selector, number]) => stampWhen(name, selector, number)", [name, selector, number])


def stamped(page: Page, name: str) -> float | None:
    """Return the noted time in ms, None until then."""
    found: float | None = page.evaluate("(name) => window.stamps[name] ?? null", name)
    return found
