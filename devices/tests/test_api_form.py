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
