"""What a User-Agent header says, in the words of a list: "Firefox on Linux". For showing alone: anybody can send anything."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The first that is found counts: most browsers claim to be several others too.
_BROWSERS = (
    ("Edge", r"\bEdg(?:e|A|iOS)?/"),
    ("Opera", r"\bOPR/|\bOpera\b"),
    ("Samsung Internet", r"\bSamsungBrowser/"),
    ("Vivaldi", r"\bVivaldi/"),
    ("DuckDuckGo", r"\bDdg/|\bDuckDuckGo/"),
    ("Firefox", r"\bFirefox/|\bFxiOS/"),
    ("Chrome", r"\b(?:Headless)?Chrom(?:e|ium)/|\bCriOS/"),
    ("Safari", r"\bVersion/[\d.]+ .*\bSafari/"),
)
_SYSTEMS = (
    ("iPad", r"\biPad\b"),
    ("iPhone", r"\biPhone\b"),
    ("Android", r"\bAndroid\b"),
    ("ChromeOS", r"\bCrOS\b"),
    ("Windows", r"\bWindows\b"),
    ("macOS", r"\bMacintosh\b|\bMac OS X\b"),
    ("Linux", r"\bLinux\b|\bX11\b"),
)
_PHONES = frozenset({"iPad", "iPhone", "Android"})
_PROGRAM = re.compile(r"([A-Za-z][A-Za-z0-9._ -]{0,30})(?:/([0-9][\w.]{0,15}))?")


@dataclass(frozen=True, slots=True)
class Agent:
    """What asked, and the icon that stands for it."""

    words: str
    icon: str


def describe(header: str) -> Agent:
    """Return what a User-Agent header says of browser and system, or of the program that sent it."""
    browser, system = _first(_BROWSERS, header), _first(_SYSTEMS, header)
    if browser:
        icon = "device-mobile" if system in _PHONES else "device-laptop"
        return Agent(f"{browser} on {system}" if system else browser, icon)
    if header.startswith("Mozilla/"):
        return Agent(f"A browser on {system}" if system else "A browser", "world")
    program = _PROGRAM.match(header.strip())
    return Agent(" ".join(filter(None, program.groups())).strip() if program else "Unknown program", "terminal-2")


def _first(patterns: tuple[tuple[str, str], ...], header: str) -> str:
    return next((name for name, pattern in patterns if re.search(pattern, header)), "")
