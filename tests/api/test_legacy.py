"""A client written for the documented API years ago works unchanged against a running portal, device and mail server included."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from accounts.models import User
from accounts.services import create_user, log_in
from devices.downloads import device_zip
from devices.models import Device
from messaging import cache
from tests.api.live import DEADLINE_S, LivePortal, committed, free_port, until

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

PASSWORD = "green pump 42 runs"
_numbers = itertools.count()


class OldClient:
    """What old clients do: JSON bodies with all requests, GET included, and the login's token in whatever shape it came."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.who: dict[str, Any] = {}

    def ask(self, method: str, path: str, **fields: Any) -> requests.Response:
        answer = requests.request(method, f"{self.url}/api{path}", json={**self.who, **fields}, timeout=DEADLINE_S)
        assert answer.headers["content-type"] == "application/json"
        said = answer.json()
        assert said["status"] == ("OK" if answer.status_code == 200 else "NG")
        assert said["message"]
        return answer

    def good(self, method: str, path: str, **fields: Any) -> dict[str, Any]:
        answer = self.ask(method, path, **fields)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def bad(self, status: int, code: str, method: str, path: str, **fields: Any) -> dict[str, Any]:
        answer = self.ask(method, path, **fields)
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture(scope="module")
def mail_port(portal: LivePortal) -> Iterator[int]:
    """Have the portal's mails sent and caught; return the port of the page that shows them."""
    smtp, page = free_port(), free_port()
    portal.environment |= {"PORTAL_EMAIL_HOST": "127.0.0.1", "PORTAL_EMAIL_PORT": str(smtp)}
    portal.start("mail", "-m", "iotportal.embedded.mailcatcher", "--smtp-port", str(smtp), "--page-port", str(page))
    portal.start("worker", "-m", "celery", "-A", "iotportal", "worker", "-P", "solo", "--without-mingle", "--without-gossip")
    yield page
    portal.stop("worker")
    portal.stop("mail")


def mailed_code(port: int, to: str, number: int = 1) -> str:
    """Return the code of the `number`th mail to an address, once it is there."""

    def found() -> Any:
        try:
            mails = requests.get(f"http://127.0.0.1:{port}/messages.json", params={"to": to}, timeout=DEADLINE_S).json()
        except requests.ConnectionError:
            return None
        return mails if len(mails) >= number else None

    newest = until(found, f"mail {number} to {to}")[0]["id"]
    text = requests.get(f"http://127.0.0.1:{port}/messages/{newest}.json", timeout=DEADLINE_S).json()["text"]
    match = re.search(r"\b\d{6}\b", text)
    assert match, text
    return match[0]


def simulate(portal: LivePortal, folder: Path, device_id: str) -> str:
    """Run a simulator of the device; return the name of its process."""
    archive = folder / f"{device_id}.zip"

    def zipped() -> bytes:
        return device_zip(Device.objects.get(pk=device_id))

    archive.write_bytes(committed(zipped))
    name = f"simulator {next(_numbers)}"
    portal.start(name, str(archive), "-q", "--port", portal.environment["MQTT_PORT"], "--reboot-s", "0.05")
    return name


def test_the_session_of_an_old_client(portal: LivePortal, mail_port: int, tmp_path: Path) -> None:
    """From the sign-up to the end of the device, in the order in which the old documentation tells it."""
    client, mail = OldClient(portal.url), "carol@example.org"
    client.good("POST", "/user/sign_up", username="carol", password=PASSWORD, email=mail, givenname="Carol", familyname="Chen")
    client.bad(403, "email_not_confirmed", "POST", "/user/login", username="carol", password=PASSWORD)
    client.good("POST", "/user/confirm_sign_up", username="carol", confirmationcode=mailed_code(mail_port, mail))
    login = client.good("POST", "/user/login/", username="carol", password=PASSWORD)
    client.who = {"username": "carol", "access_token": login["token"]}

    assert client.good("GET", "/user")["familyname"] == "Chen"
    assert client.good("GET", "/user/subscription")["type"] == "Free"
    device = client.good("POST", "/devices/register_device", devicename="Pump", ecc=True)
    assert client.good("GET", "/devices/get_device_list")["devices"][0]["devicecert"] == device["devicecert"]
    assert client.good("GET", "/devices/get_device_list_count")["count"] == 1
    assert client.good("GET", "/devices/get_device_index", index=0)["deviceid"] == device["deviceid"]
    # In the life of a device that is not there, nothing hangs.
    client.bad(504, "device_timeout", "GET", "/devices/device/status", devicename="Pump", timeout=1)

    simulator = simulate(portal, tmp_path, device["deviceid"])
    status = {"devicename": "Pump", "timeout": 2}
    until(lambda: client.ask("GET", "/devices/device/status", **status).ok, "the device to answer")
    _control(client)
    for message in client.good("POST", "/user/histories", devicename="Pump")["histories"]:
        assert message["direction"] in {"To", "From"}  # there is no bridge here that would write any
    renewed = client.good("POST", "/user/refresh", refresh=login["token"]["refresh"])
    client.bad(401, "invalid_token", "GET", "/user")
    client.who["access_token"] = renewed["access_token"]

    client.good("POST", "/devices/unregister_device", devicename="Pump")
    client.bad(404, "not_found", "GET", "/devices/device/status", devicename="Pump")
    _forget_password(client, mail_port, mail)
    portal.stop(simulator)


def _control(client: OldClient) -> None:
    """Use every path of a device."""
    pump = {"devicename": "pump"}
    assert client.good("POST", "/devices/device/status", **pump)["value"] == "running"
    assert client.good("PUT", "/devices/device/gpio", **pump, number="10", value="1")["value"] == 1
    assert client.good("GET", "/devices/device/gpio/", **pump, number=10)["value"] == 1
    assert client.good("PUT", "/devices/device/rtc", **pump, value=1574000000)["value"] == 1574000000
    assert 1574000000 <= client.good("GET", "/devices/device/rtc", **pump)["value"] < 1574000100
    network = client.good("GET", "/devices/device/ethernet", **pump)
    for name in ("ip", "subnet", "gateway", "mac"):
        assert client.good("POST", f"/devices/device/{name}", **pump)["value"] == network[name]
    mac = "00:c0:ca:90:61:06"
    assert client.good("PUT", "/devices/device/mac", **pump, value=mac)["value"] == mac
    for method in ("PUT", "POST"):
        assert client.good(method, "/devices/device/uart", **pump, value="hello world")["value"] == "hello world"
    told = {"recipient": "alice@example.com", "message": "Water!"}
    for method, path in itertools.product(("PUT", "POST"), ("notifications", "notification")):
        assert client.good(method, f"/devices/device/{path}", **pump, **told)["value"] == told
    assert client.good("PUT", "/devices/device/status", **pump, value="restart")["value"] == "restarting"


def _forget_password(client: OldClient, mail_port: int, mail: str) -> None:
    """Lose the password, set another, and find that everything else has ended."""
    stranger = OldClient(client.url)
    stranger.good("POST", "/user/forgot_password", email=mail)
    body = {"username": "carol", "confirmation": mailed_code(mail_port, mail, 2), "password": "blue valve 7 opens"}
    stranger.good("POST", "/user/confirm_forgot_password", **body)
    client.bad(401, "invalid_token", "GET", "/user")
    login = stranger.good("POST", "/user/login", username=mail, password="blue valve 7 opens")
    client.who["access_token"] = login["access_token"]
    client.good("POST", "/user/logout")
    client.bad(401, "invalid_token", "GET", "/user")


# --- one path at a time ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(portal: LivePortal) -> OldClient:
    found = OldClient(portal.url)
    found.who = {
        "username": "alice",
        "access_token": committed(lambda: log_in(user=portal.user, ip=None, user_agent="").access),
    }
    return found


def path(name: str) -> str:
    return f"/devices/device/{name}"


WRONG: list[tuple[str, str, dict[str, Any], str]] = [
    ("GET", "gpio", {}, "number"),
    ("GET", "gpio", {"number": 256}, "number"),
    ("GET", "gpio", {"number": -1}, "number"),
    ("GET", "gpio", {"number": 1.5}, "number"),
    ("GET", "gpio", {"number": 10**30}, "number"),
    ("GET", "gpio", {"number": "ten"}, "number"),
    ("GET", "gpio", {"number": "\u0661"}, "number"),
    ("GET", "gpio", {"number": [10]}, "number"),
    ("GET", "gpio", {"number": True}, "number"),
    ("PUT", "gpio", {"number": 10}, "value"),
    ("PUT", "gpio", {"number": 10, "value": 2}, "value"),
    ("PUT", "gpio", {"number": 10, "value": True}, "value"),
    ("PUT", "gpio", {"number": 10, "value": "on"}, "value"),
    ("PUT", "gpio", {"number": 10, "value": {"a": 1}}, "value"),
    ("PUT", "gpio", {"number": 10, "value": None}, "value"),
    ("PUT", "rtc", {"value": -1}, "value"),
    ("PUT", "rtc", {"value": 2**32}, "value"),
    ("PUT", "rtc", {"value": "noon"}, "value"),
    ("PUT", "status", {}, "value"),
    ("PUT", "status", {"value": "stop"}, "value"),
    ("PUT", "mac", {"value": 7}, "value"),
    ("POST", "uart", {}, "value"),
    ("POST", "uart", {"value": 7}, "value"),
    ("POST", "uart", {"value": "a\0b"}, "value"),
    ("POST", "uart", {"value": "x" * 17_000}, "value"),
    ("POST", "notifications", {"message": "m"}, "recipient"),
    ("POST", "notifications", {"recipient": "a@example.com", "message": ["m"]}, "message"),
    ("GET", "status", {"timeout": 0.9}, "timeout"),
    ("GET", "status", {"timeout": 31}, "timeout"),
    ("GET", "status", {"timeout": "5"}, "timeout"),
    ("GET", "status", {"timeout": True}, "timeout"),
    ("GET", "status", {"timeout": [5]}, "timeout"),
]


@pytest.mark.parametrize(("method", "name", "fields", "wrong"), WRONG)
def test_a_field_that_is_not_right_is_named(
    client: OldClient, method: str, name: str, fields: dict[str, Any], wrong: str
) -> None:
    said = client.bad(400, "invalid", method, path(name), devicename="Pump", **fields)
    assert wrong in said["errors"]


READS = ("status", "rtc", "ethernet", "ip", "subnet", "gateway", "mac", "gpio")
ALL = [
    *(("GET", name) for name in READS),
    *(("PUT", name) for name in ("gpio", "rtc", "mac", "status", "uart")),
    *(("POST", name) for name in ("uart", "notifications", "notification")),
]
FIELDS: dict[str, dict[str, Any]] = {
    "gpio": {"number": 3, "value": 1},
    "rtc": {"value": 1},
    "mac": {"value": "00:c0:ca:90:61:05"},
    "status": {"value": "restart"},
    "uart": {"value": "x"},
    "notifications": {"recipient": "a@example.com", "message": "m"},
}
FIELDS["notification"] = FIELDS["notifications"]


@pytest.mark.parametrize(("method", "name"), ALL)
def test_every_command_has_the_same_refusals(portal: LivePortal, client: OldClient, method: str, name: str) -> None:
    fields = FIELDS.get(name, {})
    for named in ({"devicename": "Nothing"}, {"deviceid": portal.unknown}, {"devicename": "Рump"}):
        assert client.bad(404, "not_found", method, path(name), **fields, **named)["message"] == "No such device."
    client.bad(400, "invalid", method, path(name), **fields)
    anybody = OldClient(portal.url)
    anybody.bad(401, "not_authenticated", method, path(name), username="alice", devicename="Pump", **fields)
    mallory = {"username": "mallory", "access_token": portal.stranger_secret}
    for named in ({"devicename": "Pump"}, {"deviceid": portal.device.hex}):
        anybody.bad(404, "not_found", method, path(name), **mallory, **fields, **named)
    anybody.bad(401, "invalid_token", method, path(name), **{**client.who, "username": "mallory"}, devicename="Pump", **fields)


@pytest.fixture
def valkey(portal: LivePortal) -> Iterator[Any]:
    """Return the portal's Valkey; what the test sets is gone afterwards."""
    found = cache.client()
    before = set(found.scan_iter("*"))
    yield found
    for key in set(found.scan_iter("*")) - before:
        found.delete(key)


def test_a_device_that_is_not_connected_is_one_that_does_not_answer(portal: LivePortal, client: OldClient, valkey: Any) -> None:
    valkey.set(cache.BRIDGE_ALIVE, "1", ex=30)
    valkey.set(cache.presence_key(portal.device.hex), "0")
    said = client.bad(504, "device_timeout", "GET", path("status"), devicename="Pump")
    assert "not connected" in said["message"]


def test_a_silent_device_is_504_after_the_callers_timeout(portal: LivePortal, client: OldClient) -> None:
    portal.stop("devices")
    try:
        began = time.monotonic()
        client.bad(504, "device_timeout", "POST", path("mac"), devicename="Pump", timeout=1)
        client.bad(504, "device_timeout", "POST", path("mac"), devicename="Pump", timeout=1)  # busy with the first one's grace
        assert time.monotonic() - began < DEADLINE_S
    finally:
        zips = itertools.chain.from_iterable(("--zip", str(portal.folder / f"{one}.zip")) for one in ("Pump", "Lamp"))
        portal.start("devices", "-m", "simulators.mqtt", "-q", "--reboot-s", "0.05", *zips)
        portal.wait_for_answers()


def test_without_messages_left_it_is_402(portal: LivePortal, client: OldClient, valkey: Any) -> None:
    key = f"quota:{portal.device.account_id.hex}:{time.strftime('%Y%m', time.gmtime())}"
    before = valkey.get(key)
    valkey.set(key, 10**9)
    said = client.good("GET", "/user/subscription")
    client.bad(402, "quota_exceeded", "GET", path("rtc"), devicename="Pump")
    valkey.set(key, before or 0)
    assert (said["used"], said["left"]) == (10**9, 0)


def test_an_answer_that_cannot_be_read_is_502(client: OldClient) -> None:
    client.bad(502, "malformed_answer", "GET", path("status"), devicename="Fan")


def test_too_many_commands_are_429_with_the_time_to_wait(portal: LivePortal, client: OldClient, valkey: Any) -> None:
    minute = int(time.time() // 60)
    for one in (minute, minute + 1):
        valkey.set(f"rate:{portal.user.pk}:{one}", 10**9)
    answer = client.ask("GET", path("rtc"), devicename="Pump")
    for one in (minute, minute + 1):
        valkey.delete(f"rate:{portal.user.pk}:{one}")
    assert (answer.status_code, answer.json()["code"]) == (429, "throttled")
    assert int(answer.headers["retry-after"]) > 0


def test_without_the_broker_it_is_503(portal: LivePortal, client: OldClient) -> None:
    portal.stop("broker")
    try:
        client.bad(503, "broker_unavailable", "GET", path("status"), devicename="Pump", timeout=1)
    finally:
        portal.start_broker()
        portal.wait_for_answers()


@pytest.mark.parametrize("size", [70_000, 3_000_000])
@pytest.mark.parametrize("where", ["/user/login", "/devices", "/devices/device/gpio/", "/user/nothing"])
def test_a_huge_body_is_413_in_the_same_shape(portal: LivePortal, where: str, size: int) -> None:
    for data in (b" " * size, iter([b" " * size])):
        answer = requests.post(f"{portal.url}/api{where}", data=data, timeout=DEADLINE_S)
        assert answer.status_code == 413
        assert answer.json() == {"status": "NG", "message": "The body may have 64 KiB.", "code": "too_large"}


def test_two_clients_who_ask_for_two_pins_at_once_each_get_their_own(portal: LivePortal, client: OldClient) -> None:
    for number in (20, 21):
        client.good("PUT", path("gpio"), devicename="Pump", number=number, value=number % 2)

    def read(number: int) -> int:
        return int(client.good("GET", path("gpio"), devicename="Pump", number=number, timeout=20)["value"])

    with ThreadPoolExecutor(8) as threads:
        pins = [20, 21] * 20
        assert list(threads.map(read, pins)) == [pin % 2 for pin in pins]


def test_a_login_token_works_in_the_raw_handler_and_dies_there_at_once(portal: LivePortal) -> None:
    tokens = committed(lambda: log_in(user=portal.user, ip=None, user_agent=""))
    status = f"{portal.device_path}/status"
    answer = portal.ask("GET", status, tokens.access)
    assert (answer.status_code, "vary" in answer.headers) == (200, False)
    assert requests.post(
        f"{portal.url}/api/user/logout", json={"username": "alice", "access_token": tokens.access}, timeout=DEADLINE_S
    ).ok
    assert portal.ask("GET", status, tokens.access).status_code == 401


def test_a_renewed_login_leaves_no_old_token_in_the_raw_handler(portal: LivePortal) -> None:
    tokens = committed(lambda: log_in(user=portal.user, ip=None, user_agent=""))
    status = f"{portal.device_path}/status"
    assert portal.ask("GET", status, tokens.access).ok
    renewed = requests.post(f"{portal.url}/api/user/refresh", json={"refresh": tokens.refresh}, timeout=DEADLINE_S).json()
    assert portal.ask("GET", status, tokens.access).status_code == 401
    assert portal.ask("GET", status, renewed["access_token"]).ok


def test_a_hundred_logins_at_once_all_work_or_are_told_to_wait(portal: LivePortal, valkey: Any) -> None:
    def make() -> User:
        user = create_user(username="dora", email="dora@example.com", password="x", first_name="Dora", last_name="D")
        hashed = PBKDF2PasswordHasher().encode(PASSWORD, "salt" * 6)  # the tests' own quick hash is none that the portal takes
        User.objects.filter(pk=user.pk).update(password=hashed)
        return user

    def sign_in(_: int) -> tuple[int, str | None]:
        body = json.dumps({"username": "dora", "password": PASSWORD})
        answer = requests.post(f"{portal.url}/api/user/login", data=body, timeout=120)
        return answer.status_code, answer.headers.get("retry-after")

    dora = committed(make)
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(sign_in, range(100)))
    logins = committed(lambda: dora.api_tokens.count())
    committed(lambda: (dora.memberships.get().account.delete(), dora.delete()))
    assert {status for status, _ in answers} == {200, 429}
    assert all(int(wait or 0) > 0 for status, wait in answers if status == 429)
    assert logins == sum(status == 200 for status, _ in answers)
