from __future__ import annotations

import pytest

from accounts.user_agents import describe

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("header", "words", "icon"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox on Linux", "device-laptop"),
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/126.0.0.0 Safari/537.36",
            "Chrome on Windows",
            "device-laptop",
        ),
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0",
            "Edge on Windows",
            "device-laptop",
        ),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {WEBKIT} Chrome/126.0 Safari/537.36", "Chrome on ChromeOS", "device-laptop"),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17.5 Safari/605.1.15",
            "Safari on macOS",
            "device-laptop",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 "
            "Mobile/15E148 Safari/604.1",
            "Safari on iPhone",
            "device-mobile",
        ),
        (
            "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126.0 Mobile/15E148 "
            "Safari/604.1",
            "Chrome on iPad",
            "device-mobile",
        ),
        (
            f"Mozilla/5.0 (Linux; Android 14; SM-S911B) {WEBKIT} SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36",
            "Samsung Internet on Android",
            "device-mobile",
        ),
        ("Mozilla/5.0", "A browser", "world"),
        ("curl/8.5.0", "curl 8.5.0", "terminal-2"),
        ("python-requests/2.32.3", "python-requests 2.32.3", "terminal-2"),
        ("Garden Watcher", "Garden Watcher", "terminal-2"),
        ("", "Unknown program", "terminal-2"),
        ("<script>alert(1)</script>", "Unknown program", "terminal-2"),
        ("\u202ecurl", "Unknown program", "terminal-2"),
    ],
)
def test_it_is_said_in_words(header: str, words: str, icon: str) -> None:
    agent = describe(header)
    assert (agent.words, agent.icon) == (words, icon)


def test_what_is_long_stays_short() -> None:
    assert len(describe("x" * 10_000 + "/" + "9" * 10_000).words) < 60
