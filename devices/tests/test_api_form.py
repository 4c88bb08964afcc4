"""An api of one's own by a form: from fields to the profile, its documentation and what the portal checks of a command."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import Account
from devices import services
from devices.models import OwnProfile
from devices.profile_documents import blank
from devices.tests.factories import make_member


@pytest.fixture
def garden(account: Account) -> OwnProfile:
    return services.make_profile(account=account, name="Garden", document=blank("Garden", ""))


@pytest.fixture
def browser(account: Account, client: Client) -> Client:
    client.force_login(account.members.get())
    return client


def rows(prefix: str, *given: dict[str, Any]) -> dict[str, Any]:
    named = {f"{prefix}-{number}-{key}": value for number, one in enumerate(given) for key, value in one.items()}
    return {f"{prefix}-TOTAL_FORMS": len(given), f"{prefix}-INITIAL_FORMS": 0, **named}


def api(version: int = 1, **given: Any) -> dict[str, Any]:
    fields, answer = given.pop("fields", []), given.pop("answer", [])
    said = {"name": "get_soil", "title": "Soil", "kind": "get", "version": version, **given}
    return {**said, **rows("fields", *fields), **rows("answer", *answer)}


def add(client: Client, profile: OwnProfile, body: dict[str, Any]) -> tuple[int, str]:
    answer = client.post(f"/devices/profiles/{profile.hex}/apis/new/", body)
    return answer.status_code, answer.content.decode()


SENSOR = {"name": "number", "type": "integer", "least": "0", "most": "3"}
BLANK = {"name": "", "type": "integer"}


def test_what_is_typed_becomes_the_api_of_the_profile_and_its_documentation(browser: Client, garden: OwnProfile) -> None:
    moisture = {"name": "value", "type": "number", "unit": "%", "least": "0", "most": "99.5"}
    assert add(browser, garden, api(fields=[BLANK, SENSOR], answer=[SENSOR, BLANK, moisture]))[0] == 302
    sensor = {"name": "number", "type": "integer", "minimum": 0, "maximum": 3}
    assert services.document_of(OwnProfile.objects.get())["apis"] == {
        "get_soil": {
            "title": "Soil", "kind": "get", "tile": "form", "fields": [sensor],
            "answer": [sensor, {"name": "value", "type": "number", "unit": "%", "minimum": 0, "maximum": 99.5}],
            "echo": ["number"],
        }
    }  # fmt: skip
    valve = {"name": "value", "type": "string", "choices": "closed, half,open", "most": "6"}
    assert add(browser, garden, api(2, name="set_valve", title="Valve", kind="set", fields=[valve], answer=[valve]))[0] == 302
    made = services.document_of(OwnProfile.objects.get())["apis"]["set_valve"]["fields"][0]
    assert (made["choices"], made["max_bytes"]) == (["closed", "half", "open"], 6)
    page = browser.get(f"/devices/profiles/{garden.hex}/").content.decode()
    assert "GET /api/v1/devices/ID/apis/get_soil" in page
    assert "closed, half, open" in page


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (api(name=""), "Give it the name"),
        (api(name="Get Soil"), "Nothing was saved"),
        (api(title="a\u202eb"), "cannot be shown"),
        (api(answer=[{**SENSOR, "least": "9"}]), "above"),
        (api(answer=[BLANK, {"name": "Über", "type": "integer"}]), "name: "),
        (api(answer=[{"name": "", "type": "integer", "least": "1"}]), "Give it a name."),
        (api(answer=[{"name": "on", "type": "boolean", "unit": "V"}]), "Yes or no has"),
        (api(answer=[{"name": "a", "type": "integer", "choices": "1, two"}]), "numbers, with commas"),
        (api(answer=[{"name": "a", "type": "integer", "choices": "nan"}]), "numbers, with commas"),
        (api(answer=[{"name": "a", "type": "integer", "least": "1e999"}]), "Enter a number"),
        (api(answer=[{"name": "a", "type": "oddity"}]), "Select a valid choice"),
        (api(answer=[SENSOR] * 33), "32"),
        ({**api(), "fields-TOTAL_FORMS": "100000"}, "32"),
        ({"name": "get_soil"}, "ManagementForm"),
        (api(answer=[SENSOR, SENSOR]), "number"),
    ],
)
def test_what_makes_no_api_is_said_where_it_was_typed_and_nothing_is_saved(
    browser: Client, garden: OwnProfile, body: dict[str, Any], said: str
) -> None:
    status, page = add(browser, garden, body)
    assert status == 400
    assert said in page
    assert OwnProfile.objects.get().version == 1


def test_two_who_add_at_once_are_told_and_an_api_is_not_put_over_another(browser: Client, garden: OwnProfile) -> None:
    assert add(browser, garden, api(answer=[SENSOR]))[0] == 302
    status, page = add(browser, garden, api(1, name="get_air", answer=[SENSOR]))
    assert (status, "Version 2 was saved in the meantime" in page) == (409, True)
    status, page = add(browser, garden, api(2, title="Other", answer=[SENSOR]))
    assert (status, "already" in page) == (400, True)
    assert list(services.document_of(OwnProfile.objects.get())["apis"]) == ["get_soil"]


def test_who_may_not_manage_adds_nothing(client: Client, account: Account, garden: OwnProfile) -> None:
    client.force_login(make_member(account, "olga", "operator"))
    assert add(client, garden, api(answer=[SENSOR]))[0] == 403


def test_more_rows_keep_what_was_typed_and_find_no_fault(browser: Client, garden: OwnProfile) -> None:
    odd = {"name": "Über", "type": "integer", "least": "x"}
    status, page = add(browser, garden, {**api(title="", answer=[odd, BLANK]), "more": "1"})
    assert (status, OwnProfile.objects.get().version) == (200, 1)
    assert (page.count("Über"), page.count('value="x"'), 'class="err"' in page) == (1, 1, False)
    assert "answer-4-name" in page  # two and three more
    for typed in ("x", "9" * 400, "-1", "100000"):
        assert add(browser, garden, {"more": "1", "fields-TOTAL_FORMS": typed})[0] == 200
    assert page.index("Add it") < page.index("More rows")  # Enter adds


def change(client: Client, profile: OwnProfile, name: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
    path = f"/devices/profiles/{profile.hex}/apis/{name}/edit/"
    answer = client.get(path) if body is None else client.post(path, body)
    return answer.status_code, answer.content.decode()


AIR = {"title": "Air", "kind": "get"}
FLOOR: dict[str, Any] = {
    "title": "Floor", "kind": "set", "tile": "custom", "help": "Which floor.", "timeout_s": 20,
    "fields": [{"name": "number", "type": "integer", "minimum": 0, "maximum": 3, "title": "Lift", "default": 1},
               {"name": "note", "type": "string", "max_bytes": 9, "required": False}],
    "answer": [{"name": "number", "type": "integer"}, {"name": "note", "type": "string"}], "echo": ["number"],
}  # fmt: skip


@pytest.fixture
def lift(account: Account) -> OwnProfile:
    apis = {"set_floor": FLOOR, "get_air": AIR, "bell": {"title": "Bell", "kind": "event"}}
    return services.make_profile(account=account, name="Lift", document={**blank("Lift", ""), "apis": apis})


def test_an_api_is_changed_in_the_form_and_what_the_form_does_not_speak_of_stays(browser: Client, lift: OwnProfile) -> None:
    status, page = change(browser, lift, "set_floor")
    assert (status, 'value="Floor"' in page, 'value="note"' in page) == (200, True, True)
    number = {"name": "number", "type": "integer", "least": "0", "most": "9"}
    note = {"name": "note", "type": "string", "most": "9"}
    body = api(name="set_level", title="Level", kind="set", fields=[number, note], answer=[number, note])
    assert change(browser, lift, "set_floor", body)[0] == 302
    apis = services.document_of(OwnProfile.objects.get())["apis"]
    assert list(apis) == ["set_level", "get_air", "bell"]
    fields = [{**FLOOR["fields"][0], "maximum": 9}, FLOOR["fields"][1]]
    answer = [
        {"name": "number", "type": "integer", "minimum": 0, "maximum": 9},
        {"name": "note", "type": "string", "max_bytes": 9},
    ]
    assert apis["set_level"] == {**FLOOR, "title": "Level", "fields": fields, "answer": answer}
    assert change(browser, lift, "set_floor")[0] == 404
    assert change(browser, lift, "get_air", api(2, name="set_level"))[0] == 400
    assert change(browser, lift, "get_air", api(1, name="get_air"))[0] == 409
    assert change(browser, lift, "bell")[0] == 302  # to the document


def test_an_api_is_removed_after_a_question_and_its_version_stays(browser: Client, lift: OwnProfile) -> None:
    path = f"/devices/profiles/{lift.hex}/apis/get_air/remove/"
    assert "Remove get_air from Lift?" in browser.get(path).content.decode()
    assert list(services.document_of(OwnProfile.objects.get())["apis"]) == ["set_floor", "get_air", "bell"]
    assert browser.post(path).status_code == 302
    assert list(services.document_of(OwnProfile.objects.get())["apis"]) == ["set_floor", "bell"]
    assert services.document_of(lift, 1)["apis"]["get_air"] == AIR
    assert browser.post(path).status_code == 404
