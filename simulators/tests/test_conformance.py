"""What an answer must be, by the profile alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from simulators.conformance import Finding, Report, wrong_with
from simulators.profiles import FT900, MODERN, STANDARD

ID = "0123456789abcdef0123456789abcdef"


def rules(profile: Any, api: str, arguments: dict[str, Any], raw: bytes) -> list[str]:
    return [rule for rule, _ in wrong_with(profile, profile.apis[api], arguments, raw, ID)]


@pytest.mark.parametrize(
    ("raw", "wrong"),
    [
        (b'{"number": 3, "value": 1}', []),
        (b'{"number": "3", "value": 1}', []),
        (b'{"value": 1, "number": 3, "more": {}}', []),
        (b'{"number": 4, "value": 1}', ["repeats number"]),
        (b'{"number": 3}', ["value as declared"]),
        (b'{"number": 3, "value": true}', ["value as declared"]),
        (b'{"number": 3, "value": "1"}', ["value as declared"]),
        (b"[3, 1]", ["is a JSON object"]),
        (b'{"number": 3, "value": 1', ["is JSON"]),
        (b'\xff{"number": 3, "value": 1}', ["is JSON"]),
    ],
)
def test_an_answer_is_held_to_what_the_profile_declares(raw: bytes, wrong: list[str]) -> None:
    assert rules(STANDARD, "get_gpio", {"number": 3}, raw) == wrong


def test_the_commands_id_is_repeated_where_the_profile_says_so() -> None:
    answer = {"number": 3, "value": 1}
    assert rules(MODERN, "get_gpio", {"number": 3}, json.dumps({**answer, "id": ID}).encode()) == []
    assert rules(MODERN, "get_gpio", {"number": 3}, json.dumps(answer).encode()) == ["repeats the command's id"]


def test_an_answer_fits_into_the_devices_own_buffer() -> None:
    raw = json.dumps({"value": "x" * 120}).encode()
    assert rules(FT900, "write_uart", {"value": "x" * 120}, raw) == ["fits into 127 bytes"]


def test_unescaped_text_is_taken_where_firmware_is_known_for_it() -> None:
    assert rules(FT900, "write_uart", {"value": 'say "hi"'}, b'{"value": "say "hi""}') == []


def test_a_report_of_which_nothing_was_tried_certifies_nothing() -> None:
    skipped = Finding("set_gpio", "is answered", "skip", "why")
    passed = Finding("get_gpio", "is answered", "pass")
    failed = Finding("get_rtc", "is answered", "fail", "silent")
    assert not Report(ID, "standard", [skipped]).conformant
    assert Report(ID, "standard", [skipped, passed]).conformant
    report = Report(ID, "standard", [passed, failed], [1.0, 3.0])
    assert report.as_json()["conformant"] is False
    assert report.as_text().splitlines()[-3:] == [
        "1 passed, 1 failed, 0 left out.",
        "Answers took 2.0 ms (median), 3.0 ms (slowest).",
        "NOT conformant.",
    ]
