"""Commands, byte for byte: devices in the field find values by string search."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.profiles import Api, Field, Profile, all_profiles, get_profile
from messaging.protocol.codec import (
    MAX_PAYLOAD_BYTES,
    WHOLE_COMMAND,
    InvalidArguments,
    decode_answer,
    encode_command,
    from_texts,
    prepare_command,
    wire_bytes,
)

STANDARD, FT900, MODERN = get_profile("standard"), get_profile("ft900"), get_profile("modern")
ID = "0193a0c4-7b1e-7d9e-8f00-1234567890ab"

GOLDEN: list[tuple[str, dict[str, object], bytes]] = [
    ("get_status", {}, b"{}"),
    ("set_status", {"value": "restart"}, b'{"value": "restart"}'),
    ("get_gpio", {"number": 10}, b'{"number": 10}'),
    ("set_gpio", {"number": 10, "value": 1}, b'{"number": 10, "value": 1}'),
    ("get_rtc", {}, b"{}"),
    ("set_rtc", {"value": 1574000000}, b'{"value": 1574000000}'),
    ("get_mac", {}, b"{}"),
    ("set_mac", {"value": "00:c0:ca:90:61:05"}, b'{"value": "00:c0:ca:90:61:05"}'),
    ("get_ip", {}, b"{}"),
    ("get_subnet", {}, b"{}"),
    ("get_gateway", {}, b"{}"),
    ("write_uart", {"value": "hello world"}, b'{"value": "hello world"}'),
    (
        "trigger_notification",
        {"recipient": "+15550100", "message": "hello"},
        b'{"recipient": "+15550100", "message": "hello"}',
    ),
]
GOLDEN_WITH_ID: list[tuple[str, dict[str, object], bytes]] = [
    ("get_status", {}, b'{"id": "0193a0c4-7b1e-7d9e-8f00-1234567890ab"}'),
    ("set_status", {"value": "restart"}, b'{"id": "0193a0c4-7b1e-7d9e-8f00-1234567890ab", "value": "restart"}'),
    ("get_gpio", {"number": 10}, b'{"number": 10, "id": "0193a0c4-7b1e-7d9e-8f00-1234567890ab"}'),
    ("set_gpio", {"number": 10, "value": 1}, b'{"number": 10, "id": "0193a0c4-7b1e-7d9e-8f00-1234567890ab", "value": 1}'),
    ("get_rtc", {}, b'{"id": "0193a0c4-7b1e-7d9e-8f00-1234567890ab"}'),
    ("set_rtc", {"value": 1574000000}, b'{"id": "0193a0c4-7b1e-7d9e-8f00-1234567890ab", "value": 1574000000}'),
    ("get_mac", {}, b'{"id": "0193a0c4-7b1e-7d9e-8f00-1234567890ab"}'),
    ("set_mac", {"value": "00:c0:ca:90:61:05"}, b'{"id": "0193a0c4-7b1e-7d9e-8f00-1234567890ab", "value": "00:c0:ca:90:61:05"}'),
    ("get_ip", {}, b'{"id": "0193a0c4-7b1e-7d9e-8f00-1234567890ab"}'),
    ("get_subnet", {}, b'{"id": "0193a0c4-7b1e-7d9e-8f00-1234567890ab"}'),
    ("get_gateway", {}, b'{"id": "0193a0c4-7b1e-7d9e-8f00-1234567890ab"}'),
    ("write_uart", {"value": "hello world"}, b'{"id": "0193a0c4-7b1e-7d9e-8f00-1234567890ab", "value": "hello world"}'),
    (
        "trigger_notification",
        {"recipient": "+15550100", "message": "hello"},
        b'{"id": "0193a0c4-7b1e-7d9e-8f00-1234567890ab", "recipient": "+15550100", "message": "hello"}',
    ),
]


@pytest.mark.parametrize("slug", ["standard", "ft900"])
@pytest.mark.parametrize(("api", "arguments", "payload"), GOLDEN, ids=[row[0] for row in GOLDEN])
def test_a_command_is_these_bytes(slug: str, api: str, arguments: dict[str, object], payload: bytes) -> None:
    profile = get_profile(slug)
    assert encode_command(profile, profile.api(api), arguments, ID) == payload
    assert payload == json.dumps(arguments).encode()


@pytest.mark.parametrize(("api", "arguments", "payload"), GOLDEN_WITH_ID, ids=[row[0] for row in GOLDEN_WITH_ID])
def test_a_command_to_a_device_that_repeats_ids_is_these_bytes(api: str, arguments: dict[str, object], payload: bytes) -> None:
    assert encode_command(MODERN, MODERN.api(api), arguments, ID) == payload


def test_no_shipped_command_is_without_its_golden_bytes() -> None:
    for profile in all_profiles():
        rows = GOLDEN_WITH_ID if profile.echo_id else GOLDEN
        assert {row[0] for row in rows} - set(profile.lacks) == {api.name for api in profile.apis.values() if api.kind != "event"}


def test_number_comes_first_and_value_last_however_the_caller_wrote_them() -> None:
    assert encode_command(STANDARD, STANDARD.api("set_gpio"), {"value": 1, "number": 10}) == b'{"number": 10, "value": 1}'
    turned = {"message": "m", "recipient": "r"}
    assert encode_command(STANDARD, STANDARD.api("trigger_notification"), turned) == b'{"recipient": "r", "message": "m"}'
    passed = {"value": 1, "unit": "C", "number": 3, "depth": 2}
    assert encode_command(STANDARD, STANDARD.api("set_soil"), passed) == b'{"number": 3, "unit": "C", "depth": 2, "value": 1}'
    with_id = b'{"number": 3, "id": "x", "unit": "C", "depth": 2, "value": 1}'
    assert encode_command(MODERN, MODERN.api("set_soil"), passed, "x") == with_id


@pytest.mark.parametrize("pin", ["10", " 10 ", "010", 10])
def test_a_pin_given_as_text_goes_out_bare(pin: object) -> None:
    prepared = prepare_command(STANDARD, STANDARD.api("set_gpio"), {"number": pin, "value": "1"})
    assert prepared.payload == b'{"number": 10, "value": 1}'
    assert prepared.arguments == {"number": 10, "value": 1}


def test_text_is_escaped_as_json_dumps_does() -> None:
    text = 'say "hi" \\ é 😀 \n\t\x7f'
    assert encode_command(STANDARD, STANDARD.api("write_uart"), {"value": text}) == json.dumps({"value": text}).encode()


def test_an_api_that_nobody_declared_takes_any_json() -> None:
    arguments: dict[str, object] = {"a": [1, 2.5, None, True, {"b": "é"}], "c": {}, "id": "mine"}
    assert encode_command(STANDARD, STANDARD.api("calibrate"), arguments) == json.dumps(arguments).encode()
    assert encode_command(STANDARD, STANDARD.api("calibrate"), {}) == b"{}"


HALF = "This has half a character in it (a lone surrogate), which is not text."
DEEP: Any = []
for _ in range(20):
    DEEP = [DEEP]
ROUND: list[object] = []
ROUND.append(ROUND)

REFUSED: list[tuple[str, str, dict[Any, Any], dict[str, str]]] = [
    ("standard", "get_gpio", {}, {"number": "GPIO number is missing."}),
    ("standard", "get_gpio", {"number": None}, {"number": "GPIO number is missing."}),
    ("standard", "get_gpio", {"number": 256}, {"number": "256 is too large; this takes 0 to 255."}),
    ("standard", "get_gpio", {"number": "-1"}, {"number": "-1 is too small; this takes 0 to 255."}),
    ("standard", "get_gpio", {"number": "ten"}, {"number": '"ten" is not a whole number.'}),
    ("standard", "get_gpio", {"number": ""}, {"number": '"" is not a whole number.'}),
    ("standard", "get_gpio", {"number": "１０"}, {"number": '"１０" is not a whole number.'}),
    ("standard", "get_gpio", {"number": 1.5}, {"number": "1.5 is not a whole number."}),
    ("standard", "get_gpio", {"number": True}, {"number": "true is not a whole number."}),
    ("standard", "get_gpio", {"number": [1]}, {"number": "This is not a whole number."}),
    ("standard", "get_gpio", {"number": 10**5000}, {"number": "This number is too large; this takes 0 to 255."}),
    ("standard", "get_gpio", {"number": "9" * 5000}, {"number": f'"{"9" * 39}…" is not a whole number.'}),
    ("standard", "get_gpio", {"number": 1, "pin": 2}, {"pin": "get_gpio has no such field. It takes number."}),
    ("standard", "get_rtc", {"x": 1}, {"x": "get_rtc has no such field. It takes nothing."}),
    (
        "standard",
        "set_gpio",
        {"value": 2, "colour": 1},
        {
            "colour": "set_gpio has no such field. It takes number and value.",
            "number": "GPIO number is missing.",
            "value": "2 is too large; this takes 0 to 1.",
        },
    ),
    ("standard", "set_rtc", {"value": 2**32}, {"value": "4,294,967,296 is too large; this takes 0 to 4,294,967,295."}),
    ("standard", "set_status", {}, {"value": "Status is missing."}),
    ("standard", "set_status", {"value": "stop"}, {"value": '"stop" is not possible here; this takes "restart".'}),
    ("standard", "set_mac", {"value": "00:c0"}, {"value": '"00:c0" is not a MAC address such as 00:c0:ca:90:61:05.'}),
    ("standard", "write_uart", {"value": 5}, {"value": "5 is not text. Put it in quotes."}),
    ("standard", "write_uart", {"value": "a\0b"}, {"value": "A zero character cannot be sent: it ends a text in the device."}),
    (
        "standard",
        "write_uart",
        {"value": "\ud800"},
        {"value": "This has half a character in it (a lone surrogate), which is not text."},
    ),
    (
        "standard",
        "write_uart",
        {"value": "x" * 16384},
        {"value": "The whole command is 16,397 bytes; the portal takes 16,384. Shorten it by 13."},
    ),
    (
        "standard",
        "write_uart",
        {"value": "x" * 16385},
        {"value": "16,385 characters; a command has at most 16,384 bytes."},
    ),
    ("standard", "trigger_notification", {"recipient": "", "message": "m"}, {"recipient": "Recipient is empty."}),
    (
        "ft900",
        "trigger_notification",
        {"recipient": "r", "message": "m" * 71},
        {"message": "71 bytes; this kind of device takes 64. Shorten it by 7."},
    ),
    (
        "ft900",
        "trigger_notification",
        {"recipient": "r", "message": "é" * 11},
        {
            "message": "66 bytes; this kind of device takes 64. Shorten it by 2. "
            "Each quote, backslash or special letter counts as 2 to 12 bytes."
        },
    ),
    (
        "ft900",
        "trigger_notification",
        {"recipient": "r" * 60, "message": "m" * 64},
        {"message": "The whole command is 156 bytes; this kind of device takes 128. Shorten it by 28."},
    ),
    (
        "ft900",
        "write_uart",
        {"value": "x" * 116},
        {"value": "The whole command is 129 bytes; this kind of device takes 128. Shorten it by 1."},
    ),
    (
        "ft900",
        "calibrate",
        {"points": list(range(99))},
        {WHOLE_COMMAND: "The whole command is 398 bytes; this kind of device takes 128. Shorten it by 270."},
    ),
    ("standard", "calibrate", {"a": float("nan")}, {"a": "NaN and Infinity are not JSON."}),
    ("standard", "calibrate", {"a": [float("-inf")]}, {"a": "NaN and Infinity are not JSON."}),
    ("standard", "calibrate", {"a": {"b": "\udfff"}}, {"a": HALF}),
    ("standard", "calibrate", {"a": {"\udfff": 1}}, {"a": HALF}),
    ("standard", "calibrate", {"\udfff": 1}, {"\ufffd": "This is not a field name."}),
    ("standard", "calibrate", {1: 1}, {"int": "This is not a field name."}),
    ("standard", "calibrate", {"a": {1: 1}}, {"a": "Field names are text."}),
    ("standard", "calibrate", {"a": DEEP}, {"a": "Nested too deeply: at most 16 levels."}),
    ("standard", "calibrate", {"a": ROUND}, {"a": "Nested too deeply: at most 16 levels."}),
    ("standard", "calibrate", {"a": 2**64}, {"a": "A whole number has at most 64 bits."}),
    ("standard", "calibrate", {"a": b"x"}, {"a": "bytes is not JSON."}),
    ("standard", "calibrate", {"a": [0] * 20000}, {"a": "Too large: a command has at most 16,384 bytes."}),
    ("modern", "calibrate", {"id": 1}, {"id": "The portal puts its own id here for this kind of device. Use another name."}),
    ("modern", "presence", {}, {"api": "presence is something the device says by itself; it cannot be sent."}),
]  # fmt: skip


@pytest.mark.parametrize(("slug", "api", "arguments", "errors"), REFUSED)
def test_it_refuses_a_command_and_says_why(slug: str, api: str, arguments: dict[str, Any], errors: dict[str, str]) -> None:
    profile = get_profile(slug)
    with pytest.raises(InvalidArguments) as refused:
        encode_command(profile, profile.api(api), arguments)
    assert refused.value.errors == {name: [text] for name, text in errors.items()}
    assert str(refused.value).encode()  # can be printed, whatever the caller sent


def test_what_just_fits_is_sent() -> None:
    assert len(encode_command(FT900, FT900.api("write_uart"), {"value": "x" * 115})) == 128
    assert len(encode_command(FT900, FT900.api("trigger_notification"), {"recipient": "r" * 32, "message": "m" * 64})) == 128
    assert (
        len(encode_command(STANDARD, STANDARD.api("write_uart"), {"value": "x" * (MAX_PAYLOAD_BYTES - 13)})) == MAX_PAYLOAD_BYTES
    )


@pytest.mark.parametrize(
    ("text", "size"), [("", 0), ("abc", 3), ('"', 2), ("\\", 2), ("\n", 2), ("\x01", 6), ("é", 6), ("😀", 12)]
)
def test_a_text_is_counted_as_it_fills_the_devices_buffer(text: str, size: int) -> None:
    assert wire_bytes(text) == size


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("integer", "7", "7"), ("number", "7.5", 7.5), ("number", "1e999", float("inf")), ("number", "x", "x"),
        ("boolean", "true", True), ("boolean", "0", False), ("boolean", "off", False), ("boolean", "yes", "yes"),
        ("string", "7", "7"), ("object", '{"a": 1}', {"a": 1}), ("array", "[1", "[1"), ("number", "NaN", "NaN"),
        ("array", "[" * 100_000, "[" * 100_000),
    ],
)  # fmt: skip
def test_a_text_of_a_form_gets_the_type_of_its_field_or_stays_to_be_refused(kind: Any, text: str, value: object) -> None:
    assert from_texts(Api("x", "X", "set", fields=(Field("value", kind),)), {"value": text}) == {"value": value}


def test_of_an_api_that_is_not_declared_what_reads_as_json_is_that() -> None:
    assert from_texts(STANDARD.api("get_soil"), {"depth": "3", "unit": "C", "deep": "[1]"}) == {
        "depth": 3,
        "unit": "C",
        "deep": [1],
    }


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200)


@given(value=TEXT, recipient=TEXT.filter(bool))
def test_a_text_that_a_device_repeats_comes_back_as_it_went(value: str, recipient: str) -> None:
    for name, arguments in (
        ("write_uart", {"value": value}),
        ("trigger_notification", {"recipient": recipient, "message": value or "-"}),
    ):
        for profile in (STANDARD, MODERN):
            api = profile.api(name)
            payload = encode_command(profile, api, arguments, "abc")
            answer = decode_answer(profile, api, payload)
            assert (answer.fields, answer.malformed) == (arguments, False)
            assert answer.id == ("abc" if profile.echo_id else None)


@given(number=st.integers(0, 255), value=st.integers(0, 1))
def test_a_pin_that_a_device_repeats_comes_back_as_it_went(number: int, value: int) -> None:
    api = FT900.api("set_gpio")
    payload = encode_command(FT900, api, {"number": str(number), "value": value})
    assert decode_answer(FT900, api, payload).fields == {"number": number, "value": value}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(arguments=st.dictionaries(st.text(max_size=8), JSON, max_size=5), slug=st.sampled_from(["standard", "ft900", "modern"]))
def test_any_arguments_are_sent_within_bounds_or_refused(arguments: dict[str, object], slug: str) -> None:
    profile = get_profile(slug)
    for name in ("calibrate", "set_gpio", "trigger_notification"):
        errors, payload = errors_and_payload(profile, name, arguments)
        assert bool(errors) != bool(payload)
        assert all(texts and all(texts) for texts in errors.values())
        assert len(payload) <= (profile.payload_limit_bytes or MAX_PAYLOAD_BYTES)
        json.loads(payload or b"{}", parse_constant=lambda name: pytest.fail(name))


def errors_and_payload(profile: Profile, name: str, arguments: dict[str, object]) -> tuple[dict[str, list[str]], bytes]:
    try:
        return {}, encode_command(profile, profile.api(name), arguments, "id1")
    except InvalidArguments as refused:
        return refused.errors, b""
