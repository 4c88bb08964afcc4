"""`/api/devices/…`, the documented API: the registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from accounts.models import Account, Membership, Role, User
from accounts.services import create_token, log_in
from devices.models import Certificate, Device
from devices.services import forget_key, register_device
from devices.tests.factories import make_account, make_device, make_member

REGISTER = ("/register_device", "/device", "")
UNREGISTER = (("POST", "/unregister_device"), ("DELETE", "/device"), ("DELETE", ""))
LISTS = (("POST", "/get_device_list"), ("GET", "/get_device_list"), ("GET", ""), ("PATCH", ""))
READS = (("GET", "/device"), ("PATCH", "/device"), ("GET", ""), ("PATCH", ""))


class Program:
    """A client that has signed in."""

    def __init__(self, user: User, scope: str = "") -> None:
        token = create_token(user=user, name="x", scopes=[scope])[1] if scope else ""
        self.who = {
            "username": user.username,
            "access_token": token or log_in(user=user, ip=None, user_agent="").access,
        }

    def __call__(self, path: str, method: str = "POST", **body: Any) -> Any:
        data = json.dumps({**self.who, **body})
        answer = Client().generic(method, f"/api/devices{path}", data, "application/json")
        said = answer.json()
        assert said["status"] == ("OK" if answer.status_code == 200 else "NG")
        assert said["message"]
        return answer


@pytest.fixture
def alice(account: Account) -> User:
    return account.members.get()


@pytest.fixture
def program(alice: User) -> Program:
    return Program(alice)


def refused(answer: Any, status: int, code: str) -> Any:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.content
    return answer.json()


def organisation(name: str, user: User, role: str = Role.OWNER) -> Account:
    made = Account.objects.create(kind=Account.Kind.ORGANISATION, name=name)
    Membership.objects.create(account=made, user=user, role=role)
    return made


# --- registering -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("path", REGISTER)
def test_a_device_is_registered_with_what_it_needs_in_both_spellings(
    program: Program, account: Account, path: str, slash: str
) -> None:
    answer = program(path + slash, devicename="Pump")

    assert answer["Cache-Control"] == "no-store"
    said = answer.json()
    device = Device.objects.get()
    assert (device.name, device.account, said["devicename"], said["deviceid"]) == ("Pump", account, "Pump", device.hex)
    certificate = x509.load_pem_x509_certificate(said["devicecert"].encode())
    key = load_pem_private_key(said["devicepkey"].encode(), None)
    assert key.public_key() == certificate.public_key()
    x509.load_pem_x509_certificate(said["rootca"].encode())
    old = said["device"]
    assert old == {"name": "Pump", "id": device.hex, "ca": said["rootca"], "cert": said["devicecert"], "pkey": said["devicepkey"]}


@pytest.mark.parametrize(
    ("ecc", "kind"),
    [({}, ec.EllipticCurvePrivateKey), ({"ecc": True}, ec.EllipticCurvePrivateKey), ({"ecc": 1}, ec.EllipticCurvePrivateKey),
     ({"ecc": None}, ec.EllipticCurvePrivateKey), ({"ecc": False}, rsa.RSAPrivateKey), ({"ecc": "false"}, rsa.RSAPrivateKey)],
)  # fmt: skip
def test_the_key_is_what_the_client_asked_for(program: Program, ecc: dict[str, Any], kind: type[object]) -> None:
    said = program("/register_device", devicename="Pump", **ecc).json()
    assert isinstance(load_pem_private_key(said["devicepkey"].encode(), None), kind)


@pytest.mark.parametrize("path", REGISTER)
def test_a_name_that_is_taken_is_409(program: Program, account: Account, path: str) -> None:
    make_device(account, "Pump")
    refused(program(path, devicename="pUMP"), 409, "name_taken")


@pytest.mark.parametrize(
    "name", [None, "", " ", 7, ["Pump"], {"a": 1}, True, "a\0b", "a\nb", "\u202e", "\ud800", "x" * 81, "x" * 2000]
)
def test_a_name_that_cannot_be_is_400(program: Program, name: Any) -> None:
    assert list(refused(program("/register_device", devicename=name), 400, "invalid")["errors"]) == ["devicename"]
    assert not Device.objects.exists()


@pytest.mark.parametrize("ecc", ["x", 7, [], {}])
def test_an_ecc_that_is_neither_is_400(program: Program, ecc: Any) -> None:
    assert list(refused(program("/register_device", devicename="Pump", ecc=ecc), 400, "invalid")["errors"]) == ["ecc"]


# --- unregistering -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), UNREGISTER)
def test_a_device_is_unregistered_and_its_certificate_revoked(program: Program, account: Account, method: str, path: str) -> None:
    device = make_device(account, "Pump")
    assert program(path, method, devicename="pump").status_code == 200

    device.refresh_from_db()
    assert device.deleted_at is not None
    assert {one.status for one in device.certificates.all()} == {Certificate.Status.REVOKED}
    refused(program(path, method, devicename="pump"), 404, "not_found")


@pytest.mark.parametrize(("method", "path"), UNREGISTER)
def test_nothing_is_unregistered_without_a_name(program: Program, account: Account, method: str, path: str) -> None:
    make_device(account, "Pump")
    assert list(refused(program(path, method), 400, "invalid")["errors"]) == ["devicename"]
    assert Device.objects.live().exists()


# --- reading -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), LISTS)
def test_the_list_has_all_devices_in_the_order_of_registration(
    program: Program, account: Account, method: str, path: str
) -> None:
    pump, lamp = make_device(account, "Pump"), make_device(account, "Lamp")
    said = program(path, method).json()

    assert [one["deviceid"] for one in said["devices"]] == [pump.hex, lamp.hex]
    assert set(said["devices"][0]) == {"devicename", "deviceid", "rootca", "devicecert", "devicepkey"}
    assert "PRIVATE KEY" in said["devices"][0]["devicepkey"]
    for one in ("POST", "GET"):
        assert program("/get_device_list_count", one).json()["count"] == 2


def test_without_devices_the_list_is_empty(program: Program) -> None:
    assert program("/get_device_list").json()["devices"] == []
    assert program("/get_device_list_count").json()["count"] == 0
    refused(program("/get_device_index", index=0), 404, "not_found")


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_an_index_counts_from_0(program: Program, account: Account, method: str) -> None:
    devices = [make_device(account, name) for name in ("Pump", "Lamp")]
    for index, device in enumerate(devices):
        said = program("/get_device_index", method, index=index).json()
        assert (said["deviceid"], said["device"]["id"]) == (device.hex, device.hex)
    refused(program("/get_device_index", method, index=2), 404, "not_found")


@pytest.mark.parametrize("index", [None, -1, 2**31, 10**30, 0.0, 1.5, "0", "x", True, [], {}, ""])
def test_an_index_that_is_none_is_400(program: Program, account: Account, index: Any) -> None:
    make_device(account, "Pump")
    assert list(refused(program("/get_device_index", index=index), 400, "invalid")["errors"]) == ["index"]


@pytest.mark.parametrize(("method", "path"), READS)
def test_a_device_is_read_by_name_or_id(program: Program, account: Account, method: str, path: str) -> None:
    device = make_device(account, "Pümp")
    for named in ({"devicename": "PÜMP"}, {"devicename": "Pu\u0308mp "}, {"deviceid": device.hex}, {"deviceid": str(device.pk)}):
        assert program(path, method, **named).json()["deviceid"] == device.hex


def test_a_key_that_is_not_kept_is_null(program: Program, account: Account) -> None:
    device = make_device(account, "Pump")
    forget_key(device=device)
    said = program("/device", "GET", devicename="Pump").json()

    assert said["devicepkey"] is said["device"]["pkey"] is None
    assert "CERTIFICATE" in said["devicecert"]


def test_a_key_that_does_not_open_is_null(program: Program, account: Account) -> None:
    make_device(account, "Pump")
    Certificate.objects.update(sealed_key=b"\x01nonsense")
    assert program("/get_device_list").json()["devices"][0]["devicepkey"] is None


NAMED = [*UNREGISTER, *READS]


@pytest.mark.parametrize("name", ["Nothing", "Pump", "Pump\u200b", "Рump", "x" * 80, "a\nb"])
def test_anothers_device_and_one_that_is_not_answer_alike(program: Program, name: str) -> None:
    make_device(make_account("bob"), "Pump")
    for method, path in NAMED:
        answers = [
            program(path, method, **named) for named in ({"devicename": name}, {"devicename": "No such"}, {"deviceid": "0" * 32})
        ]
        assert {(one.status_code, one.content) for one in answers} == {(404, answers[0].content)}
    assert Device.objects.live().count() == 1


def test_anothers_device_is_unknown_by_its_id(program: Program) -> None:
    device = make_device(make_account("bob"), "Pump")
    for method, path in NAMED:
        for one in (device.hex, str(device.pk), "x", "\u0660" * 32, "-" * 36):
            refused(program(path, method, deviceid=one), 404, "not_found")


@pytest.mark.parametrize("field", ["devicename", "deviceid"])
@pytest.mark.parametrize("value", [7, ["Pump"], {"a": 1}, True, "", "a\0b", "\ud800", "x" * 100])
def test_a_name_or_id_of_another_kind_is_400(program: Program, field: str, value: Any) -> None:
    for method, path in NAMED:
        assert list(refused(program(path, method, **{field: value}), 400, "invalid")["errors"]) == [field]


# --- several accounts --------------------------------------------------------------------------------------------------------


def test_ones_own_device_goes_before_those_of_organisations(program: Program, account: Account, alice: User) -> None:
    make_device(organisation("Waterworks", alice), "Pump")
    own = make_device(account, "pump")
    make_device(organisation("Farm", alice), "PUMP")
    assert program("/device", "GET", devicename="Pump").json()["deviceid"] == own.hex


def test_a_name_that_means_several_is_409_and_an_id_helps(program: Program, alice: User) -> None:
    one, other = (make_device(organisation(name, alice), "Pump") for name in ("Waterworks", "Farm"))
    for method, path in NAMED:
        assert "deviceid" in refused(program(path, method, devicename="Pump"), 409, "name_ambiguous")["message"]
    assert program("/device", "GET", deviceid=other.hex).json()["deviceid"] == other.hex
    assert one.hex in {found["deviceid"] for found in program("/get_device_list").json()["devices"]}


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_a_member_who_only_looks_sees_no_key_and_deletes_nothing(account: Account, role: str) -> None:
    device = make_device(account, "Pump")
    program = Program(make_member(account, "bob", role))

    assert program("/get_device_list").json()["devices"][0]["devicepkey"] is None
    assert program("/device", "GET", devicename="Pump").json()["device"]["pkey"] is None
    assert program("/get_device_index", index=0).json()["devicepkey"] is None
    for method, path in UNREGISTER:
        refused(program(path, method, devicename="Pump"), 403, "permission_denied")
    device.refresh_from_db()
    assert device.deleted_at is None


@pytest.mark.parametrize(
    ("scope", "sees", "key"), [("read", 200, False), ("control", 200, False), ("manage", 200, True), ("billing", 403, False)]
)
def test_a_personal_token_does_what_its_scope_says(account: Account, alice: User, scope: str, sees: int, key: bool) -> None:
    make_device(account, "Pump")
    program = Program(alice, scope)
    for method, path in LISTS:
        answer = program(path, method)
        assert answer.status_code == sees
        assert ("PRIVATE KEY" in answer.content.decode()) == key
    for path in REGISTER:
        assert program(path, devicename=f"Lamp {path}").status_code == (200 if key else 403)
    for method, path in UNREGISTER:
        assert program(path, method, devicename="Nothing").status_code == (404 if key else 403)


@pytest.mark.parametrize("number", [1, 12])
def test_a_list_takes_as_many_queries_for_many_devices_as_for_one(
    program: Program, account: Account, number: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for one in range(number):
        make_device(account, f"Pump {one}")
    program("/get_device_list")
    with django_assert_num_queries(4):  # the token, the roles, the devices, their certificates
        program("/get_device_list")


def test_every_path_wants_a_token(pki: Path, db: None) -> None:
    paths = [("POST", path) for path in REGISTER] + [
        *NAMED,
        *LISTS,
        ("POST", "/get_device_list_count"),
        ("POST", "/get_device_index"),
    ]
    for method, path in paths:
        answer = Client().generic(method, f"/api/devices{path}", b'{"username": "alice", "index": 0}', "application/json")
        refused(answer, 401, "not_authenticated")
        assert answer["WWW-Authenticate"] == 'Bearer realm="api"'


def test_a_path_takes_the_methods_it_has(program: Program) -> None:
    for path, method in [("/register_device", "GET"), ("/unregister_device", "GET"), ("/unregister_device", "DELETE"),
                         ("/get_device_list", "PUT"), ("/device", "PUT"), ("", "PUT"), ("", "OPTIONS")]:  # fmt: skip
        refused(program(path, method, devicename="Pump"), 405, "method_not_allowed")
    refused(program("/nothing"), 404, "not_found")


def test_register_device_is_the_service_of_the_page(program: Program, account: Account) -> None:
    """A device registered elsewhere is found here, and the other way round."""
    program("/register_device", devicename="Pump")
    register_device(account=account, name="Lamp")
    assert [one["devicename"] for one in program("/get_device_list").json()["devices"]] == ["Pump", "Lamp"]
