"""What docs/security.md points at is there: a proof that was moved or renamed is none."""

from __future__ import annotations

import re

from django.conf import settings

NOTES = (settings.BASE_DIR / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`([\w./-]+\.(?:py|json)|[a-z_]+(?:/[a-z_]+)+)`", NOTES)))
VARIABLES = sorted(set(re.findall(r"`(PORTAL_[A-Z_]+)`", NOTES)))


def test_every_file_that_the_security_notes_name_is_there() -> None:
    folders = (settings.BASE_DIR, settings.BASE_DIR / "accounts" / "tests")

    assert len(NAMED) > 50
    assert [name for name in NAMED if not any((folder / name).exists() for folder in folders)] == []


def test_every_variable_that_they_name_is_explained() -> None:
    explained = (settings.BASE_DIR / "docs" / "configuration.md").read_text()

    assert [name for name in VARIABLES if name not in explained] == []


def test_every_row_says_how_it_stands_and_why() -> None:
    rows = re.findall(r"^\| ([\w.,–() ]+) \| (\S+) \| (.*) \|$", NOTES, re.MULTILINE)

    assert len(rows) > 150
    assert {standing for _, standing, _ in rows} <= {"met", "part", "no", "–"}
    assert all(len(why) > 3 for _, _, why in rows)
