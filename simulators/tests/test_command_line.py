"""What the command line takes and refuses, and what the terminal shows."""

import io
from pathlib import Path

import pytest

from simulators import amqp
from simulators.console import Console, printable
from simulators.mqtt import EXIT_SETTINGS, main
from simulators.tests.pki import Authority, write


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "name a device"),
        (["--zip", "/nonexistent.zip"], "does not exist"),
        (["--id", "a" * 32], "also needs --ca"),
        (["--id", "a" * 32, "--gpio", "2=up"], "NUMBER=in"),
        (["--id", "a" * 32, "--password-file", "/nonexistent"], "cannot be read"),
        (["--id", "a" * 32, "--password-file", "/dev/null"], "is empty"),
        (["--fleet", "/nonexistent"], "not a folder"),
        (["--profile", "x"], "no profile is named x: there are ft900"),
        (["--profile", "/nonexistent.json"], "cannot be read"),
    ],
)
def test_it_says_what_is_missing(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == EXIT_SETTINGS
    assert complaint in capsys.readouterr().err


def test_over_amqp_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert amqp.main(["--profile", "x"]) == EXIT_SETTINGS
    assert "no profile is named x" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--loss", "2"], ["--loss", "nan"], ["--delay-ms", "-1"], ["--port", "0"]])
def test_it_refuses_values_out_of_range(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert arguments[0] in capsys.readouterr().err


def test_a_key_that_is_not_the_certificates_is_found_before_connecting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = Authority()
    one, other = authority.device("a" * 32), authority.device("a" * 32)
    files = [
        *("--ca", str(write(tmp_path, "ca.pem", authority.root))),
        *("--cert", str(write(tmp_path, "device.crt", one.certificate))),
        *("--key", str(write(tmp_path, "device.key", other.key))),
    ]
    assert main(["--id", "a" * 32, *files]) == EXIT_SETTINGS
    assert "do not belong together" in capsys.readouterr().err


def test_what_a_device_was_sent_cannot_steer_the_terminal() -> None:
    assert printable(b"\x1b[2Jboo\r\n\xff") == "\\x1b[2Jboo\\x0d\\x0a\ufffd"
    assert printable(b"x" * 301) == "x" * 300 + "..."


def test_a_quiet_console_shows_troubles_only() -> None:
    out, err = io.StringIO(), io.StringIO()
    console = Console(quiet=True, out=out, err=err)
    console.came("pump", "get_status", b"{}")
    console.note("hello")
    console.trouble("pump", "the broker refused this device")
    assert out.getvalue() == ""
    assert err.getvalue().endswith("pump: the broker refused this device\n")
