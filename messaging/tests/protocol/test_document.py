"""What docs/protocol.md tells device makers is what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from devices.profiles import all_profiles, get_profile
from messaging.protocol.codec import MAX_DEPTH, MAX_PAYLOAD_BYTES, agreement, decode_answer, prepare_command

TEXT = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text("utf-8")
ROWS = re.findall(r"^\| `(\w+)` \| `(\{.*?\})` \| `(\{.*?\})` \|", TEXT, re.MULTILINE)


@pytest.mark.parametrize(("name", "command", "said"), ROWS)
def test_each_command_and_answer_of_the_document_is_real(name: str, command: str, said: str) -> None:
    arguments = json.loads(command)
    command_id = arguments.pop("id", None)
    for profile in (profile for profile in all_profiles() if name not in profile.lacks):
        api = profile.api(name)
        answer = decode_answer(profile, api, said.encode())
        if profile.echo_id == (command_id is not None):
            prepared = prepare_command(profile, api, arguments, command_id)
            assert prepared.payload == command.encode()
            assert not answer.malformed
            assert answer.id == command_id
            assert agreement(api, prepared.arguments, answer) == "yes"


def test_the_document_names_every_documented_api_and_profile() -> None:
    assert {row[0] for row in ROWS} == set(get_profile("standard").apis)
    for profile in all_profiles():
        assert f"| `{profile.slug}` |" in TEXT


def test_the_limits_of_the_document_are_those_of_the_code() -> None:
    ft900 = get_profile("ft900")
    assert f"| command, bytes | {MAX_PAYLOAD_BYTES:,} | {ft900.payload_limit_bytes} |" in TEXT
    assert f"| as the command | {ft900.api('trigger_notification').fields[0].max_bytes} each |" in TEXT
    assert f"| levels of nesting | {MAX_DEPTH} |" in TEXT
    assert f"waits {ft900.settle_s * 1000:.0f} ms after each answer" in TEXT
