"""Whatever comes in, the device neither raises nor says what it must not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.device import Device, Setup
from simulators.profiles import PROFILES

APIS = [
    *("get_status", "get_gpio", "set_gpio", "get_rtc", "set_rtc", "get_mac", "set_mac", "get_ip", "get_subnet"),
    *("get_gateway", "write_uart", "trigger_notification", "set_status", "presence", "x"),
]
PROFILE = pytest.mark.parametrize("slug", PROFILES)
api_names = st.one_of(st.sampled_from(APIS), st.text(max_size=80))
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())
json_values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
commands = st.dictionaries(st.sampled_from(["number", "value", "recipient", "message", "id", "extra"]), json_values)


def check(slug: str, api: str, payload: bytes) -> None:
    profile = PROFILES[slug]
    for message in Device("d" * 32, profile=profile, setup=Setup(recipient="a@b.example")).handle(api, payload):
        if profile.answer_limit_bytes is None:
            assert isinstance(json.loads(message.payload), dict)
        else:
            assert len(message.payload) <= profile.answer_limit_bytes


@PROFILE
@given(api=api_names, payload=st.binary())
def test_no_bytes_break_it(slug: str, api: str, payload: bytes) -> None:
    check(slug, api, payload)


@PROFILE
@given(api=api_names, command=commands)
def test_no_json_breaks_it(slug: str, api: str, command: dict[str, object]) -> None:
    check(slug, api, json.dumps(command).encode())
    check(slug, api, json.dumps(command, ensure_ascii=False).encode("utf-8", "surrogatepass"))


@PROFILE
@pytest.mark.parametrize("payload", [b"[" * 100_000, b'{"number": ' + b"9" * 10_000 + b"}", b'{"value": "' + b"\\" * 9_999])
def test_neither_depth_nor_length_breaks_it(slug: str, payload: bytes) -> None:
    for api in APIS:
        check(slug, api, payload)
