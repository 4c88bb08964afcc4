"""Recipients and messages as devices spell them, and as somebody who means harm would."""

from __future__ import annotations

import pytest

from notifications.addresses import BadRecipient, clean_message, one_line, read
from notifications.models import MESSAGE_CHARACTERS


@pytest.mark.parametrize(
    ("text", "channel", "address"),
    [
        ("Ops@Example.com ", "email", "ops@example.com"),
        ("ops@bücher.example", "email", "ops@xn--bcher-kva.example"),
        ("+46 70 123 45 67", "sms", "+46701234567"),
        ("0123456789abcdef0123456789ABCDEF", "device", "0123456789abcdef0123456789abcdef"),
    ],
)
def test_a_recipient_is_read_by_its_form(text: str, channel: str, address: str) -> None:
    found = read(text)
    assert (found.channel, found.address) == (channel, address)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "nobody", "a@b@c@", "@example.com", "+999", "+1", "0123", "x" * 5000 + "@example.com",
        "ops@example.com\r\nBcc: all@example.com", "ops@example.com\n", "a@example.com,b@example.com",
        "a@example.com;b@example.com",
        "ops@example.com\0", "\u202eops@example.com", "o\u200bps@example.com", "Ops <ops@example.com>", "ops@[127.0.0.1]\u2028",
        "a@" + "ü." * 100 + "example",  # 710 characters as it is sent
        '"ops"@example.com', "=?utf-8?q?ops?=@example.com", "op\u017f@example.com",
    ],
)  # fmt: skip
def test_what_names_nobody_or_more_than_one_is_no_recipient(text: str) -> None:
    with pytest.raises(BadRecipient):
        read(text)


def test_a_message_keeps_what_people_write_and_loses_what_deceives() -> None:
    assert clean_message("Temperature 30 °C 🌡️ مرحبا 👩‍🔧") == "Temperature 30 °C 🌡️ مرحبا 👩‍🔧"
    assert clean_message("in\u202evoice\u2066\x00\x1b[31m\r\nnext") == "invoice[31m\nnext"
    assert len(clean_message("x" * 1_000_000)) == MESSAGE_CHARACTERS
    assert clean_message("x" * 1_000_000).endswith("[…]")


def test_a_subject_is_one_bounded_line() -> None:
    assert one_line("Hot\r\nBcc: all@example.com") == "Hot Bcc: all@example.com"
    assert len(one_line("y" * 500)) == 78
