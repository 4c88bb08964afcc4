"""Kinds of devices in the API: shipped ones to read, own ones to make, save and delete."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import Account, ApiToken, Role, User
from devices import services
from devices.models import Device, OwnProfile
from devices.profiles import all_profiles, resolved
from devices.tests.factories import make_account, make_device, make_member
from devices.tests.test_api import client_of

PROFILES = "/api/v1/profiles"
SOIL: dict[str, Any] = {
    "title": "Soil",
    "kind": "get",
    "tile": "form",
    "answer": [{"name": "value", "type": "number", "unit": "%"}],
}


@pytest.fixture
def alice(account: Account) -> User:
    return account.members.get()


@pytest.fixture
def api(alice: User) -> APIClient:
    return client_of(alice)


@pytest.fixture
def garden(account: Account) -> OwnProfile:
    return services.make_profile(account=account, name="Garden", document=resolved("standard"))


@pytest.fixture
def foreign(account: Account) -> OwnProfile:
    return services.make_profile(account=make_account("mallory"), name="Secret garden", document=resolved("standard"))


# --- reading -------------------------------------------------------------------------------------------------------------------


def test_it_lists_own_profiles_before_the_shipped_ones_and_no_others(
    api: APIClient, garden: OwnProfile, foreign: OwnProfile
) -> None:
    found = api.get(PROFILES).json()["results"]
    assert [one["slug"] for one in found] == ["garden", *(profile.slug for profile in all_profiles())]
    assert [(one["id"], one["version"]) for one in found[:2]] == [(garden.hex, 1), (None, None)]
    assert "document" not in found[0]


def test_a_profile_is_read_with_its_document(api: APIClient, garden: OwnProfile) -> None:
    for key in (garden.hex, "garden"):
        body = api.get(f"{PROFILES}/{key}").json()
        assert (body["slug"], body["version"]) == ("garden", 1)
        assert body["document"] == services.document_of(garden)
    small = api.get(f"{PROFILES}/ft900").json()
    assert small["document"] == {key: value for key, value in resolved("ft900").items() if key != "$schema"}
    assert (small["deaf"], small["settle_s"], small["answer_limit_bytes"], small["string_search"]) == (True, 0.15, 127, True)
    assert api.get(f"{PROFILES}/ft900-no-rtc").json()["lacks"] == ["get_rtc", "set_rtc"]


def test_a_device_tells_its_profile_as_a_document(api: APIClient, account: Account, garden: OwnProfile) -> None:
    pump, lamp = make_device(account, "Pump", "garden"), make_device(account, "Lamp", "ft900-no-rtc")
    assert api.get(f"/api/v1/devices/{pump.hex}/profile").json() == services.document_of(garden)
    assert api.get(f"/api/v1/devices/{lamp.hex}/profile").json()["slug"] == "ft900-no-rtc"
    assert "extends" not in api.get(f"/api/v1/devices/{lamp.hex}/profile").json()


# --- making --------------------------------------------------------------------------------------------------------------------


def test_it_is_made_from_nothing_a_copy_or_a_document(api: APIClient) -> None:
    made = api.post(PROFILES, {"name": "Bare"}).json()
    assert (made["slug"], made["apis"], made["open"]) == ("bare", [], True)
    assert api.post(PROFILES, {"name": "Small", "copy_of": "ft900"}).json()["payload_limit_bytes"] == 128
    assert api.post(PROFILES, {"name": "Smaller", "copy_of": "small"}).json()["payload_limit_bytes"] == 128
    answer = api.post(PROFILES, {"name": "Soil", "slug": "soil-probe", "document": {"apis": {"get_soil": SOIL}}})
    assert answer.status_code == 201
    assert (answer.json()["slug"], answer.json()["apis"][0]["answer"][0]["unit"]) == ("soil-probe", "%")


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({}, 400, {"name"}),
        ({"name": "\n"}, 400, {"name"}),
        ({"name": "X", "colour": 1}, 400, {"colour"}),
        ({"name": "X", "slug": "standard"}, 409, {"slug"}),
        ({"name": "X", "slug": "a/b"}, 400, {"slug"}),
        ({"name": "X", "copy_of": "nosuch"}, 404, set()),
        ({"name": "X", "copy_of": "standard", "document": {}}, 400, {"document"}),
        ({"name": "X", "document": []}, 400, {"document"}),
        ({"name": "X", "document": {"apis": {"a/b": SOIL}}}, 400, {"document.apis.a/b"}),
        ({"name": "X", "document": {"apis": {"get_x": {**SOIL, "kind": "read"}}}}, 400, {"document.apis.get_x.kind"}),
        ({"name": "X", "document": {"extends": "standard", "apis": {}}}, 400, {"document.extends"}),
        ({"name": "X", "document": {"apis": {f"get_{number}": SOIL for number in range(1000)}}}, 413, set()),
        ({"name": "X", "account": "0" * 32}, 404, set()),
    ],
)  # fmt: skip
def test_what_cannot_be_made_says_why(api: APIClient, body: dict[str, Any], status: int, told: set[str]) -> None:
    answer = api.post(PROFILES, body)
    assert (answer.status_code, set(answer.json()["errors"])) == (status, told)
    assert not OwnProfile.objects.exists()


def test_a_body_that_is_huge_or_deep_is_refused(api: APIClient) -> None:
    huge = json.dumps({"name": "X", "document": {"description": "x" * 100_000}})
    assert api.post(PROFILES, huge, content_type="application/json").status_code == 413
    deep = '{"name": "X", "document": ' + '{"a":' * 1000 + "1" + "}" * 1000 + "}"
    assert api.post(PROFILES, deep, content_type="application/json").status_code == 400
    shallow = {"name": "X", "document": {"apis": {"get_x": {"fields": [{"default": [[[[[]]]]]}]}}}}
    assert "Nested too deeply" in str(api.post(PROFILES, shallow).json()["errors"])


def test_it_is_made_in_another_account_by_those_who_manage_it(alice: User, api: APIClient) -> None:
    works = make_account("bob")
    works.memberships.create(user=alice, role=Role.ADMIN)
    made = api.post(PROFILES, {"name": "Theirs", "account": works.pk.hex}).json()
    assert OwnProfile.objects.get(pk=made["id"]).account == works
    works.memberships.filter(user=alice).update(role=Role.OPERATOR)
    assert api.post(PROFILES, {"name": "More", "account": works.pk.hex}).status_code == 403
    assert api.put(f"{PROFILES}/{made['id']}", {"document": {}}).status_code == 403


# --- saving and deleting -------------------------------------------------------------------------------------------------------


def test_a_new_version_is_saved_and_one_that_is_behind_is_refused(api: APIClient, garden: OwnProfile) -> None:
    document = api.get(f"{PROFILES}/garden").json()["document"]
    document["apis"]["get_soil"] = SOIL
    answer = api.put(f"{PROFILES}/garden", {"document": document, "version": 1})
    assert (answer.status_code, answer.json()["version"]) == (200, 2)
    assert [one["name"] for one in answer.json()["apis"]][-1] == "get_soil"
    behind = api.put(f"{PROFILES}/garden", {"document": {**document, "name": "Mine"}, "version": 1})
    assert (behind.status_code, behind.json()["code"]) == (409, "profile_changed")


def test_a_document_that_is_wrong_changes_nothing(api: APIClient, garden: OwnProfile) -> None:
    document = {**services.document_of(garden), "apis": {"get_x": {"title": "X"}}}
    answer = api.put(f"{PROFILES}/garden", {"document": document})
    assert answer.json()["errors"] == {"document.apis.get_x": ["Kind is missing."]}
    assert OwnProfile.objects.get().version == 1


def test_it_is_deleted_when_nobody_has_it(api: APIClient, account: Account, garden: OwnProfile) -> None:
    pump = make_device(account, "Pump", "garden")
    answer = api.delete(f"{PROFILES}/garden")
    assert (answer.status_code, answer.json()["code"]) == (409, "profile_in_use")
    services.change_profile(device=pump, profile="standard")
    assert api.delete(f"{PROFILES}/garden").status_code == 204
    assert api.get(f"{PROFILES}/garden").status_code == 404


def test_a_device_gets_an_own_profile_by_its_slug(api: APIClient, garden: OwnProfile, foreign: OwnProfile) -> None:
    made = api.post("/api/v1/devices", {"name": "Pump", "profile": "garden"}).json()
    assert (made["profile"], Device.objects.get().own_profile) == ("garden", garden)
    for slug in ("secret-garden", "nosuch", foreign.hex):
        answer = api.patch(f"/api/v1/devices/{made['id']}", {"profile": slug})
        assert (answer.status_code, answer.json()["errors"]) == (400, {"profile": [f"There is no profile called '{slug}'."]})
    assert api.post("/api/v1/devices", {"name": "Lamp", "profile": "secret-garden"}).status_code == 400


# --- others --------------------------------------------------------------------------------------------------------------------


def test_anothers_profile_and_none_look_the_same(api: APIClient, foreign: OwnProfile) -> None:
    for method, body in (("get", None), ("put", {"document": {}}), ("delete", None)):
        theirs = getattr(api, method)(f"{PROFILES}/{foreign.hex}", body)
        nobodys = getattr(api, method)(f"{PROFILES}/{'0' * 32}", body)
        by_slug = getattr(api, method)(f"{PROFILES}/secret-garden", body)
        assert theirs.status_code == 404
        assert theirs.content == nobodys.content == by_slug.content
    assert api.post(PROFILES, {"name": "X", "copy_of": foreign.hex}).status_code == 404


def test_a_shipped_profile_is_nobodys_to_change(api: APIClient) -> None:
    assert api.put(f"{PROFILES}/standard", {"document": {}}).status_code == 403
    answer = api.delete(f"{PROFILES}/standard")
    assert (answer.status_code, answer.json()["detail"]) == (
        403,
        "The portal ships this profile. Make a copy of it and change that.",
    )


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_who_may_not_manage_an_account_reads_its_profiles(account: Account, garden: OwnProfile, role: str) -> None:
    api = client_of(make_member(account, "victor", role))
    assert api.get(f"{PROFILES}/{garden.hex}").status_code == 200
    assert api.put(f"{PROFILES}/{garden.hex}", {"document": services.document_of(garden)}).status_code == 403
    assert api.delete(f"{PROFILES}/{garden.hex}").status_code == 403


@pytest.mark.parametrize("scope", [ApiToken.Scope.READ, ApiToken.Scope.CONTROL])
def test_a_token_that_may_not_manage_reads(alice: User, garden: OwnProfile, scope: str) -> None:
    api = client_of(alice, scope)
    assert api.get(f"{PROFILES}/garden").status_code == 200
    assert api.post(PROFILES, {"name": "X"}).status_code == 403
    assert api.put(f"{PROFILES}/garden", {"document": {}}).status_code == 403
    assert api.delete(f"{PROFILES}/garden").status_code == 403


def test_nobody_reads_nothing(db: None) -> None:
    assert APIClient().get(f"{PROFILES}/standard").status_code == 401
