"""The shipped profiles are valid, and a wrong one says where it is wrong."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from devices import profiles
from devices.profiles import (
    DATA,
    DEFAULT_PROFILE,
    Api,
    Profile,
    ProfileError,
    UnknownProfile,
    all_profiles,
    get_profile,
    parse_profile,
)

SCHEMA = json.loads(resources.files("devices").joinpath("profile.schema.json").read_text("utf-8"))
DOCUMENTED = {
    "get_status", "set_status", "get_gpio", "set_gpio", "get_rtc", "set_rtc", "get_mac", "set_mac",
    "get_ip", "get_subnet", "get_gateway", "write_uart", "trigger_notification",
}  # fmt: skip


@pytest.mark.parametrize("path", [path for path in DATA.iterdir() if path.name.endswith(".json")], ids=lambda path: path.name)
def test_a_shipped_profile_fits_the_schema(path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(json.loads(path.read_text("utf-8")), SCHEMA)


def test_the_schema_knows_the_keys_that_the_reader_knows() -> None:
    known = {
        "properties": {field.name for field in dataclasses.fields(Profile)} | {"$schema", "extends"},
        "api": {field.name for field in dataclasses.fields(Api)} - {"name", "declared"},
        "field": {field.name for field in dataclasses.fields(profiles.Field)},
    }
    assert set(SCHEMA["properties"]) == known["properties"]
    assert set(SCHEMA["$defs"]["api"]["properties"]) == known["api"]
    assert set(SCHEMA["$defs"]["field"]["properties"]) == known["field"]


def test_the_shipped_kinds_are_there_and_the_default_comes_first() -> None:
    assert [profile.slug for profile in all_profiles()] == [DEFAULT_PROFILE, "ft900", "ft900-no-rtc", "modern"]


@pytest.mark.parametrize("slug", ["standard", "ft900", "modern"])
def test_every_kind_has_the_documented_apis(slug: str) -> None:
    assert set(get_profile(slug).apis) >= DOCUMENTED


def test_it_reads_a_profile_once() -> None:
    assert get_profile("ft900") is get_profile("ft900")


@pytest.mark.parametrize("slug", ["nosuch", "", "../standard", "a/b", "Standard", "standard.json", "\0", "x" * 99])
def test_an_unknown_profile_is_a_key_error(slug: str) -> None:
    with pytest.raises(UnknownProfile):
        get_profile(slug)
    assert issubclass(UnknownProfile, KeyError)


def test_the_small_firmware_is_as_small_and_as_deaf_as_it_is() -> None:
    ft900 = get_profile("ft900")
    assert (ft900.lane, ft900.settle_s, ft900.retry_silent_read, ft900.payload_limit_bytes) == ("device", 0.15, True, 128)
    assert (ft900.deaf, ft900.string_search, ft900.answer_limit_bytes) == (True, True, 127)
    assert [field.max_bytes for field in ft900.api("trigger_notification").fields] == [64, 64]
    assert ft900.api("trigger_notification").echo == ("recipient", "message")
    assert not ft900.echo_id


def test_a_board_without_a_clock_is_not_asked_for_the_time() -> None:
    without = get_profile("ft900-no-rtc")
    assert set(get_profile("ft900").apis) - set(without.apis) == {"get_rtc", "set_rtc"}
    with pytest.raises(KeyError):
        without.api("get_rtc")
    assert without.api("get_soil").kind == "get"
    assert (without.lane, without.payload_limit_bytes) == ("device", 128)


def test_the_modern_one_has_all_that_is_optional() -> None:
    modern = get_profile("modern")
    assert modern.echo_id
    assert modern.presence
    assert modern.errors
    assert modern.api("presence").kind == "event"
    assert "presence" not in get_profile("standard").apis


def test_what_acts_on_the_world_is_neither_repeated_nor_run_late() -> None:
    for profile in all_profiles():
        for api in profile.apis.values():
            assert not api.retry_read or api.kind == "get"
        for name in {"set_gpio", "set_rtc", "set_status", "set_mac"} - set(profile.lacks):
            assert not profile.api(name).safe_late


def test_an_open_profile_passes_unknown_names_through() -> None:
    standard = get_profile("standard")
    soil, valve = standard.api("get_soil"), standard.api("open_valve")
    assert (soil.kind, soil.fields, soil.echo, soil.declared, soil.tile) == ("get", (), (), False, "custom")
    assert (valve.kind, valve.retry_read) == ("set", False)


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "Get", "$sys", "a.b", "1a", "a" * 65, "get gpio", "get_gpio\n", "ünder"])
def test_no_device_can_have_such_an_api(name: str) -> None:
    with pytest.raises(ValueError, match="no api name"):
        get_profile("standard").api(name)


def test_a_closed_profile_has_only_what_it_declares() -> None:
    closed = dataclasses.replace(get_profile("standard"), open=False)
    assert closed.api("get_gpio").declared
    with pytest.raises(KeyError):
        closed.api("get_soil")


def test_a_tile_finds_its_apis() -> None:
    standard = get_profile("standard")
    assert [api.name for api in standard.tile("ethernet")] == ["get_mac", "get_ip", "get_subnet", "get_gateway"]
    assert standard.has_rtc


def test_a_profile_cannot_be_changed() -> None:
    standard = get_profile("standard")
    with pytest.raises(dataclasses.FrozenInstanceError):
        standard.slug = "other"  # type: ignore[misc]  # it is frozen
    with pytest.raises(TypeError):
        standard.apis["x"] = standard.api("get_ip")  # type: ignore[index]  # it is read-only


def api(**keys: Any) -> dict[str, Any]:
    return {"apis": {"get_x": {"title": "X", "kind": "get", **keys}}}


NUMBER = {"name": "number", "type": "integer"}
VALUE = {"name": "value", "type": "integer"}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"slug": "x"}, "x.json: name is missing"),
    ({"slug": "y", "name": "X"}, "slug is 'y', not 'x'"),
    ({"colour": 1}, "unknown key 'colour'"),
    ({"lane": "street"}, "lane is 'street', not one of api, device"),
    ({"settle_s": "0.15"}, "settle_s must be float"),
    ({"settle_s": -1}, "settle_s is negative"),
    ({"echo_id": 1}, "echo_id must be bool"),
    ({"payload_limit_bytes": True}, "payload_limit_bytes must be int"),
    ({"apis": []}, "apis has the wrong shape"),
    ({"apis": {"Get": {}}}, "apis.Get: is no api name"),
    ({"apis": {"get_x": 1}}, "apis.get_x: is not an object"),
    ({"apis": {"get_x": {"kind": "get"}}}, "apis.get_x: title is missing"),
    ({"apis": {"get_x": {"title": "X", "kind": "read"}}}, "kind is 'read'"),
    ({"apis": {"get_x": {"title": "X", "kind": "get", "declared": False}}}, "unknown key 'declared'"),
    ({"apis": {"get_x": {"title": "X", "kind": "get", "fields": [{"name": "a"}]}}}, r"fields\[0\]: type is missing"),
    ({"apis": {"get_x": {"title": "X", "kind": "get", "fields": [{"name": "a", "type": "int"}]}}}, "type is 'int'"),
    ({"apis": {"get_x": {"title": "X", "kind": "get", "fields": [1]}}}, r"fields\[0\]: is not an object"),
    ({"apis": {"get_x": {"title": "X", "kind": "get", "fields": [NUMBER], "echo": ["number"]}}}, "not in both"),
    ({"apis": {"set_x": {"title": "X", "kind": "set", "fields": [VALUE, NUMBER]}}}, "number must be the first"),
    ({"apis": {"set_x": {"title": "X", "kind": "set", "fields": [VALUE, {**NUMBER, "name": "a"}]}}}, "value must be the last"),
    ({"apis": {"set_x": {"title": "X", "kind": "set", "fields": [{**VALUE, "name": "a"}] * 2}}}, "named twice"),
    ({"apis": {"set_x": {"title": "X", "kind": "set", "retry_read": True}}}, "a set is never repeated"),
    (api(kind="event", fields=[VALUE]), "an event has no fields"),
    (api(timeout_s=31), "timeout_s is 1 to 30"),
    (api(fields=[{**VALUE, "name": "Value"}]), r"fields\[0\]: 'Value' is no field name"),
    (api(fields=[{**VALUE, "minimum": 2, "maximum": 1}]), "minimum is above maximum"),
    (api(fields=[{**VALUE, "minimum": 0.5}]), "of a whole number are whole"),
    (api(fields=[{**VALUE, "type": "string", "minimum": 0}]), "minimum and maximum are for numbers"),
    (api(fields=[{**VALUE, "max_bytes": 4}]), "max_bytes are for texts"),
    (api(fields=[{**VALUE, "type": "string", "min_bytes": 4, "max_bytes": 2}]), "min_bytes is above max_bytes"),
    (api(fields=[{**VALUE, "format": "mac"}]), "the format mac is not for type integer"),
    (api(fields=[{**VALUE, "choices": [0, "on"]}]), "the choice 'on' is not possible"),
    (api(fields=[{**VALUE, "maximum": 1, "default": 2}]), "the default 2 is not possible"),
    (api(fields=[{**VALUE, "choices": [1, 2], "default": 3}]), "the default 3 is not possible"),
    (api(fields=[{**VALUE, "default": True}]), "the default True is not possible"),
    (api(fields=[{**VALUE, "type": "string", "max_bytes": 3, "default": "hello"}]), "the default 'hello' is not possible"),
    (api(tile="gpio"), "the tile gpio is for a get that takes number and answers number and value or a set"),
    (api(tile="restart"), "a set whose fields all have a default"),
    ({"deaf": True}, "deaf needs the lane device"),
    ({"lacks": ["a/b"]}, "lacks: 'a/b' is no api name"),
    ({"lacks": ["get_x"], **api()}, "get_x is among the apis too"),
    ({"echo_id": True, **api(answer=[{**VALUE, "name": "id"}])}, "id is the command's own"),
    ({"errors": True, **api(answer=[{**VALUE, "name": "error"}])}, "error is how this kind of device refuses"),
]


@pytest.mark.parametrize(("wrong", "problem"), WRONG, ids=[problem for _, problem in WRONG])
def test_a_wrong_profile_says_where_it_is_wrong(wrong: dict[str, Any], problem: str) -> None:
    raw = wrong if "slug" in wrong else {"slug": "x", "name": "X", **wrong}
    with pytest.raises(ProfileError, match=problem):
        parse_profile(raw, where="x.json", slug="x")


def test_a_profile_may_extend_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "DATA", tmp_path)
    api = {"title": "Open", "kind": "set", "safe_late": True}
    (tmp_path / "base.json").write_text(json.dumps({"slug": "base", "name": "Base", "settle_s": 1, "apis": {"open": api}}))
    own = {"extends": "base", "slug": "own", "name": "Own", "apis": {"open": {"safe_late": False}, "shut": api}}
    (tmp_path / "own.json").write_text(json.dumps(own))
    read = parse_profile(profiles._raw("own"), where="own.json", slug="own")
    assert (read.settle_s, list(read.apis), read.api("open").safe_late) == (1, ["open", "shut"], False)


@pytest.mark.parametrize(
    ("text", "problem"),
    [("{", "x.json: "), ("[]", "is not an object"), ('{"extends": "x"}', "extends itself")],
)
def test_an_unreadable_file_is_named(text: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "DATA", tmp_path)
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ProfileError, match=problem):
        profiles._raw("x")


def test_profiles_and_protocol_do_without_django() -> None:
    code = (
        "import sys, devices.profiles, messaging.protocol.matcher, messaging.protocol.topics; sys.exit('django' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(profiles.__file__).parent.parent, check=False)
    assert done.returncode == 0
