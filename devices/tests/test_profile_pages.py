"""The pages about kinds of devices."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from accounts.models import Account, Role
from devices import services
from devices.models import OwnProfile
from devices.profile_documents import with_api
from devices.profiles import all_profiles, resolved
from devices.tests.factories import make_account, make_device, make_member

SOIL: dict[str, Any] = {
    "title": "Soil & roots",
    "kind": "get",
    "tile": "form",
    "timeout_s": 10,
    "fields": [{"name": "number", "type": "integer", "minimum": 0, "maximum": 7}],
    "answer": [{"name": "value", "type": "number", "unit": "%"}],
}


@pytest.fixture
def account(db: None, pki: object) -> Account:
    return make_account("alice")


@pytest.fixture
def browser(account: Account, client: Client) -> Client:
    client.force_login(account.members.get())
    return client


@pytest.fixture
def garden(account: Account) -> OwnProfile:
    document = with_api(resolved("standard"), "get_soil", SOIL)
    return services.make_profile(account=account, name="Garden", document=document)


def path(profile: OwnProfile | str, rest: str = "") -> str:
    return f"/devices/profiles/{profile if isinstance(profile, str) else profile.hex}/{rest}"


def html(client: Client, where: str, status: int = 200) -> str:
    answer = client.get(where)
    assert answer.status_code == status
    return answer.content.decode()


def edited(profile: OwnProfile, **changes: Any) -> dict[str, Any]:
    return {"document": json.dumps({**services.document_of(profile), **changes}), "version": profile.version}


def test_the_list_has_ones_own_first_and_links_to_what_each_can_do(browser: Client, garden: OwnProfile) -> None:
    page = html(browser, "/devices/profiles/")
    assert page.index(path(garden)) < page.index(path("standard"))
    assert all(path(one.slug) in page for one in all_profiles())


def test_the_page_of_a_profile_documents_every_api_and_field(browser: Client, garden: OwnProfile) -> None:
    page = html(browser, path(garden))
    for text in (
        "Soil &amp; roots",
        "GET /api/v1/devices/ID/apis/get_soil",
        "it may take 10 s",
        "0 to 7",
        "value</code> number, %",
    ):
        assert text in page
    assert "does not listen for 0.15 s" in html(browser, path("ft900"))


def test_the_file_of_a_profile_is_its_document(browser: Client, garden: OwnProfile) -> None:
    answer = browser.get(path(garden, "profile.json"))
    assert json.loads(answer.content) == services.document_of(garden)
    assert answer["content-disposition"] == 'attachment; filename="garden.json"'


def test_a_new_profile_begins_as_a_copy_and_opens_in_the_editor(browser: Client, account: Account) -> None:
    assert '<option value="ft900" selected>' in html(browser, "/devices/profiles/new/?copy=ft900")
    answer = browser.post("/devices/profiles/new/", {"name": "Small one", "begin": "ft900"})
    made = OwnProfile.objects.get(account=account)
    assert (answer.status_code, answer["location"]) == (302, path(made, "edit/"))
    assert services.document_of(made)["payload_limit_bytes"] == 128
    assert '"payload_limit_bytes": 128' in html(browser, path(made, "edit/")).replace("&quot;", '"')


@pytest.mark.parametrize("name", ["", "x" * 61, "a\u202eb"])
def test_a_name_that_cannot_be_had_is_said_at_the_field(browser: Client, name: str) -> None:
    answer = browser.post("/devices/profiles/new/", {"name": name, "begin": ""})
    assert answer.status_code == 400
    assert 'class="err"' in answer.content.decode()
    assert not OwnProfile.objects.exists()


def test_saving_makes_a_version_and_an_older_one_can_be_taken_back(browser: Client, garden: OwnProfile) -> None:
    assert browser.post(path(garden, "edit/"), edited(garden, name="Orchard")).status_code == 302
    garden.refresh_from_db()
    assert (garden.version, garden.name) == (2, "Orchard")
    page = html(browser, path(garden, "edit/") + "?version=1").replace("&quot;", '"')
    assert '"name": "Garden"' in page
    assert 'name="version" value="2"' in page
    for odd in ("99", "x", "-1", "9" * 30):
        assert '"name": "Orchard"' in html(browser, path(garden, "edit/") + f"?version={odd}").replace("&quot;", '"')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "The document is empty."),
        ("{", "This is not JSON: line 1, character 2."),
        ("[]", "A profile is a JSON object"),
        ('{"slug": "garden", "slug": "x"}', "comes twice"),
        ('{"slug": "garden", "name": "G", "apis": {"get_<b>": {"title": "x", "kind": "get"}}}', "apis.get_&lt;b&gt;"),
        ("[" * 60_000, "This is "),
        (" " * 200_001, "at most 196608 characters"),
    ],
)
def test_what_is_wrong_with_a_document_is_said_by_its_place_and_the_text_stays(
    browser: Client, garden: OwnProfile, text: str, said: str
) -> None:
    answer = browser.post(path(garden, "edit/"), {"document": text, "version": "1"})
    page = answer.content.decode()
    assert answer.status_code == 400
    assert said in page
    garden.refresh_from_db()
    assert garden.version == 1


def test_of_two_who_edit_the_second_is_told_and_loses_nothing(browser: Client, garden: OwnProfile) -> None:
    mine, theirs = edited(garden, description="Mine"), edited(garden, description="Theirs")
    assert browser.post(path(garden, "edit/"), theirs).status_code == 302
    answer = browser.post(path(garden, "edit/"), mine)
    assert answer.status_code == 409
    assert "Version 2 was saved in the meantime." in answer.content.decode()
    assert "Mine" in answer.content.decode()


def test_a_profile_that_devices_have_is_kept(browser: Client, account: Account, garden: OwnProfile) -> None:
    pump = make_device(account, "Pump", profile="garden")
    assert "It goes with all its versions." in html(browser, path(garden, "delete/"))
    answer = browser.post(path(garden, "delete/"))
    assert answer.status_code == 409
    assert "1 device has this profile." in answer.content.decode()
    services.delete_device(device=pump)
    assert browser.post(path(garden, "delete/"))["location"] == "/devices/profiles/"
    assert not OwnProfile.objects.exists()


def test_a_shipped_profile_can_be_read_and_nothing_else(browser: Client) -> None:
    assert "Delete…" not in html(browser, path("standard"))
    for rest in ("edit/", "delete/"):
        assert browser.get(path("standard", rest)).status_code == 403


def test_another_accounts_profile_is_one_that_there_is_not(garden: OwnProfile) -> None:
    client = Client()
    client.force_login(make_account("mallory").members.get())
    assert garden.hex not in html(client, "/devices/profiles/")
    for rest in ("", "edit/", "delete/", "profile.json"):
        assert client.get(path(garden, rest)).status_code == 404
        assert client.get(path("0" * 32, rest)).status_code == 404
    answer = client.post("/devices/profiles/new/", {"name": "Copy", "begin": garden.hex})
    assert answer.status_code == 400


def test_a_viewer_reads_and_changes_nothing(account: Account, garden: OwnProfile) -> None:
    client = Client()
    client.force_login(make_member(account, "vera", Role.VIEWER))
    page = html(client, path(garden))
    assert "Edit" not in page
    assert "Delete…" not in page
    assert client.post(path(garden, "edit/"), edited(garden, name="Hers")).status_code == 403
    assert client.post(path(garden, "delete/")).status_code == 403
