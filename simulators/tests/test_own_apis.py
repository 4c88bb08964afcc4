"""A device does what its profile declares, also what no document names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.profiles import API_NAME, Field, Profile, resolved
from simulators import values
from simulators.device import Device
from simulators.profiles import FT900, MODERN, STANDARD, ProfileProblem, find_profile, own_profile, read_profile

SOIL = {
    "title": "Read the soil",
    "kind": "get",
    "tile": "form",
    "fields": [{"name": "number", "type": "integer", "minimum": 0, "maximum": 3}],
    "answer": [
        {"name": "number", "type": "integer"},
        {"name": "moisture", "type": "number", "unit": "%", "minimum": 0, "maximum": 100},
        {"name": "wet", "type": "boolean"},
    ],
    "echo": ["number"],
}
FAN: dict[str, Any] = {
    "title": "Fan",
    "kind": "set",
    "fields": [{"name": "value", "type": "string", "choices": ["off", "slow", "fast"]}],
}
FAN |= {"answer": FAN["fields"], "echo": ["value"]}
APIS = {
    "get_soil": SOIL,
    "set_fan": FAN,
    "get_fan": {"title": "Fan", "kind": "get", "answer": FAN["fields"]},
    "alarm": {"title": "Alarm", "kind": "event", "answer": [{"name": "value", "type": "string", "choices": ["hot"]}]},
}


def garden(base: str = "standard", **more: Any) -> Profile:
    """Return a profile with apis of its own beside the documented ones."""
    document = resolved(base)
    return own_profile(
        {**document, "slug": "garden", "name": "Garden", **more, "apis": {**document["apis"], **APIS}}, "garden.json"
    )


def ask(device: Device, api: str, payload: bytes = b"{}") -> Any:
    (answer,) = device.handle(api, payload)
    assert answer.api == api
    return json.loads(answer.payload)


def make(profile: Profile | None = None, at: float = 1000.0) -> Device:
    return Device("a" * 32, profile=profile or garden(), clock=lambda: at)


def test_it_says_believable_values_of_the_declared_types() -> None:
    answer = ask(make(), "get_soil", b'{"number": 2}')
    assert list(answer) == ["number", "moisture", "wet"]
    assert answer["number"] == 2
    assert 0 <= answer["moisture"] <= 100
    assert isinstance(answer["wet"], bool)


def test_values_wander_and_are_not_alike_on_two_channels_or_devices() -> None:
    said = [ask(make(at=at), "get_soil", b'{"number": 1}')["moisture"] for at in (0, 100, 200, 300)]
    assert len(set(said)) == 4
    other = Device("b" * 32, profile=garden(), clock=lambda: 0.0)
    assert ask(other, "get_soil", b'{"number": 1}')["moisture"] != said[0]
    assert ask(make(at=0), "get_soil", b'{"number": 2}')["moisture"] != said[0]


def test_a_get_says_what_was_set_until_the_device_restarts() -> None:
    device = make()
    assert ask(device, "set_fan", b'{"value": "fast"}') == {"value": "fast"}
    assert ask(device, "get_fan") == {"value": "fast"}
    device.restart()
    before = ask(make(), "get_fan")
    assert ask(device, "get_fan") == before


@pytest.mark.parametrize(
    "payload", [b"{}", b'{"number": 4}', b'{"number": -1}', b'{"number": "x"}', b'{"number": true}', b"[]", b"\xff"]
)
def test_it_is_silent_to_what_its_profile_does_not_allow(payload: bytes) -> None:
    assert make().handle("get_soil", payload) == []


def test_a_device_that_reports_errors_says_what_its_profile_does_not_allow() -> None:
    modern = garden("modern")
    (answer,) = make(modern).handle("get_soil", b'{"number": 9, "id": "q"}')
    assert (
        answer.payload == b'{"number": 9, "id": "q", "error": {"code": "bad_request", "message": "number must be from 0 to 3"}}'
    )
    (answer,) = make(modern).handle("set_fan", b'{"id": "q", "value": "up"}')
    assert "must be one of off, slow, fast" in answer.payload.decode()


def test_an_api_of_its_own_is_found_by_string_search_where_the_firmware_works_so() -> None:
    small = make(garden("ft900"))
    (answer,) = small.handle("get_soil", b'{"number": 2}')
    assert answer.payload.startswith(b'{"number": 2, "moisture": ')
    assert answer.payload.endswith((b'"wet": true}', b'"wet": false}'))
    assert small.handle("get_soil", b'{"number":2}') == []


def test_it_does_not_know_what_its_profile_does_not_declare() -> None:
    bare = own_profile({"slug": "bare", "name": "Bare", "apis": {"get_fan": APIS["get_fan"]}}, "bare.json")
    assert make(bare).handle("get_status", b"{}") == []
    assert ask(make(bare), "get_fan")["value"] in ("off", "slow", "fast")


def test_a_documented_name_with_another_shape_is_an_api_of_its_own() -> None:
    odd = own_profile(
        {
            "slug": "odd",
            "name": "Odd",
            "apis": {"get_status": {"title": "S", "kind": "get", "answer": [{"name": "load", "type": "number"}]}},
        },
        "odd.json",
    )
    assert list(ask(make(odd), "get_status")) == ["load"]


def test_an_event_is_said_by_the_device_and_cannot_be_asked_for() -> None:
    device = make()
    assert device.handle("alarm", b"{}") == []
    (said,) = device.say("alarm")
    assert (said.api, said.payload) == ("alarm", b'{"value": "hot"}')
    assert device.say("get_fan") == []
    assert "no event" in device.uart[-1]


def test_an_event_does_not_answer_a_pin_range_of_another_kind() -> None:
    small = garden()
    narrowed = own_profile({**_document(small), "apis": {**_document(small)["apis"], "get_gpio": _narrow()}}, "narrow.json")
    assert make(narrowed).handle("get_gpio", b'{"number": 67}') == []
    assert ask(make(narrowed), "get_gpio", b'{"number": 66}') == {"number": 66, "value": 0}


def _document(profile: Profile) -> dict[str, Any]:
    return {**resolved("standard"), "slug": profile.slug, "name": profile.name}


def _narrow() -> dict[str, Any]:
    api: dict[str, Any] = resolved("standard")["apis"]["get_gpio"]
    return {**api, "fields": [{**api["fields"][0], "maximum": 66}]}


# --- where a profile comes from ------------------------------------------------------------------------------------------------


def test_a_profile_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "garden.json"
    path.write_text(json.dumps({**resolved("modern"), "slug": "garden", "name": "Garden"}))
    assert find_profile(str(path)).slug == "garden"
    assert find_profile("ft900") is FT900
    assert read_profile(path).echo_id


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "cannot be read"),
        ("[]", "is not a profile"),
        ("[" * 100_000, "cannot be read"),
        ('"' + "x" * 300_000 + '"', "is not a profile"),
        ('{"slug": "x", "extends": "standard", "name": "X"}', "extends another profile"),
        ('{"slug": "x", "name": "X", "colour": 1}', "unknown key 'colour'"),
        ('{"slug": "x", "name": "X", "apis": {"a/b": {}}}', "apis.a/b: is no api name"),
    ],
)
def test_a_file_that_is_no_profile_says_why(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ProfileProblem, match=problem):
        read_profile(path)


# --- values --------------------------------------------------------------------------------------------------------------------

BOUNDS = st.none() | st.integers(-1000, 1000)


@given(
    kind=st.sampled_from(["integer", "number"]),
    low=BOUNDS,
    high=BOUNDS,
    unit=st.sampled_from(["", "%", "°C"]),
    at=st.floats(0, 1e9),
)
def test_values_are_within_their_bounds(kind: Any, low: int | None, high: int | None, unit: str, at: float) -> None:
    if low is not None and high is not None and low > high:
        low, high = high, low
    field = Field("x", kind, minimum=low, maximum=high, unit=unit)
    for value in (values.believable(field, "who", at), values.example(field)):
        assert isinstance(value, int) or kind == "number"
        assert low is None or value >= low
        assert high is None or value <= high


def test_every_shipped_api_has_arguments_that_a_caller_could_send() -> None:
    for profile in (STANDARD, FT900, MODERN):
        for api in profile.apis.values():
            given = values.arguments(api)
            assert set(given) == {field.name for field in api.fields}
            assert API_NAME.fullmatch(api.name)
    assert values.arguments(STANDARD.apis["set_gpio"]) == {"number": 10, "value": 0}
