"""How long after a device has published is its message a row of a page that somebody has open.

    .venv/bin/python -m bench.live_page [--messages 200] [--pause 50] [--pages 1]

Everything runs on this machine: PostgreSQL, Valkey, the embedded broker, the worker with the bridge, one web process, and
Chromium with the history open. A device publishes a numbered message and the page notes when it is a row, on the same clock;
then the next. Needs Chromium (Debian: apt install chromium).
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import sys
import time
from functools import partial

from playwright.sync_api import Browser, Page, expect, sync_playwright

from bench.fleet import FleetPortal
from bench.portal import Talker, wait_until

LIMIT_MS = 10.0
# Notes when a number is first seen among the rows, in milliseconds since 1970.
WATCH = r"""
window.seen = {};
new MutationObserver((changes) => {
  const now = performance.timeOrigin + performance.now();
  for (const change of changes) for (const node of change.addedNodes) {
    const found = /number (\d+)/.exec(node.textContent);
    if (found && !(found[1] in window.seen)) window.seen[found[1]] = now;
  }
}).observe(document.querySelector("main"), { subtree: true, childList: true });
"""


def open_history(browser: Browser, cookie: str, port: int, device: str) -> Page:
    """Open the history of a device in a browser of its own; return once the page is live."""
    context = browser.new_context()
    name, _, value = cookie.partition("=")
    context.add_cookies([{"name": name, "value": value, "url": f"http://127.0.0.1:{port}"}])
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{port}/history/?device={device}")
    expect(page.locator("#link [data-text]")).to_have_text("Live")
    page.evaluate(WATCH)
    return page


def measure(pages: list[Page], talker: Talker, messages: int, pause_ms: float) -> list[float]:
    """Publish one message after the other; return the milliseconds until each was a row of each page."""
    said: dict[int, float] = {}
    for number in range(messages):
        said[number] = time.time() * 1000
        talker.say("write_uart", b'{"value": "number %d"}' % number)
        time.sleep(pause_ms / 1000 * random.uniform(0.5, 1.5))  # never in step with a browser's frames or a batch of the bridge
    took: list[float] = []
    for page in pages:
        wait_until(partial(_has_all, page, messages), "all rows")
        seen: dict[str, float] = page.evaluate("window.seen")
        took += [at - said[int(number)] for number, at in seen.items()]
    return took


def _has_all(page: Page, messages: int) -> bool:
    return len(page.evaluate("window.seen")) >= messages


def main() -> int:
    """Run the bench; exit status 1 where the median is above LIMIT_MS."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=200)
    parser.add_argument("--pause", type=float, default=50, metavar="MS", help="between two messages")
    parser.add_argument("--pages", type=int, default=1, help="open at once, each in a browser session of its own")
    options = parser.parse_args()
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        print("Chromium must be installed (Debian: apt install chromium).", file=sys.stderr)
        return 2
    with FleetPortal() as portal:
        (device,) = portal.register(1, account=portal.account)
        portal.start_worker()
        port, talker = portal.start_web(), portal.device(device)
        cookies = [portal.cookie() for _ in range(options.pages)]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
            pages = [open_history(browser, cookie, port, device) for cookie in cookies]
            measure(pages, talker, 20, options.pause)
            for page in pages:
                page.evaluate("window.seen = {}")
            took = sorted(measure(pages, talker, options.messages, options.pause))
            browser.close()
        talker.finish()
    median = statistics.median(took)
    print(
        f"{options.messages} messages, {options.pages} open pages: publish to row median {median:.1f} ms,"
        f" p95 {took[int(len(took) * 0.95)]:.1f} ms, slowest {took[-1]:.1f} ms"
    )
    return 0 if median <= LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main())
