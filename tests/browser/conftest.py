"""The browser tests share one portal and one Chromium; both are gone before the next package's tests begin.

Not for the session: Playwright keeps an event loop running in this thread, which asynchronous tests would trip over.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.desk import Desk
from tests.browser.stack import DEADLINE_S, Board, Portal

_CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_LEFT_OUT = "LEFT OUT: no Chromium here to drive (Debian: apt install chromium); see .ci/left-out.sh"
_QUIET = ("no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking")
_ALONE = ("disable-component-update", "disable-sync", "disable-dev-shm-usage")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder; with pytest-xdist one worker has them all, and begins with them as the longest group."""
    for item in items:
        if item.path.is_relative_to(__file__.rpartition("/")[0]):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))
            if _CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason=_LEFT_OUT))


@pytest.fixture(scope="package")
def portal(django_db_setup: None) -> Iterator[Portal]:
    """Return the whole running portal."""
    portal = Portal()
    yield portal
    portal.stop()


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Return the real browser."""
    expect.set_options(timeout=DEADLINE_S * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=[f"--{name}" for name in (*_QUIET, *_ALONE)])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def sessions() -> dict[str, Any]:
    """Return the cookies of people who have signed in."""
    return {}


@pytest.fixture
def desk(chromium: Browser, portal: Portal, sessions: dict[str, Any], make_board: Callable[..., Board]) -> Iterator[Desk]:
    """Return a maker of pages; the test fails if any of them had an error, a broken policy or a failed request.

    It closes before `make_board` takes the devices away: a page that is told that its device went asks for itself again, and
    would get 404 for a device that is deleted meanwhile.
    """
    desk = Desk(chromium, portal, sessions)
    yield desk
    desk.close()
    assert desk.troubles() == []


@pytest.fixture
def make_board(portal: Portal) -> Iterator[Callable[..., Board]]:
    """Return a maker of devices; they and their simulators are gone with the end of the test."""
    boards: list[Board] = []

    def make(name: str = "", profile: str = "standard") -> Board:
        boards.append(portal.register(name, profile))
        return boards[-1]

    yield make
    for board in boards:
        board.close()
        portal.api("DELETE", f"/devices/{board.hex}")  # some have been deleted by their test


@pytest.fixture
def board(make_board: Callable[..., Board]) -> Board:
    """Return a device that is connected."""
    return make_board().start()


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str], record_property: Callable[[str, object], None]) -> Callable[[str, str], None]:
    """Return what prints a measured figure, although output is captured, and puts it into the report."""

    def tell(what: str, figure: str) -> None:
        record_property(what, figure)
        with capsys.disabled():
            print(f"\n  {what}: {figure}", flush=True)

    return tell
