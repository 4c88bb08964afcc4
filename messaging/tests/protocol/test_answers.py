"""Answers: what firmware in the field sends is understood, what nobody should trust is refused, and nothing makes it raise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from devices.profiles import all_profiles, get_profile
from messaging.protocol.codec import Answer, DeviceError, agreement, decode_answer, told_apart

STANDARD, FT900, MODERN = get_profile("standard"), get_profile("ft900"), get_profile("modern")

UNDERSTOOD: list[tuple[str, bytes, dict[str, Any]]] = [
    ("get_status", b'{"value": "running"}', {"value": "running"}),
    ("set_status", b'{"value": "restarting"}', {"value": "restarting"}),
    ("get_gpio", b'{"number": 10, "value": 0}', {"number": 10, "value": 0}),
    ("get_rtc", b'{"value": 1574000000}', {"value": 1574000000}),
    ("get_mac", b'{"value": "00:c0:ca:90:61:05"}', {"value": "00:c0:ca:90:61:05"}),
    ("get_ip", b'{"value": "192.168.100.5"}', {"value": "192.168.100.5"}),
    ("write_uart", b'{"value": "hello world"}', {"value": "hello world"}),
    ("trigger_notification", b'{"recipient": "+1", "message": "m"}', {"recipient": "+1", "message": "m"}),
    # numbers in other clothes
    ("get_gpio", b'{"number": "10", "value": "0"}', {"number": 10, "value": 0}),
    ("get_gpio", b'{"number": " 10 ", "value": 1.0}', {"number": 10, "value": 1}),
    ("get_gpio", b'{"number": 10, "value": true}', {"number": 10, "value": 1}),
    ("get_gpio", b'{"number": -1, "value": "-9223372036854775808"}', {"number": -1, "value": -(2**63)}),
    ("get_ip", b'{"value": 5}', {"value": "5"}),
    # other spacing, order and company
    ("get_gpio", b'{"value":0,"number":10}', {"number": 10, "value": 0}),
    ("get_gpio", b'\n {"number": 10, "value": 0, "unit": [null]}\r\n\0', {"number": 10, "value": 0, "unit": [None]}),
    ("get_gpio", b'\xef\xbb\xbf{"number": 10, "value": 0}', {"number": 10, "value": 0}),
    ("write_uart", b'{"value": "two\nlines\t"}', {"value": "two\nlines\t"}),
    ("write_uart", '{"value": "é\\u00e9\\ud83d\\ude00"}'.encode(), {"value": "éé😀"}),
    # what could neither be stored nor printed
    ("write_uart", b'{"value": "a\\ud800b\\u0000c\0d"}', {"value": "a\ufffdb\ufffdc\ufffdd"}),
    ("get_soil", b'{"a\\u0000": ["\\udc00", {"b": "\\ud800\\ud800"}]}', {"a\ufffd": ["\ufffd", {"b": "\ufffd\ufffd"}]}),
    # an api that nobody declared
    ("get_soil", b"{}", {}),
    ("get_soil", b'{"id": 7, "error": {"code": "x"}, "deep": [[[[1]]]]}', {"id": 7, "error": {"code": "x"}, "deep": [[[[1]]]]}),
]


@pytest.mark.parametrize(("api", "payload", "fields"), UNDERSTOOD)
def test_it_understands(api: str, payload: bytes, fields: dict[str, Any]) -> None:
    answer = decode_answer(STANDARD, STANDARD.api(api), payload)
    assert answer == Answer(fields)
    assert not answer.failed
    assert [type(value) for value in answer.fields.values()] == [type(fields[name]) for name in answer.fields]
    json.dumps(answer.fields, allow_nan=False).encode()


MALFORMED: list[tuple[str, bytes, dict[str, Any], str]] = [
    ("get_gpio", b"", {}, "Not valid JSON."),
    ("get_gpio", b"10", {}, "Not a JSON object."),
    ("get_gpio", b"[]", {}, "Not a JSON object."),
    ("get_gpio", b"null", {}, "Not a JSON object."),
    ("get_gpio", b'{"number": 10, "value": 0} x', {}, "Not valid JSON."),
    ("get_gpio", b'{"number": 10, "val', {}, "Not valid JSON."),
    ("get_gpio", b"{'number': 10}", {}, "Not valid JSON."),
    ("get_gpio", b'\xff\xfe{"number": 10}', {}, "Not UTF-8."),
    ("get_gpio", '{"number": 10}'.encode("utf-16"), {}, "Not UTF-8."),
    ("get_gpio", b'{"number": 10}', {"number": 10}, "value is missing."),
    ("get_gpio", b"{}", {}, "number is missing. value is missing."),
    ("get_gpio", b'{"number": 10, "value": "on"}', {"number": 10}, "value is not a whole number."),
    ("get_gpio", b'{"number": 10, "value": null}', {"number": 10}, "value is not a whole number."),
    ("get_gpio", b'{"number": 10, "value": 0.5}', {"number": 10}, "value is not a whole number."),
    ("get_gpio", b'{"number": 10, "value": [0]}', {"number": 10}, "value is not a whole number."),
    ("get_gpio", b'{"number": 10, "value": 9223372036854775808}', {"number": 10}, "value is not a whole number."),
    ("get_gpio", b'{"number": 10, "value": ' + b"9" * 41 + b"}", {}, "A number has more than 40 digits."),
    ("get_gpio", b'{"number": 10, "value": ' + b"9" * 9000 + b"}", {}, "A number has more than 40 digits."),
    ("get_gpio", b'{"number": 10, "value": NaN}', {}, "NaN is not JSON."),
    ("get_gpio", b'{"number": 10, "value": -Infinity}', {}, "-Infinity is not JSON."),
    ("get_gpio", b'{"number": 10, "value": 1e999}', {}, "A number is too large."),
    ("get_gpio", b'{"number": 10, "number": 11, "value": 0}', {}, "A key comes twice."),
    ("get_ip", b'{"value": {"a": 1}}', {}, "value is not text."),
    ("get_ip", b'{"value": true}', {}, "value is not text."),
    ("get_soil", b'{"a": {"b": 1, "b": 2}}', {}, "A key comes twice."),
    ("get_soil", b'{"a": ' + b"[" * 16 + b"]" * 16 + b"}", {}, "Nested more than 16 levels deep."),
    ("get_soil", b"[" * 16000, {}, "Not valid JSON."),
    ("get_soil", b'{"a":' * 3000, {}, "Not valid JSON."),
    ("get_soil", b'{"a": "' + b"x" * 16384 + b'"}', {}, "16,393 bytes; the portal takes 16,384."),
    ("write_uart", b"hello", {}, "Not valid JSON."),
    ("write_uart", b'{"val', {}, "Not valid JSON."),
]


@pytest.mark.parametrize(
    ("api", "payload", "fields", "reason"), MALFORMED, ids=[f"{row[0]}-{row[1][:30]!r}" for row in MALFORMED]
)
def test_it_says_what_is_wrong(api: str, payload: bytes, fields: dict[str, Any], reason: str) -> None:
    answer = decode_answer(STANDARD, STANDARD.api(api), payload)
    assert answer == Answer(fields, malformed=True, reason=reason)
    assert answer.failed


def test_sixteen_levels_are_not_too_deep() -> None:
    assert not decode_answer(STANDARD, STANDARD.api("x"), b'{"a": ' + b"[" * 15 + b"]" * 15 + b"}").malformed
    assert not decode_answer(STANDARD, STANDARD.api("x"), b'{"a": [' + b"[]," * 40 + b'"{[{["]}').malformed


def line(recipient: str, message: str) -> str:
    return f'{{"recipient": "{recipient}", "message": "{message}"}}'


# What arrives, the text fields recovered from it, and whether they may be only the beginning.
RECOVERED: list[tuple[str, bytes, dict[str, str], bool]] = [
    ("write_uart", b'{"value": "say "hi""}', {"value": 'say "hi"'}, False),
    ("write_uart", b'{"value": "say "hi" to all"}', {"value": 'say "hi" to all'}, False),
    ("write_uart", b'{"value": "say \\"}', {"value": "say \\"}, True),
    ("write_uart", b'{"value": "say \\"hi\\" "you""}', {"value": 'say \\"hi\\" "you"'}, False),
    ("write_uart", b'{"value":"a"b" }\0', {"value": 'a"b'}, False),
    ("write_uart", b'{"value": "hello', {"value": "hello"}, True),
    ("write_uart", b'{"value": "hello"', {"value": "hello"}, True),
    ("write_uart", b'{"value": "', {"value": ""}, True),
    ("write_uart", ('{"value": "' + "x" * 200)[:127].encode(), {"value": "x" * 116}, True),
    ("write_uart", ('{"value": "' + "é" * 100).encode()[:126], {"value": "é" * 57}, True),  # cut inside a letter
    ("write_uart", b'{"value": "caf\\u00', {"value": "caf\\u00"}, True),
    ("write_uart", b'{"value": "a\\u00e9b', {"value": "aéb"}, True),
    ("write_uart", b'{"value": "latin \xe9"}', {"value": "latin "}, False),
    ("trigger_notification", line("a@b.c", 'it is "hot"').encode(), {"recipient": "a@b.c", "message": 'it is "hot"'}, False),
    ("trigger_notification", line('"Ann" <a@b.c>', "hot").encode(), {"recipient": '"Ann" <a@b.c>', "message": "hot"}, False),
    ("trigger_notification", line("r" * 64, "m" * 64)[:127].encode(), {"recipient": "r" * 64, "message": "m" * 33}, True),
    ("trigger_notification", b'{"recipient": "a@b.c", "mess', {"recipient": "a@b.c"}, True),
    ("trigger_notification", b'{"recipient": "a@b.c"', {"recipient": "a@b.c"}, True),
    ("trigger_notification", b'{"recipient": "a@b', {"recipient": "a@b"}, True),
]


@pytest.mark.parametrize(("api", "payload", "fields", "cut"), RECOVERED)
def test_it_recovers_the_text_of_broken_json(api: str, payload: bytes, fields: dict[str, str], cut: bool) -> None:
    answer = decode_answer(FT900, FT900.api(api), payload)
    assert (answer.fields, answer.cut, answer.malformed) == (fields, cut, True)
    assert answer.text == list(fields.values())[-1]
    assert not answer.failed


@pytest.mark.parametrize("text", ['say "hi"', "x" * 300, 'a"' * 90, "é" * 60, "tab\tnew\nline", "back\\slash", '"', 'ends in "'])
@pytest.mark.parametrize("habit", ["as sent", "unescaped", "cut at a quote", "cut", "cut and unescaped"])
def test_a_uart_text_is_known_again_whatever_the_firmware_does_to_it(text: str, habit: str) -> None:
    api = FT900.api("write_uart")
    sent = json.dumps({"value": text})
    said = {
        "as sent": sent,
        "unescaped": f'{{"value": "{text}"}}',
        "cut at a quote": f'{{"value": "{json.dumps(text)[1:-1].split(chr(34))[0]}"}}',
        "cut": sent[:127],
        "cut and unescaped": f'{{"value": "{text}"}}'[:127],
    }[habit]
    answer = decode_answer(FT900, api, said.encode())
    assert agreement(api, {"value": text}, answer) != "no"
    assert not answer.failed


@pytest.mark.parametrize(
    ("api", "one", "other", "apart"),
    [
        ("get_gpio", {"number": 1}, {"number": 10}, True),
        ("get_gpio", {"number": 1}, {"number": 1}, False),
        ("set_gpio", {"number": 1, "value": 0}, {"number": 1, "value": 1}, True),
        ("get_rtc", {}, {}, False),
        ("set_status", {"value": "restart"}, {"value": "restart"}, False),
        ("get_soil", {"depth": 1}, {"depth": 2}, False),
        ("set_mac", {"value": "00:c0:ca:90:61:0a"}, {"value": "00:C0:CA:90:61:0A"}, False),
        ("write_uart", {"value": "hello"}, {"value": "hello world"}, True),
        ("write_uart", {"value": "x" * 115 + "a"}, {"value": "x" * 115 + "b"}, True),
        ("write_uart", {"value": "x" * 116 + "a"}, {"value": "x" * 116 + "b"}, False),  # alike in 127 bytes
        ("write_uart", {"value": 'say "hi"'}, {"value": 'say "ho"'}, False),  # alike where a quote cuts them
        ("write_uart", {"value": "a\\b"}, {"value": "ab"}, False),
        ("trigger_notification", {"recipient": "a", "message": "b"}, {"recipient": "a", "message": "c"}, True),
    ],
)
def test_it_knows_which_commands_could_get_one_answer(api: str, one: dict[str, Any], other: dict[str, Any], apart: bool) -> None:
    assert told_apart(STANDARD.api(api), one, other) is apart
    assert told_apart(STANDARD.api(api), other, one) is apart


@pytest.mark.parametrize(
    ("api", "arguments", "payload", "verdict"),
    [
        ("get_gpio", {"number": 3}, b'{"number": "3", "value": 0}', "yes"),
        ("get_gpio", {"number": 3}, b'{"number": 4, "value": 0}', "no"),
        ("get_gpio", {"number": 3}, b'{"number": 3, "value": "x"}', "yes"),
        ("get_gpio", {"number": 3}, b'{"number": 4, "value": "x"}', "no"),
        ("get_gpio", {"number": 3}, b'{"value": 0}', "perhaps"),
        ("get_gpio", {"number": 3}, b"{", "perhaps"),
        ("set_gpio", {"number": 3, "value": 1}, b'{"number": 3, "value": 0}', "no"),
        ("get_rtc", {}, b"{", "yes"),
        ("set_mac", {"value": "00:c0:ca:90:61:0a"}, b'{"value": "00:C0:CA:90:61:0A"}', "yes"),
        ("write_uart", {"value": "hello"}, b'{"value": "hell"}', "no"),
        ("write_uart", {"value": "hello"}, b'{"value": "hell', "perhaps"),
        ("write_uart", {"value": "hello"}, b'{"value": "help', "no"),
        ("write_uart", {"value": 'say "hi"'}, b'{"value": "say "hi""}', "yes"),
        ("write_uart", {"value": 'say "hi"'}, b'{"value": "say "ho""}', "no"),
        ("trigger_notification", {"recipient": "a", "message": "b"}, b'{"recipient": "a", "mes', "perhaps"),
        ("trigger_notification", {"recipient": "a", "message": "b"}, b'{"recipient": "c", "mes', "no"),
        ("trigger_notification", {"recipient": "a", "message": "bc"}, b'{"recipient": "a", "message": "b', "perhaps"),
        ("trigger_notification", {"recipient": "a", "message": "bc"}, b'{"recipient": "a", "message": "x', "no"),
    ],
)
def test_it_says_whether_an_answer_can_be_a_commands(api: str, arguments: dict[str, Any], payload: bytes, verdict: str) -> None:
    declared = STANDARD.api(api)
    assert agreement(declared, arguments, decode_answer(STANDARD, declared, payload)) == verdict


def test_a_device_that_repeats_ids_is_known_by_them() -> None:
    api = MODERN.api("write_uart")
    assert decode_answer(MODERN, api, b'{"id": "c1", "value": "x"}') == Answer({"value": "x"}, id="c1")
    assert decode_answer(MODERN, api, b'{"id": 7, "value": "x"}').id == "7"
    assert decode_answer(MODERN, api, b'{"id": [1], "value": "x"}').id is None
    assert decode_answer(MODERN, api, b'{"id": "c1", "value": "say "hi""}').id == "c1"
    assert decode_answer(STANDARD, api, b'{"id": "c1", "value": "x"}') == Answer({"id": "c1", "value": "x"})


def test_a_device_may_refuse_in_words() -> None:
    api = MODERN.api("get_gpio")
    refused = decode_answer(MODERN, api, b'{"number": 99, "id": "c1", "error": {"code": "no_pin", "message": "No pin 99."}}')
    assert (refused.error, refused.malformed, refused.id) == (DeviceError("no_pin", "No pin 99."), False, "c1")
    assert decode_answer(MODERN, api, b'{"error": "broken"}').error == DeviceError("", "broken")
    assert decode_answer(MODERN, api, b'{"error": {"code": 5, "message": [1]}}').error == DeviceError("5", "")
    assert decode_answer(MODERN, api, b'{"error": null}').error == DeviceError("", "")
    long = decode_answer(MODERN, api, json.dumps({"error": {"code": "c" * 999, "message": "m" * 9999}}).encode()).error
    assert long == DeviceError("c" * 64, "m" * 500)
    assert decode_answer(STANDARD, api, b'{"number": 99, "error": {"code": "no_pin"}}').reason == "value is missing."


def test_presence_is_one_of_two_words() -> None:
    api = MODERN.api("presence")
    assert decode_answer(MODERN, api, b'{"value": "online"}').fields == {"value": "online"}
    assert decode_answer(MODERN, api, b'{"value": "asleep"}').reason == "value is none of the known values."


APIS = [(profile, api) for profile in all_profiles() for api in (*profile.apis.values(), profile.api("get_soil"))]
SEEDS = [payload for _, payload, *_ in (*UNDERSTOOD, *RECOVERED)]
MANGLED = st.builds(
    lambda seed, start, length, junk: seed[:start] + junk + seed[start + length :],
    st.sampled_from(SEEDS),
    st.integers(0, 140),
    st.integers(0, 30),
    st.binary(max_size=6) | st.sampled_from([b'"', b"\\", b"\\ud800", b"{", b"[", b"9" * 50, b"\0", b"NaN", b"\xc3"]),
)


@settings(max_examples=1000)
@given(
    which=st.sampled_from(APIS),
    payload=st.binary(max_size=300) | MANGLED | st.text(alphabet='{}[]":,\\ value19nm').map(str.encode),
)
@example(which=APIS[0], payload=b"[" * 16384)
@example(which=APIS[11], payload=b'{"value": "' + b'"' * 16000)
@example(which=APIS[12], payload=b'"recipient": "' * 1100)
@example(which=APIS[12], payload=b'{"recipient": "' + b'", ' * 5000)
@example(which=APIS[12], payload=b'{"recipient"' + b" " * 16000)
def test_nothing_that_arrives_makes_it_raise(which: tuple[Any, Any], payload: bytes) -> None:
    profile, api = which
    answer = decode_answer(profile, api, payload)
    json.dumps(answer.fields, allow_nan=False)
    assert "\0" not in json.dumps(answer.fields, ensure_ascii=False).encode().decode()
    assert answer.malformed == (answer.reason is not None)
    assert answer.text is None or answer.malformed
    arguments = {field.name: "x" if field.type == "string" else 1 for field in api.fields}
    assert agreement(api, arguments, answer) in ("yes", "no", "perhaps")


@given(
    fields=st.dictionaries(
        st.text(max_size=5), st.recursive(st.integers() | st.text(max_size=9), st.lists, max_leaves=9), max_size=5
    )
)
def test_valid_json_of_an_undeclared_api_comes_through(fields: dict[str, Any]) -> None:
    text = json.dumps(fields)
    answer = decode_answer(STANDARD, STANDARD.api("get_soil"), text.encode())
    clean = "\\u0000" not in text and "\\ud" not in text.lower()
    if clean and not answer.malformed:
        assert answer.fields == fields
