"""Devices in the API, from the request to the row."""

from __future__ import annotations

import io
import zipfile
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from accounts.access import Action
from accounts.models import Account, ApiToken, Role, User
from accounts.services import create_token
from devices import services
from devices.models import Certificate, Device
from devices.tests.factories import make_account, make_device, make_member

DEVICES = "/api/v1/devices"


def client_of(user: User, scope: str = ApiToken.Scope.MANAGE) -> APIClient:
    client = APIClient(raise_request_exception=True)
    _, secret = create_token(user=user, name=uuid4().hex, scopes=[scope])
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


@pytest.fixture
def alice(account: Account) -> User:
    return account.members.get()


@pytest.fixture
def api(alice: User) -> APIClient:
    return client_of(alice)


def path(device: Device, end: str = "") -> str:
    return f"{DEVICES}/{device.hex}{end}"


# --- registering -------------------------------------------------------------------------------------------------------------


def test_it_registers_a_device_and_gives_what_it_needs_once(api: APIClient, account: Account) -> None:
    answer = api.post(DEVICES, {"name": " Pump "})
    assert answer.status_code == 201
    assert answer["Cache-Control"] == "no-store"
    body = answer.json()
    device = Device.objects.get()
    assert (body["id"], body["name"], body["profile"], device.account) == (device.hex, "Pump", "standard", account)
    certificate = x509.load_pem_x509_certificate(body["certificate"].encode())
    key = load_pem_private_key(body["private_key"].encode(), None)
    assert key.public_key() == certificate.public_key()
    assert certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value == device.hex
    assert "private_key" not in api.get(path(device)).json()


def test_it_registers_with_another_profile_and_key(api: APIClient) -> None:
    answer = api.post(DEVICES, {"name": "Lamp", "profile": "ft900", "key_algorithm": "rsa"})
    assert (answer.status_code, answer.json()["profile"]) == (201, "ft900")
    assert Certificate.objects.get().key_algorithm == "rsa"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": None}, "name"),
        ({"name": 7}, "name"),
        ({"name": ["Pump"]}, "name"),
        ({"name": "a" * 81}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "\u202eabc"}, "name"),
        ({"name": "Pump", "profile": "nothing"}, "profile"),
        ({"name": "Pump", "profile": None}, "profile"),
        ({"name": "Pump", "profile": {}}, "profile"),
        ({"name": "Pump", "profile": "a\0"}, "profile"),
        ({"name": "Pump", "key_algorithm": "dsa"}, "key_algorithm"),
        ({"name": "Pump", "nmae": "Pump"}, "nmae"),
        ({"name": "Pump", "id": "0" * 32}, "id"),
        ([], "non_field_errors"),
    ],
)
def test_a_registration_that_is_not_right_is_400_and_names_the_field(api: APIClient, body: Any, field: str) -> None:
    answer = api.post(DEVICES, body)
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "invalid"
    assert list(answer.json()["errors"]) == [field]
    assert not Device.objects.exists()


def test_half_a_letter_is_400(api: APIClient) -> None:
    answer = api.post(DEVICES, data=b'{"name": "\\ud800"}', content_type="application/json")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["name"])


def test_a_name_that_is_taken_is_409(api: APIClient, account: Account) -> None:
    make_device(account, "Pump")
    answer = api.post(DEVICES, {"name": "pUMP"})
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")
    assert list(answer.json()["errors"]) == ["name"]


# --- reading -----------------------------------------------------------------------------------------------------------------


def test_the_list_has_the_callers_live_devices_alone(api: APIClient, account: Account) -> None:
    mine, gone = make_device(account, "Pump"), make_device(account, "Gone")
    make_device(make_account("bob"), "Bob's")
    services.delete_device(device=gone)
    body = api.get(DEVICES).json()
    assert [device["id"] for device in body["results"]] == [mine.hex]
    assert (body["next"], body["previous"]) == (None, None)


def test_the_list_is_found_by_name(api: APIClient, account: Account) -> None:
    pump = make_device(account, "Pump")
    make_device(account, "Pump 2")
    assert [device["id"] for device in api.get(DEVICES, {"name": "pUMP"}).json()["results"]] == [pump.hex]
    assert api.get(DEVICES, {"name": "%"}).json()["results"] == []
    assert api.get(DEVICES, {"name": ""}).json()["results"] == []


def test_pages_go_through_all_devices_forth_and_back(api: APIClient, account: Account) -> None:
    made = [make_device(account, f"Pump {number}").hex for number in range(7)]
    same = Device.objects.order_by("created_at").first()
    assert same is not None
    Device.objects.update(created_at=same.created_at)  # a page must not end between rows of the same time for good
    made.sort()
    seen: list[str] = []
    address, pages = f"{DEVICES}?page_size=3", []
    while address:
        body = api.get(address).json()
        seen += [device["id"] for device in body["results"]]
        pages.append(body)
        address = body["next"]
    assert seen == made
    assert [len(page["results"]) for page in pages] == [3, 3, 1]
    back = api.get(pages[-1]["previous"]).json()
    assert back["results"] == pages[1]["results"]
    assert back["next"] is not None
    first = api.get(back["previous"]).json()
    assert (first["results"], first["previous"]) == (pages[0]["results"], None)


def test_a_page_stays_right_while_devices_come_and_go(api: APIClient, account: Account) -> None:
    made = [make_device(account, f"Pump {number}") for number in range(4)]
    page = api.get(f"{DEVICES}?page_size=2").json()
    services.delete_device(device=made[0])
    services.delete_device(device=made[1])
    rest = api.get(page["next"]).json()
    assert [device["name"] for device in rest["results"]] == ["Pump 2", "Pump 3"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"page_size": "0"}, "page_size"),
        ({"page_size": "201"}, "page_size"),
        ({"page_size": "x"}, "page_size"),
        ({"page_size": "²"}, "page_size"),
        ({"page_size": "9" * 5000}, "page_size"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "\0"}, "cursor"),
        ({"cursor": "é" * 34}, "cursor"),
        ({"cursor": "AH" + "_" * 32}, "cursor"),
        ({"name": "a\0b"}, "name"),
        ({"name": "a" * 81}, "name"),
        ({"nmae": "Pump"}, "nmae"),
    ],
)
def test_a_parameter_that_is_not_right_is_400_and_named(api: APIClient, query: dict[str, str], field: str) -> None:
    answer = api.get(DEVICES, query)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


@pytest.mark.parametrize("number", [1, 20])
def test_the_list_takes_as_many_queries_for_many_as_for_one(
    api: APIClient, account: Account, django_assert_num_queries: DjangoAssertNumQueries, number: int
) -> None:
    for one in range(number):
        make_device(account, f"Pump {one}")
    api.get(DEVICES)  # the token's last use is written once a minute
    with django_assert_num_queries(4):  # the token, the devices, when the portal was watching, what was lost in the last day
        api.get(DEVICES)


def test_a_device_is_read_with_what_is_known_of_its_connection(api: APIClient, account: Account) -> None:
    device = make_device(account, "Pump")
    body = api.get(path(device)).json()
    assert (body["id"], body["name"], body["profile"]) == (device.hex, "Pump", "standard")
    assert body["presence"]["connected"] is False
    assert body["presence"]["running"] is None
    assert api.get(f"{DEVICES}/{device.pk}").json() == body  # an id with hyphens is the same id


# --- changing and deleting -----------------------------------------------------------------------------------------------------


def test_it_renames_and_changes_the_profile(api: APIClient, account: Account) -> None:
    device = make_device(account, "Pump")
    answer = api.patch(path(device), {"name": "Lamp", "profile": "modern"})
    assert (answer.status_code, answer.json()["name"], answer.json()["profile"]) == (200, "Lamp", "modern")
    device.refresh_from_db()
    assert (device.name, device.profile) == ("Lamp", "modern")
    assert api.patch(path(device), {}).json()["name"] == "Lamp"


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"name": "Taken"}, 409, "name"),
        ({"name": "Taken", "profile": "modern"}, 409, "name"),
        ({"name": "a\tb"}, 400, "name"),
        ({"name": None}, 400, "name"),
        ({"profile": "nothing", "name": "New"}, 400, "profile"),
        ({"presence": {}}, 400, "presence"),
    ],
)
def test_a_change_that_cannot_be_made_changes_nothing(
    api: APIClient, account: Account, body: Any, status: int, field: str
) -> None:
    device = make_device(account, "Pump")
    make_device(account, "Taken")
    answer = api.patch(path(device), body)
    assert (answer.status_code, list(answer.json()["errors"])) == (status, [field])
    device.refresh_from_db()
    assert (device.name, device.profile) == ("Pump", "standard")


def test_it_deletes_and_what_is_deleted_is_unknown(api: APIClient, account: Account) -> None:
    device = make_device(account, "Pump")
    answer = api.delete(path(device))
    assert (answer.status_code, answer.content) == (204, b"")
    assert not Device.objects.live().exists()
    assert Certificate.objects.get().status == Certificate.Status.REVOKED
    for method in ("get", "patch", "delete"):
        assert getattr(api, method)(path(device)).status_code == 404
    assert api.post(DEVICES, {"name": "Pump"}).status_code == 201


# --- files -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "begins", "filename"),
    [
        ("root-ca.pem", b"-----BEGIN CERTIFICATE", "root-ca.pem"),
        ("device.crt", b"-----BEGIN CERTIFICATE", "pump.crt"),
        ("device.key", b"-----BEGIN PRIVATE KEY", "pump.key"),
        ("device.zip", b"", "pump.zip"),
        ("iot_config.h", b"", "iot_config.h"),
    ],
)
def test_files_are_downloaded_whatever_is_accepted(
    api: APIClient, account: Account, name: str, begins: bytes, filename: str
) -> None:
    device = make_device(account, "Pump")
    for accepted in ("*/*", "application/zip", "text/html", "application/json"):
        answer = api.get(path(device, f"/files/{name}"), HTTP_ACCEPT=accepted)
        assert answer.status_code == 200
        assert answer.content.startswith(begins)
        assert answer["Content-Disposition"] == f'attachment; filename="{filename}"'
        assert answer["Cache-Control"] == "no-store"


def test_the_zip_has_the_devices_id(api: APIClient, account: Account) -> None:
    device = make_device(account, "Pump")
    with zipfile.ZipFile(io.BytesIO(api.get(path(device, "/files/device.zip")).content)) as whole:
        config = next(name for name in whole.namelist() if name.endswith("config.json"))
        assert device.hex in whole.read(config).decode()


def test_a_file_that_is_not_there_is_404_and_a_forgotten_key_409(api: APIClient, account: Account) -> None:
    device = make_device(account, "Pump")
    assert api.get(path(device, "/files/nothing")).status_code == 404
    assert api.get(path(device, "/files/%00")).status_code == 404
    services.forget_key(device=device)
    answer = api.get(path(device, "/files/device.key"))
    assert (answer.status_code, answer.json()["code"]) == (409, "key_unavailable")


# --- who may -----------------------------------------------------------------------------------------------------------------


def test_another_users_device_is_an_unknown_one(account: Account) -> None:
    device = make_device(account, "Pump")
    bob = client_of(make_account("bob").members.get())
    for method in ("get", "patch", "delete"):
        body = {"name": "Mine"} if method == "patch" else None
        theirs = getattr(bob, method)(path(device), body)
        unknown = getattr(bob, method)(f"{DEVICES}/{uuid4().hex}", body)
        assert (theirs.status_code, theirs.content) == (unknown.status_code, unknown.content)
        assert theirs.status_code == 404
    for name in ("device.crt", "device.key", "nothing"):
        assert bob.get(path(device, f"/files/{name}")).status_code == 404
    device.refresh_from_db()
    assert (device.name, device.deleted_at) == ("Pump", None)


@pytest.mark.parametrize("who", ["viewer", "operator", "read", "control"])
def test_reading_is_for_all_and_changing_for_those_who_manage(account: Account, alice: User, who: str) -> None:
    device = make_device(account, "Pump")
    member = who in Role.values
    api = client_of(make_member(account, "carol", who)) if member else client_of(alice, who)
    assert api.get(path(device)).status_code == 200
    assert api.get(path(device, "/files/device.crt")).status_code == 200
    for method, end in (("patch", ""), ("delete", ""), ("get", "/files/device.key"), ("get", "/files/device.zip")):
        answer = getattr(api, method)(path(device, end), {"name": "Mine"} if method == "patch" else None)
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied"), (method, end)
    if not member:
        assert api.post(DEVICES, {"name": "Lamp"}).status_code == 403
    device.refresh_from_db()
    assert (device.name, device.deleted_at) == ("Pump", None)


def test_nobody_gets_in_without_signing_in(account: Account) -> None:
    device = make_device(account, "Pump")
    for method, address in (("get", DEVICES), ("post", DEVICES), ("get", path(device)), ("delete", path(device))):
        answer = getattr(APIClient(), method)(address)
        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
        assert answer["WWW-Authenticate"] == 'Bearer realm="api"'


def test_a_viewer_registers_in_an_account_of_their_own(account: Account) -> None:
    carol = make_member(account, "carol", Role.VIEWER)
    assert client_of(carol).post(DEVICES, {"name": "Pump"}).status_code == 201
    assert not account.devices.exists()
    assert Device.objects.for_user(carol, Action.MANAGE).count() == 1


# --- profiles ------------------------------------------------------------------------------------------------------------------


def test_the_profiles_say_what_a_device_can_do(api: APIClient) -> None:
    body = api.get("/api/v1/profiles").json()
    assert [profile["slug"] for profile in body["results"]][0] == "standard"
    assert (body["next"], body["previous"]) == (None, None)
    standard = api.get("/api/v1/profiles/standard").json()
    assert {key: value for key, value in standard.items() if key != "document"} in body["results"]
    (pin,) = [one for one in standard["apis"] if one["name"] == "set_gpio"]
    assert [(field["name"], field["minimum"], field["maximum"]) for field in pin["fields"]] == [
        ("number", 0, 255),
        ("value", 0, 1),
    ]
    assert (standard["lane"], standard["errors"], standard["open"]) == ("api", False, True)


@pytest.mark.parametrize("slug", ["nothing", "..", "%00", "Standard", "a" * 300])
def test_an_unknown_profile_is_404(api: APIClient, slug: str) -> None:
    assert api.get(f"/api/v1/profiles/{slug}").status_code == 404
