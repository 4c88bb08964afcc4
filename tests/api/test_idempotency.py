"""A request that is sent again with its `Idempotency-Key` is not carried out again."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import requests
from django.conf import settings

from devices.models import Device
from tests.api.live import LivePortal, committed, until

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

REPLAYED = "Idempotency-Replayed"


@pytest.fixture
def key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}


@pytest.fixture
def sent(portal: LivePortal) -> Iterator[Any]:
    """Return a count of the commands that left a record, as all of them do within moments of their answer.

    Each counting sends one of its own, which it leaves out: once its record is there, those of all before it are.
    """
    own = set[str]()
    with redis.Redis.from_url(settings.VALKEY_URL) as link:

        def recorded() -> set[str]:
            return {json.loads(fields[b"r"])["id"] for _, fields in link.xrange("commands")}

        def count() -> int:
            own.add(set_pin(portal, {}).json()["id"])
            until(lambda: own <= recorded(), "the last record")
            return len(recorded() - own)

        yield count


def set_pin(portal: LivePortal, headers: dict[str, str], value: int = 1, **options: Any) -> requests.Response:
    return portal.ask("PUT", f"{portal.device_path}/gpio/10", json={"value": value}, headers=headers, **options)


def test_the_second_time_gets_the_first_answer_and_sends_nothing(portal: LivePortal, key: dict[str, str], sent: Any) -> None:
    first = set_pin(portal, key)
    before = sent()
    again = set_pin(portal, key)

    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert (REPLAYED in first.headers, again.headers[REPLAYED]) == (False, "true")
    assert sent() == before


def test_another_key_is_another_command(portal: LivePortal) -> None:
    answers = [set_pin(portal, {"Idempotency-Key": str(uuid.uuid4())}).json() for _ in range(2)]

    assert answers[0]["id"] != answers[1]["id"]


def test_a_key_belongs_to_its_request(portal: LivePortal, key: dict[str, str]) -> None:
    set_pin(portal, key, 1)
    other = set_pin(portal, key, 0)

    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_a_key_belongs_to_its_caller(portal: LivePortal, key: dict[str, str]) -> None:
    set_pin(portal, key)
    stranger = set_pin(portal, key, secret=portal.stranger_secret)

    assert stranger.status_code == 404
    assert REPLAYED not in stranger.headers


def test_a_browser_session_is_a_caller_too(portal: LivePortal, key: dict[str, str]) -> None:
    browser = portal.session()
    answers = [
        browser.put(f"{portal.url}{portal.device_path}/gpio/10", json={"value": 1}, headers=key, timeout=30) for _ in range(2)
    ]

    assert [one.status_code for one in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    assert answers[1].headers[REPLAYED] == "true"


def test_a_device_is_registered_once_and_its_key_is_not_kept_in_the_clear(portal: LivePortal, key: dict[str, str]) -> None:
    name = uuid.uuid4().hex
    first, again = (portal.ask("POST", "/api/v1/devices", json={"name": name}, headers=key) for _ in range(2))

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers.get("Location") == first.headers.get("Location")
    with redis.Redis.from_url(settings.VALKEY_URL) as link:
        stored = [link.get(one) for one in link.scan_iter("idempotency:*")]
    assert stored
    assert not any(name.encode() in one or b"PRIVATE" in one for one in stored if isinstance(one, bytes))
    committed(lambda: Device.objects.filter(name=name).delete())


def test_what_was_not_carried_out_may_try_again(portal: LivePortal, key: dict[str, str]) -> None:
    bad = portal.ask("PUT", f"{portal.device_path}/gpio/10", json={"value": 7}, headers=key)
    good = set_pin(portal, key)

    assert (bad.status_code, good.status_code) == (400, 200)


def test_of_two_at_once_one_is_carried_out(portal: LivePortal, key: dict[str, str], sent: Any) -> None:
    before = sent()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: set_pin(portal, key), range(8)))

    statuses = {one.status_code for one in answers}
    assert 200 in statuses
    assert statuses <= {200, 409}
    assert len({one.content for one in answers if one.ok}) == 1
    assert {one.json()["code"] for one in answers if not one.ok} <= {"idempotency_in_progress"}
    assert sent() == before + 1


def test_a_caller_that_hangs_up_finds_the_answer_when_it_comes_back(portal: LivePortal, key: dict[str, str], sent: Any) -> None:
    before = sent()
    address = urlsplit(portal.url)
    with socket.create_connection((address.hostname, address.port)) as link:
        body = b'{"value": 1}'
        head = [
            f"PUT {portal.device_path}/gpio/10 HTTP/1.1",
            f"Host: {address.netloc}",
            f"Authorization: Bearer {portal.secret}",
            "Content-Type: application/json",
            f"Idempotency-Key: {key['Idempotency-Key']}",
            f"Content-Length: {len(body)}",
        ]
        link.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
    again = until(lambda: answered(set_pin(portal, key)), "the answer of the first request")

    assert again.headers[REPLAYED] == "true"
    assert sent() == before + 1


def answered(response: requests.Response) -> requests.Response | None:
    return response if response.ok else None


def test_a_request_that_was_cut_off_is_not_repeated_blindly(portal: LivePortal, key: dict[str, str], sent: Any) -> None:
    with redis.Redis.from_url(settings.VALKEY_URL) as link:  # as kill -9 in the middle leaves it, a while ago
        before_it = set(link.scan_iter("idempotency:*"))
        set_pin(portal, key)
        (name,) = set(link.scan_iter("idempotency:*")) - before_it
        fingerprint = bytes(link.get(name) or b"").split(b" ")[0]
        link.set(name, fingerprint + b" 1000000000 ")
    before = sent()
    again = set_pin(portal, key)

    assert (again.status_code, again.json()["code"]) == (409, "idempotency_unknown")
    assert sent() == before


@pytest.mark.parametrize("value", ["", "two words", "x" * 256, "caf\xe9"])
def test_a_key_that_is_none_is_refused(portal: LivePortal, value: str) -> None:
    answer = set_pin(portal, {"Idempotency-Key": value.encode("latin-1")})  # type: ignore[dict-item]  # requests takes bytes

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_idempotency_key")


def test_reading_needs_no_key_and_ignores_one(portal: LivePortal, key: dict[str, str]) -> None:
    answers = [portal.ask("GET", f"{portal.device_path}/gpio/10", headers=key).json() for _ in range(2)]

    assert answers[0]["id"] != answers[1]["id"]


def test_nobody_keeps_nothing(portal: LivePortal, key: dict[str, str]) -> None:
    with redis.Redis.from_url(settings.VALKEY_URL) as link:
        before = len(list(link.scan_iter("idempotency:*")))
        answer = requests.put(f"{portal.url}{portal.device_path}/gpio/10", json={"value": 1}, headers=key, timeout=30)
        wrong = set_pin(portal, key, secret="iotp_" + "x" * 43)
        after = len(list(link.scan_iter("idempotency:*")))

    assert (answer.status_code, wrong.status_code) == (401, 401)
    assert after == before
