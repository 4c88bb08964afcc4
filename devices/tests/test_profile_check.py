"""What is no profile is refused by its place and in words, however large, deep or sly it is, and at little cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices import profile_check, profiles
from devices.checks import check_profiles
from devices.profile_check import MAX_BYTES, WHOLE, InvalidProfile, checked_profile, read_json
from devices.profiles import all_profiles, resolved

NAME_RULE = "Small letters a to z, digits and _, beginning with a letter, at most 64."


def document(**more: Any) -> dict[str, Any]:
    return {"slug": "own", "name": "Own", "apis": {}, **more}


def with_api(name: str = "get_soil", **keys: Any) -> dict[str, Any]:
    return document(apis={name: {"title": "Soil", "kind": "get", **keys}})


def with_field(**keys: Any) -> dict[str, Any]:
    return with_api(answer=[{"name": "value", "type": "integer", **keys}])


def problems(raw: object) -> dict[str, list[str]]:
    with pytest.raises(InvalidProfile) as refused:
        checked_profile(raw, slug="own")
    return refused.value.problems


@pytest.mark.parametrize("slug", [profile.slug for profile in all_profiles()])
def test_a_copy_of_a_shipped_profile_is_good(slug: str) -> None:
    copied = checked_profile({**resolved(slug), "slug": "own", "name": "Own"}, slug="own")
    assert dict(copied.apis) == dict(profiles.get_profile(slug).apis)


WRONG: list[tuple[object, dict[str, list[str]]]] = [
    ([], {WHOLE: ["This must be an object."]}),
    ({}, {"slug": ["This is missing."], "name": ["This is missing."], "apis": ["This is missing."]}),
    (document(colour=1), {"colour": ["There is no such key."]}),
    (document(name=""), {"name": ["This is empty."]}),
    (document(name=7), {"name": ["This must be a text."]}),
    (document(name="x" * 61), {"name": ["61 characters; at most 60."]}),
    (document(lane="street"), {"lane": ['One of "api", "device".']}),
    (document(settle_s=1e9), {"settle_s": ["At most 5."]}),
    (document(settle_s=-1), {"settle_s": ["At least 0."]}),
    (document(payload_limit_bytes=True), {"payload_limit_bytes": ["This must be a whole number or null."]}),
    (document(payload_limit_bytes=1), {"payload_limit_bytes": ["At least 32."]}),
    (document(deaf=True), {WHOLE: ["Deaf needs the lane device: it takes one command at a time."]}),
    (document(slug="standard"), {WHOLE: ["Slug is 'standard', not 'own'."]}),
    (document(extends="standard"), {"extends": ["A profile of your own stands on its own. Begin with a copy of the other one."]}),
    (with_api(kind="read"), {"apis.get_soil.kind": ['One of "get", "set", "event".']}),
    (with_api(retry_read=1), {"apis.get_soil.retry_read": ["This must be true or false."]}),
    (with_api(title="", help=1), {"apis.get_soil.title": ["This is empty."], "apis.get_soil.help": ["This must be a text."]}),
    (with_api(echo=["value"]), {"apis.get_soil": ["Echo names a field that is not in both fields and answer."]}),
    (with_api(echo=["a", "a"]), {"apis.get_soil.echo": ["Something is in this list twice."]}),
    (with_api(timeout_s=0.5), {"apis.get_soil.timeout_s": ["At least 1."]}),
    (with_field(format="date"), {"apis.get_soil.answer[0].format": ['One of "", "mac", "ipv4", "epoch", "recipient".']}),
    (with_field(pattern="(a+)+$"), {"apis.get_soil.answer[0].pattern": ["There is no such key."]}),
    (
        with_field(default={"deep": []}),
        {"apis.get_soil.answer[0].default": ["This must be a text or a number or true or false or null."]},
    ),
    (with_field(minimum=2, maximum=1), {"apis.get_soil.answer[0]": ["Minimum is above maximum."]}),
    (with_field(maximum=10**30), {"apis.get_soil.answer[0].maximum": ["This number is too large."]}),
    (with_field(choices=list(range(65))), {"apis.get_soil.answer[0].choices": ["65 of them; at most 64."]}),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "told"), WRONG, ids=[" ".join(told) + str(number) for number, (_, told) in enumerate(WRONG)])
def test_it_says_what_is_wrong_and_where(raw: object, told: dict[str, list[str]]) -> None:
    assert problems(raw) == told


@pytest.mark.parametrize(
    "name", ["a/b", "+", "#", "$sys", "a.b", "A", "1a", "", "get soil", "gеt_soil", "get_ѕoil", "ｇet_soil", "x" * 65, "get_soil​"]
)
def test_a_name_that_is_no_topic_level_is_no_api(name: str) -> None:
    assert problems(with_api(name)) == {f"apis.{name}": [NAME_RULE]}
    assert NAME_RULE in str(problems(with_field(name=name)))


@pytest.mark.parametrize("text", ["two\nlines", "\0", "\x1b[2J", "\u202egnp.exe", "\ud800", "\u2028"])
def test_a_text_that_cannot_be_shown_is_refused_everywhere(text: str) -> None:
    told = ["This has characters that cannot be shown, such as line breaks."]
    assert problems(document(name=text)) == {"name": told}
    assert problems(document(apis={text: {}})) == {"apis": told}
    assert problems(with_field(unit=text)) == {"apis.get_soil.answer[0].unit": told}


def test_markup_in_a_title_is_only_text() -> None:
    assert checked_profile(with_api(title="<b onclick=alert(1)>"), slug="own").apis["get_soil"].title == "<b onclick=alert(1)>"


def test_fields_that_the_protocol_keeps_for_itself_are_refused_where_they_would_collide() -> None:
    number = {"name": "id", "type": "integer"}
    assert "Id is the command's own" in str(problems({**with_api(answer=[number]), "echo_id": True}))
    assert "Error is how this kind" in str(problems({**with_api(answer=[{**number, "name": "error"}]), "errors": True}))
    assert checked_profile(with_api(answer=[number]), slug="own").apis["get_soil"].answer[0].name == "id"


# --- attacks -------------------------------------------------------------------------------------------------------------------


def nested(depth: int) -> Any:
    inner: Any = []
    for _ in range(depth):
        inner = [inner]
    return inner


HUGE: list[tuple[object, str]] = [
    (document(description="x" * 1_000_000), "Too long: 1,000,000 characters"),
    (document(apis={f"get_{number}": {} for number in range(1000)}), "Too many: 1,000; at most 200."),
    (document(apis={f"get_{number:03d}": {"title": "X", "kind": "get"} for number in range(150)}), "150 of them; at most 100."),
    (document(apis=nested(1000)), "Nested too deeply"),
    (with_field(choices=[[]] * 100_000), "Too many: 100,000"),
    (document(apis={f"get_{number:03d}": {"help": "y" * 490} for number in range(100)}), "Too large: 51,"),
    (with_field(default=float("inf")), "This number is too large."),
    (with_field(default=float("nan")), "This number is too large."),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "told"), HUGE, ids=[told for _, told in HUGE])
def test_what_is_huge_is_refused_before_anything_is_made_of_it(raw: object, told: str) -> None:
    assert told in str(problems(raw))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "This is not JSON: line 1, character 2."),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": 1, "a": 2}', 'the key "a" comes twice'),
        ("[NaN]", "NaN is no number"),
        ("9" * 5000, "This is not JSON"),
        (" " * (4 * MAX_BYTES + 1), "Too large: a profile has at most 48 KiB."),
    ],
)
def test_a_text_that_is_no_json_says_where(text: str, told: str) -> None:
    with pytest.raises(InvalidProfile, match=told):
        read_json(text)


KEYS = ["name", "type", "fields", "answer", "kind", "title", "choices", "echo"]
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(part=ANY, place=st.sampled_from(["", "apis", "api", "fields", "field"]))
def test_whatever_comes_is_read_or_refused_in_words(part: Any, place: str) -> None:
    raw = {
        "": part,
        "apis": document(apis=part),
        "api": document(apis={"get_x": part}),
        "fields": with_api(fields=part),
        "field": with_api(answer=[part]),
    }[place]
    refused: dict[str, list[str]] = {}
    try:
        checked_profile(raw, slug="own")
    except InvalidProfile as error:
        refused = error.problems
    assert all(path and texts and all(texts) for path, texts in refused.items())
    json.dumps(refused)


# --- the shipped ones ----------------------------------------------------------------------------------------------------------


def test_the_shipped_profiles_pass_the_systems_check() -> None:
    assert check_profiles() == []


def test_a_profile_that_an_operator_added_is_checked_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "DATA", tmp_path)
    (tmp_path / "wrong.json").write_text(json.dumps({"slug": "wrong", "name": "Wrong", "apis": {"Get": {}}}))
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other.json").write_text(json.dumps({"slug": "wrong", "name": "Wrong", "apis": {}}))
    told = [message.msg for message in check_profiles()]
    assert told[0].startswith("The profile broken.json is wrong: document:")
    assert told[1] == "The profile other.json is wrong: document: other.json: slug is 'wrong', not 'other'"
    assert told[2] == f"The profile wrong.json is wrong: apis.Get: {NAME_RULE}"


def test_a_size_is_counted_in_bytes_without_layout() -> None:
    assert profile_check.size_bytes({"a": "é"}) == len('{"a":"é"}'.encode())
