"""The lines of the device's own UART."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.grammar import (
    DisablePin,
    EnablePin,
    GrammarError,
    Send,
    SetDefaults,
    Statement,
    WritePin,
    parse_line,
)


@pytest.mark.parametrize(
    ("line", "statement"),
    [
        ('iot set message "it is hot" recipient "a@b.example"', SetDefaults("it is hot", "a@b.example")),
        ('iot set recipient "+4912345"', SetDefaults(None, "+4912345")),
        ("iot set message hot", SetDefaults("hot", None)),
        ('iot set message ""', SetDefaults("", None)),
        (r'iot set message "say \"hi\""', SetDefaults('say "hi"', None)),
        ("iot send", Send(None, None)),
        ('  iot   send message "x y"  ', Send("x y", None)),
        ('iot send recipient "r" message "m"', Send("m", "r")),
        ("iot gpio 7 enable dir in pull up edge falling", EnablePin(7, "in", "up", "falling")),
        ("iot gpio 7 enable edge both dir out", EnablePin(7, "out", "none", "both")),
        ("iot gpio 7 enable", EnablePin(7, "in", "none", "none")),
        ("iot gpio 255 write 1", WritePin(255, 1)),
        ("iot gpio 0 write 0", WritePin(0, 0)),
        ("iot gpio 7 disable", DisablePin(7)),
    ],
)
def test_it_understands(line: str, statement: Statement) -> None:
    assert parse_line(line) == statement


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("", "begins with iot"),
        ("ls", "begins with iot"),
        ("iot", "set, send and gpio"),
        ("iot dance", "set, send and gpio"),
        ("iot set", "iot set message"),
        ("iot set message", "message needs a value"),
        ('iot set message "a" message "b"', "given twice"),
        ('iot set colour "red"', "one may say"),
        ('iot send message "open', "not closed"),
        ("iot gpio", "enable"),
        ("iot gpio 256 disable", "0 to 255"),
        ("iot gpio x disable", "0 to 255"),
        ("iot gpio \u0663 disable", "0 to 255"),
        ("iot gpio 7 write 2", "write 0, or 1"),
        ("iot gpio 7 write", "write 0, or 1"),
        ("iot gpio 7 disable now", "enable"),
        ("iot gpio 7 enable edge upwards", "edge is none, rising, falling or both"),
        ("iot gpio 7 enable dir sideways", "dir is in or out"),
        ("iot gpio 7 enable pull hard", "pull is none, up or down"),
    ],
)
def test_it_says_what_it_does_not_understand(line: str, complaint: str) -> None:
    with pytest.raises(GrammarError, match=complaint):
        parse_line(line)


@given(st.text())
def test_no_line_breaks_it(line: str) -> None:
    for text in (line, f"iot set message {line}", f"iot gpio {line}"):
        with suppress(GrammarError):
            assert isinstance(parse_line(text), Statement)
