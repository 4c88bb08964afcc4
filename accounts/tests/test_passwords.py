"""What no password may be."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from pytest_django import Settings

KNOWN = [f"known password {number}" for number in range(500)]


@pytest.fixture
def breached(tmp_path: Path, settings: Settings) -> Path:
    """Have a list of known passwords as such lists come: in order, with a count behind."""
    digests = sorted(hashlib.sha1(one.encode()).hexdigest().upper() for one in KNOWN)
    file = tmp_path / "breached.txt"
    file.write_text("".join(f"{digest}:{len(digest) * number}\r\n" for number, digest in enumerate(digests)))
    settings.BREACHED_PASSWORDS = str(file)
    return file


@pytest.mark.parametrize("password", ["iotportal2026", "MyIoTPortal!", "mqttmqttmqtt", "raspberry pi 4", "portal-portal"])
def test_a_word_of_this_trade_is_no_password(password: str) -> None:
    with pytest.raises(ValidationError, match="too easy to guess"):
        validate_password(password)


@pytest.mark.parametrize("password", ["green pump 42 runs", "the portal opens at dawn", "schrödingers katze schläft"])
def test_a_sentence_may_have_one(password: str) -> None:
    validate_password(password)


@pytest.mark.parametrize("password", [KNOWN[0], KNOWN[250], KNOWN[-1]])
def test_a_password_from_a_break_in_is_refused(breached: Path, password: str) -> None:
    with pytest.raises(ValidationError, match="break-in"):
        validate_password(password)


def test_every_known_one_is_found_and_no_other(breached: Path) -> None:
    def refused(password: str) -> bool:
        try:
            validate_password(password)
        except ValidationError:
            return True
        return False

    assert all(map(refused, KNOWN))
    assert not any(refused(f"some other sentence {number}") for number in range(500))


def test_an_empty_list_and_a_missing_one_refuse_nobody(breached: Path, settings: Settings) -> None:
    breached.write_text("")
    validate_password(KNOWN[0])
    settings.BREACHED_PASSWORDS = "/nowhere/at/all"
    validate_password(KNOWN[0])
