"""Fragments that are rendered once and filled for each row."""

from __future__ import annotations

import pytest
from django.utils.safestring import SafeString

from iotportal.stencil import draw, write

LINE = "messaging/_feed_row.html"
VALUES = {"id": "1", "arrow": SafeString("<b>↓</b>"), "name": "Pump", "time": "", "text": ""}


def test_values_are_escaped_unless_they_are_safe() -> None:
    drawn = draw(LINE, VALUES | {"name": "\"<script>'&", "text": None})
    assert '<li data-id="1"><span class="ways"><b>↓</b></span>' in drawn
    assert "&quot;&lt;script&gt;&#x27;&amp;</span>" in drawn
    assert "None" not in drawn


@pytest.mark.parametrize("hostile", ["%(id)s %s 100% %%", "\x00name\x00", "{{ name }} {% now 'Y' %}"])
def test_a_value_is_never_taken_for_a_hole(hostile: str) -> None:
    drawn = draw(LINE, VALUES | {"name": hostile.replace("'", "")})
    assert hostile.replace("'", "") in drawn


def test_a_hole_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError):
        draw(LINE, {"id": "1"})


def test_an_if_cannot_ask_a_hole() -> None:
    with pytest.raises(TypeError, match="hole"):
        draw("messaging/_pin.html", {})


def test_what_is_the_same_for_a_page_chooses_the_stencil() -> None:
    holes = dict.fromkeys(
        (
            "number",
            "value",
            "state",
            "title",
            "spoken",
            "read",
            "high",
            "level",
            "other",
            "checked",
            "unset",
            "quiet",
            "say",
            "action",
        )
        + ("csrf_token",),
        "x",
    )
    assert "<form" in draw("messaging/_pin.html", holes, control=True, sets=True, gets=True, online=True)
    assert "<form" not in draw("messaging/_pin.html", holes, control=False, sets=True, gets=True, online=True)


def test_a_plain_text_is_filled_as_it_is() -> None:
    names = ("device", "account", "asked_at", "portal_url", "unsubscribe_url")
    values = dict.fromkeys(names, "x") | {"message": "<b>%(account)s</b> & {{ device }}"}
    written = write("emails/notification_message.txt", values, of_device=False)
    assert written.startswith("<b>%(account)s</b> & {{ device }}\n")
    assert "From the device" not in written
    assert "From the device x of x" in write("emails/notification_message.txt", values, of_device=True)
