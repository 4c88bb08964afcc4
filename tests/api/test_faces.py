"""The raw handler (a token) and DRF (a signed-in browser) are two faces of one API: the same question gets the same answer."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from django.conf import settings

from messaging import cache
from tests.api.live import LivePortal, until

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

JSON = {"Content-Type": "application/json"}
DEEP = b"[" * 40_000
Question = tuple[str, str, Any]

GOOD: list[Question] = [
    ("POST", "commands", {"api": "get_gpio", "arguments": {"number": 10}}),
    ("POST", "commands", {"api": "get_gpio", "arguments": {"number": "10"}, "timeout": 2.5}),
    ("POST", "commands?timeout=3", {"api": "get_status"}),
    ("POST", "commands", {"api": "get_status", "arguments": {}, "timeout": None}),
    ("GET", "status", None),
    ("GET", "gpio/10", None),
    ("GET", "gpio/255?timeout=30", None),
    ("PUT", "gpio/10", {"value": 1}),
    ("GET", "rtc", None),
    ("PUT", "rtc", {"value": 4294967295}),
    ("GET", "ethernet", None),
    ("POST", "uart", {"value": ""}),
    ("POST", "uart", {"value": 'say "hé 👋"\n'}),
    ("POST", "notifications", {"recipient": "alice@example.com", "message": "Water!"}),
    ("GET", "apis/get_gpio?number=10", None),
    ("GET", "apis/get_rtc?timeout=3&format=json", None),
    ("PUT", "apis/set_gpio?timeout=4", {"number": 10, "value": 1}),
    ("PUT", "apis/write_uart", {"value": "hello"}),
    ("POST", "restart", None),
    ("POST", "restart", {}),
]
BAD: list[tuple[str, str, Any, int]] = [
    ("POST", "commands", b"{", 400),
    ("POST", "commands", b"[]", 400),
    ("POST", "commands", b"7", 400),
    ("POST", "commands", b"\xff\xfe", 400),
    ("POST", "commands", '{"api": "get_status"}'.encode("utf-16"), 400),
    ("POST", "commands", b'{"api": NaN}', 400),
    ("POST", "commands", DEEP, 400),
    ("POST", "commands", None, 400),
    ("POST", "commands", {"api": 7}, 400),
    ("POST", "commands", {"api": "get gpio"}, 400),
    ("POST", "commands", {"api": "get_gpio\0"}, 400),
    ("POST", "commands", {"api": "x" * 65}, 400),
    ("POST", "commands", {"api": "get_gpio", "arguments": None}, 400),
    ("POST", "commands", {"api": "get_gpio", "arguments": {}}, 400),
    ("POST", "commands", {"api": "get_gpio", "arguments": {"number": 256}}, 400),
    ("POST", "commands", {"api": "get_gpio", "arguments": {"number": 1}, "timeout": 31}, 400),
    ("POST", "commands", {"api": "get_gpio", "arguments": {"number": 1}, "timeout": "5"}, 400),
    ("POST", "commands", {"api": "get_gpio", "arguments": {"number": 1}, "timeout": True}, 400),
    ("POST", "commands", b'{"api": "get_status", "timeout": 1e999}', 400),
    ("POST", "commands", {"api": "get_gpio", "arguments": {"number": 1}, "surprise": 1}, 400),
    ("POST", "commands?timeout=x", {"api": "get_status"}, 400),
    ("POST", "commands?timeout=31", {"api": "get_status", "timeout": 5}, 400),
    ("POST", "commands?tiemout=5", {"api": "get_status"}, 400),
    ("POST", "commands?timeout=", {"api": "get_status"}, 400),
    ("GET", "gpio/256", None, 400),
    ("GET", "gpio/99999", None, 400),
    ("GET", "gpio/123456", None, 400),
    ("GET", "gpio/-1", None, 404),
    ("GET", "gpio", None, 404),
    ("PUT", "gpio/10", {}, 400),
    ("PUT", "gpio/10", {"value": 2}, 400),
    ("PUT", "gpio/10", {"value": "1"}, 400),
    ("PUT", "gpio/10", {"value": True}, 400),
    ("PUT", "gpio/10", {"value": None}, 400),
    ("PUT", "gpio/10", {"value": 1, "number": 10}, 400),
    ("PUT", "rtc", {"value": -1}, 400),
    ("PUT", "rtc", {"value": 4294967296}, 400),
    ("PUT", "rtc", {"value": 1.5}, 400),
    ("POST", "uart", {}, 400),
    ("POST", "uart", {"value": 7}, 400),
    ("POST", "uart", {"value": "a\0b"}, 400),
    ("POST", "uart", b'{"value": "\\ud800"}', 400),
    ("POST", "uart", {"value": "x" * 17_000}, 400),
    ("POST", "notifications", {"recipient": "", "message": "m"}, 400),
    ("POST", "restart", {"value": "restart"}, 400),
    ("DELETE", "status", None, 405),
    ("POST", "status", None, 405),
    ("PATCH", "gpio/1", {"value": 1}, 405),
    ("GET", "restart", None, 405),
    ("GET", "nothing", None, 404),
    ("GET", "apis", None, 404),
    ("GET", "apis/get_gpio", None, 400),
    ("GET", "apis/get_gpio?number=256", None, 400),
    ("GET", "apis/get_gpio?number=x", None, 400),
    ("GET", "apis/get_gpio?number=%00", None, 400),
    ("GET", "apis/get_gpio?number=1&value=2", None, 400),
    ("GET", "apis/get_gpio?number=1&timeout=31", None, 400),
    ("GET", "apis/Get", None, 400),
    ("GET", "apis/get%20gpio", None, 400),
    ("GET", "apis/" + "x" * 65, None, 400),
    ("GET", "apis/set_gpio?number=1&value=1", None, 405),
    ("PUT", "apis/get_gpio", {"number": 1}, 405),
    ("PUT", "apis/set_gpio", {"number": 1, "value": 1, "timeout": 5}, 400),
    ("PUT", "apis/set_gpio?tiemout=5", {"number": 1, "value": 1}, 400),
    ("PUT", "apis/set_gpio", b"[]", 400),
    ("PUT", "apis/set_gpio", None, 400),
    ("POST", "apis/set_gpio", {"number": 1, "value": 1}, 405),
    ("DELETE", "apis/set_gpio", None, 405),
]


def shape(value: Any) -> Any:
    """Return what of an answer must be equal: the names and kinds of what is in it, and the texts of a problem."""
    if isinstance(value, dict):
        if "title" in value and "code" in value:
            return value
        return {key: shape(one) for key, one in value.items()}
    return "number" if isinstance(value, int | float) else type(value).__name__


@pytest.fixture(scope="module")
def browser(portal: LivePortal) -> requests.Session:
    return portal.session()


def both(
    portal: LivePortal, browser: requests.Session, method: str, path: str, body: Any, headers: dict[str, str] | None = None
) -> tuple[requests.Response, requests.Response]:
    options: dict[str, Any] = {"headers": {**(JSON if body is not None else {}), **(headers or {})}}
    options |= {"data": body} if isinstance(body, bytes) else {"json": body}
    raw = portal.ask(method, path, **options)
    until_back(portal, path)
    drf = browser.request(method, portal.url + path, timeout=30, **options)
    until_back(portal, path)
    return raw, drf


def until_back(portal: LivePortal, path: str) -> None:
    """Wait for a device that was restarted."""
    if path.endswith("restart"):
        until(lambda: portal.ask("GET", f"{portal.device_path}/status?timeout=1").ok, "the device after its restart")


def assert_same(raw: requests.Response, drf: requests.Response, expected: int) -> None:
    assert (raw.status_code, drf.status_code) == (expected, expected), (raw.text, drf.text)
    assert shape(raw.json()) == shape(drf.json())
    assert raw.headers["content-type"] == drf.headers["content-type"]
    assert raw.headers.get("retry-after") == drf.headers.get("retry-after")
    assert "vary" in drf.headers, "that was not DRF"


@pytest.mark.parametrize(("method", "end", "body"), GOOD)
def test_both_faces_give_the_same_answer(portal: LivePortal, browser: requests.Session, method: str, end: str, body: Any) -> None:
    raw, drf = both(portal, browser, method, f"{portal.device_path}/{end}", body)
    assert_same(raw, drf, 200)
    assert "vary" not in raw.headers, "that was not the raw handler"
    assert raw.headers["cache-control"] == drf.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("method", "end", "body", "expected"), BAD)
def test_both_faces_refuse_the_same_in_the_same_words(
    portal: LivePortal, browser: requests.Session, method: str, end: str, body: Any, expected: int
) -> None:
    raw, drf = both(portal, browser, method, f"{portal.device_path}/{end}", body)
    assert_same(raw, drf, expected)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_a_body_of_another_type_is_415(portal: LivePortal, browser: requests.Session, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    raw, drf = both(portal, browser, "PUT", f"{portal.device_path}/gpio/1", b'{"value": 1}', headers)
    assert_same(raw, drf, 415)


def test_a_body_without_a_type_is_taken_for_json(portal: LivePortal, browser: requests.Session) -> None:
    for client in (portal.ask, lambda method, path, **options: browser.request(method, portal.url + path, **options)):
        answer = client("PUT", f"{portal.device_path}/gpio/1", data=b'{"value": 1}')
        assert answer.status_code == 200, answer.text


def test_what_cannot_be_had_in_that_form_is_406(portal: LivePortal, browser: requests.Session) -> None:
    raw, drf = both(portal, browser, "GET", f"{portal.device_path}/gpio/1", None, {"Accept": "image/png"})
    assert_same(raw, drf, 406)


@pytest.mark.parametrize("device", ["unknown", "strange", "short", "zero"])
def test_another_users_device_answers_byte_for_byte_like_an_unknown_one(portal: LivePortal, device: str) -> None:
    ids = {"unknown": portal.unknown, "strange": portal.device.hex, "short": "abc", "zero": "%00" * 32}
    mallory = portal.session(portal.stranger)
    for method, end, body in [("GET", "", None), ("DELETE", "", None), *GOOD]:
        path = f"/api/v1/devices/{ids[device]}" + (f"/{end}" if end else "")
        raw = portal.ask(method, path, portal.stranger_secret, json=body)
        drf = mallory.request(method, portal.url + path, json=body, timeout=30)
        expected = portal.ask("GET", f"/api/v1/devices/{portal.unknown}")
        assert (raw.status_code, drf.status_code) == (404, 404), (method, path, raw.text, drf.text)
        assert raw.json() == drf.json() == expected.json()
        assert portal.device.name not in raw.text + drf.text


def test_a_device_that_does_not_answer_is_504(portal: LivePortal, browser: requests.Session) -> None:
    # A silent command keeps its lane closed for a while, so each face asks for another api.
    path = f"{portal.device_path}/commands"
    raw = portal.ask("POST", path, json={"api": "get_nothing", "timeout": 1})
    drf = browser.post(portal.url + path, json={"api": "get_nobody", "timeout": 1}, timeout=30)
    assert_same(raw, drf, 504)
    assert raw.json()["code"] == "device_timeout"


def test_a_body_of_more_than_64_kib_is_413(portal: LivePortal, browser: requests.Session) -> None:
    raw, drf = both(portal, browser, "POST", f"{portal.device_path}/uart", {"value": "x" * 70_000})
    assert (raw.status_code, drf.status_code) == (413, 413)
    assert raw.json() == drf.json()


def test_a_device_that_reports_an_error_is_502(portal: LivePortal, browser: requests.Session) -> None:
    raw, drf = both(portal, browser, "POST", f"/api/v1/devices/{portal.modern.hex}/commands", {"api": "get_nothing"})
    assert_same(raw, drf, 502)
    assert raw.json()["code"] == "device_error"


def test_an_answer_that_cannot_be_read_is_502(portal: LivePortal, browser: requests.Session) -> None:
    raw, drf = both(portal, browser, "GET", f"/api/v1/devices/{portal.broken.hex}/status", None)
    assert (raw.status_code, drf.status_code) == (502, 502)
    assert raw.json()["code"] == drf.json()["code"] == "malformed_answer"


@pytest.fixture
def valkey(portal: LivePortal) -> Iterator[Any]:
    """Return the portal's Valkey; what the test sets is gone afterwards."""
    client = cache.client()
    before = set(client.scan_iter("*"))
    yield client
    for key in set(client.scan_iter("*")) - before:
        client.delete(key)


def test_a_device_that_is_not_connected_is_409(portal: LivePortal, browser: requests.Session, valkey: Any) -> None:
    valkey.set(cache.BRIDGE_ALIVE, "1", ex=30)
    valkey.set(cache.presence_key(portal.device.hex), "0")
    raw, drf = both(portal, browser, "GET", f"{portal.device_path}/gpio/1", None)
    assert_same(raw, drf, 409)


def test_without_messages_left_it_is_402(portal: LivePortal, browser: requests.Session, valkey: Any) -> None:
    key = f"quota:{portal.device.account_id.hex}:{time.strftime('%Y%m', time.gmtime())}"
    before = valkey.get(key)
    valkey.set(key, 10**9)
    raw, drf = both(portal, browser, "GET", f"{portal.device_path}/gpio/1", None)
    valkey.set(key, before)
    assert_same(raw, drf, 402)


def test_too_many_commands_in_a_minute_are_429_with_the_time_to_wait(
    portal: LivePortal, browser: requests.Session, valkey: Any
) -> None:
    minute = int(time.time() // 60)
    keys = [f"rate:{portal.user.pk}:{one}" for one in (minute, minute + 1)]
    for key in keys:
        valkey.set(key, 10**9)
    raw, drf = both(portal, browser, "GET", f"{portal.device_path}/gpio/1", None)
    for key in keys:
        valkey.delete(key)
    assert_same(raw, drf, 429)
    assert int(raw.headers["retry-after"]) > 0


def test_without_the_broker_it_is_503_and_comes_back(portal: LivePortal, browser: requests.Session) -> None:
    portal.stop("broker")
    try:
        raw, drf = both(portal, browser, "GET", f"{portal.device_path}/gpio/1?timeout=1", None)
    finally:
        portal.start_broker()
        portal.wait_for_answers()
    assert_same(raw, drf, 503)
    assert raw.json()["code"] == "broker_unavailable"


def test_a_process_without_a_web_server_sends_on_a_thread_of_its_own(portal: LivePortal) -> None:
    script = f"""
from accounts.models import User
from devices.models import Device
from messaging.services.commands import send_command
user, device = User.objects.get(username={portal.user.username!r}), Device.objects.get(pk={str(portal.device.pk)!r})
print(send_command(user=user, device=device, api="get_gpio", arguments={{"number": 12}}).answer)
"""
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", script]
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=portal.environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "{'number': 12, 'value': 0}", done.stderr


def test_a_session_needs_its_csrf_token_to_change_anything(portal: LivePortal) -> None:
    browser = portal.session()
    del browser.headers["X-CSRFToken"]
    answer = browser.put(f"{portal.url}{portal.device_path}/gpio/1", json={"value": 1}, timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert browser.get(f"{portal.url}{portal.device_path}/gpio/1", timeout=30).status_code == 200


@pytest.mark.parametrize("megabytes", [0.3, 3, 12])
@pytest.mark.parametrize("path", ["/api/v1/devices", "/api/v1/nothing", "/accounts/login/"])
def test_a_huge_body_is_413_whoever_sends_it(portal: LivePortal, path: str, megabytes: float) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(int(megabytes * 10)):
            yield b" " * 105_000

    chunked = requests.post(portal.url + path, data=parts(), headers=JSON, timeout=30)
    assert chunked.status_code == 413
    if megabytes < 4:
        whole = requests.post(portal.url + path, data=b" " * int(megabytes * 1_050_000), headers=JSON, timeout=30)
        assert whole.status_code == 413


def test_a_body_in_chunks_is_read_like_any_other(portal: LivePortal, browser: requests.Session) -> None:
    answer = browser.put(f"{portal.url}{portal.device_path}/gpio/1", data=iter([b'{"val', b'ue": 1}']), headers=JSON, timeout=30)
    assert (answer.status_code, answer.json()["value"]) == (200, 1)
