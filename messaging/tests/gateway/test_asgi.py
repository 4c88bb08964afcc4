"""The raw handler: what it takes, what it hands on, what it refuses."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts.tokens import new_token
from iotportal.problems import CONTENT_TYPE
from messaging.asgi import CommandApp
from messaging.gateway import runtime
from messaging.tests.gateway.world import World, throttle, until

HANDED_ON = 299


async def django(scope: Any, receive: Any, send: Any) -> None:
    """Stand for everything behind the handler."""
    await send({"type": "http.response.start", "status": HANDED_ON, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


class Client:
    """Speaks ASGI to the handler."""

    def __init__(self, secret: str) -> None:
        self.app = CommandApp(django)
        self.peer = ("192.0.2.1", 50_000)
        self.headers = [(b"authorization", f"Bearer {secret}".encode())]
        self.gone = asyncio.Event()

    async def __call__(
        self, method: str, path: str, body: bytes | dict[str, Any] = b"", query: bytes = b""
    ) -> tuple[int, Any, dict[bytes, bytes]]:
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        sent: list[dict[str, Any]] = []
        chunks = [data[start : start + 40_000] for start in range(0, len(data), 40_000)] or [b""]

        async def receive() -> dict[str, Any]:
            if chunks:
                return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}
            await self.gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": self.headers,
            "query_string": query,
            "client": self.peer,
        }
        await self.app(scope, receive, send)
        if not sent:
            return 0, None, {}
        return sent[0]["status"], json.loads(sent[1]["body"]), dict(sent[0]["headers"])


@pytest.fixture
def client(world: World) -> Client:
    return Client(world.secret)


async def path(world: World, monkeypatch: pytest.MonkeyPatch, **options: Any) -> str:
    """Start a gateway and a device; return the device's path."""
    device = await world.device(**options)
    monkeypatch.setattr(runtime, "_gateway", await world.gateway())
    return f"/api/v1/devices/{device.device.hex}"


async def test_it_sets_and_reads_a_pin(world: World, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    device = await path(world, monkeypatch)
    status, body, headers = await client("PUT", device + "/gpio/10", {"value": 1})
    assert (status, body["value"], body["payload"]) == (200, 1, '{"number": 10, "value": 1}')
    assert headers[b"cache-control"] == b"no-store"
    status, body, _ = await client("GET", device + "/gpio/11", query=b"timeout=2.5")
    assert (status, body["value"]) == (200, 1)
    status, body, _ = await client("POST", device + "/commands", {"api": "get_gpio", "arguments": {"number": 4}, "timeout": 2})
    assert (status, body["answer"]) == (200, {"number": 4, "value": 0})


async def test_it_reads_the_network_in_one_request(world: World, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def network(api: str, payload: bytes) -> list[tuple[float, str, bytes]]:
        return [(0, api, json.dumps({"value": "00:c0:ca:90:61:05" if api == "get_mac" else "192.168.100.5"}).encode())]

    device = await path(world, monkeypatch, script=network)
    status, body, _ = await client("GET", device + "/ethernet")
    assert status == 200
    assert [body[name] for name in ("ip", "subnet", "gateway", "mac")] == ["192.168.100.5"] * 3 + ["00:c0:ca:90:61:05"]


@pytest.mark.parametrize(
    ("method", "end", "body", "expected"),
    [
        ("POST", "/commands", b"{", 400),
        ("POST", "/commands", b"[]", 400),
        ("POST", "/commands", b"\xff\xfe", 400),
        ("POST", "/commands", b"[" * 50_000, 400),
        ("POST", "/commands", b"", 400),
        ("POST", "/commands", {"api": 7}, 400),
        ("POST", "/commands", {"api": "get_gpio", "arguments": []}, 400),
        ("POST", "/commands", {"api": "get_gpio", "arguments": {"number": 1}, "timeout": 99}, 400),
        ("POST", "/commands", {"api": "get_gpio", "arguments": {"number": 1}, "surprise": 1}, 400),
        ("POST", "/commands", {"api": "x" * 70, "arguments": {}}, 400),
        ("PUT", "/gpio/10", {"value": 2}, 400),
        ("PUT", "/gpio/10", {"value": "on"}, 400),
        ("PUT", "/gpio/10", {}, 400),
        ("PUT", "/rtc", {"value": -1}, 400),
        ("POST", "/uart", {}, 400),
        ("POST", "/uart", b"x" * 70_000, 413),
    ],
)
async def test_bad_input_is_named(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch, method: str, end: str, body: Any, expected: int
) -> None:
    device = await path(world, monkeypatch)
    status, problem, headers = await client(method, device + end, body)
    assert status == expected
    assert headers[b"content-type"] == CONTENT_TYPE.encode()
    assert problem["status"] == expected
    assert problem["detail"]
    assert world.devices[0].heard == []


@pytest.mark.parametrize("secret", ["", "iotp_" + "x" * 43, "nonsense", "iotp_" + "é" * 43])
async def test_an_unknown_token_is_401(world: World, monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    device = await path(world, monkeypatch)
    status, problem, headers = await Client(secret)("GET", device + "/gpio/1")
    assert (status, problem["code"]) == (401, "invalid_token")
    assert headers[b"www-authenticate"].startswith(b"Bearer")


async def ask_as_nobody(path: str, forwarded: str | None = None) -> tuple[int, Any, dict[bytes, bytes]]:
    client = Client(new_token())
    if forwarded is not None:
        client.headers.append((b"x-forwarded-for", forwarded.encode()))
    return await client("GET", path + "/gpio/1")


async def test_an_address_with_too_many_unknown_tokens_has_to_wait(
    world: World, client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    throttle(settings, "3/day")
    device = await path(world, monkeypatch)
    assert (await client("GET", device + "/gpio/1"))[0] == 200
    assert [(await ask_as_nobody(device))[0] for _ in range(5)] == [401, 401, 401, 429, 429]
    status, problem, headers = await ask_as_nobody(device, "198.51.100.7")  # anybody can write that
    assert (status, problem["code"]) == (429, "throttled")
    assert 0 < int(headers[b"retry-after"]) <= 86_400
    assert (await client("GET", device + "/gpio/1"))[0] == 200


async def test_behind_a_proxy_its_word_on_the_address_counts(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    throttle(settings, "3/day", NUM_PROXIES=1)
    device = await path(world, monkeypatch)
    statuses = [(await ask_as_nobody(device, f"203.0.113.{number}, 198.51.100.7"))[0] for number in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    assert (await ask_as_nobody(device, "198.51.100.7, 198.51.100.8"))[0] == 401


async def test_drf_and_the_raw_handler_count_together(world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    throttle(settings, "4/day")
    device = await path(world, monkeypatch)

    def drf() -> Any:
        return APIClient(REMOTE_ADDR="192.0.2.1").get("/api/v1/devices", HTTP_AUTHORIZATION=f"Bearer {new_token()}")

    for _ in range(2):
        assert (await sync_to_async(drf)()).status_code == 401
        assert (await ask_as_nobody(device))[0] == 401
    status, problem, _ = await ask_as_nobody(device)
    answer = await sync_to_async(drf)()
    assert (status, answer.status_code) == (429, 429)
    assert problem == answer.json()
    assert int(answer["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("method", "end"),
    [
        ("GET", ""),
        ("DELETE", "/gpio/1"),
        ("GET", "/gpio"),
        ("GET", "/gpio/123456"),
        ("GET", "/commands"),
        ("POST", "/nothing"),
        ("GET", "/rtc/1"),
    ],
)
async def test_everything_else_goes_on_to_django(world: World, client: Client, method: str, end: str) -> None:
    assert (await client(method, "/api/v1/devices/" + "a" * 32 + end))[0] == HANDED_ON


async def test_without_a_token_it_goes_on_to_django(client: Client) -> None:
    client.headers = []
    assert (await client("GET", "/api/v1/devices/" + "a" * 32 + "/gpio/1"))[0] == HANDED_ON


async def test_a_caller_who_hangs_up_ends_the_command(world: World, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    device = await path(world, monkeypatch, script=lambda api, payload: [])
    asking = asyncio.ensure_future(client("GET", device + "/gpio/1", query=b"timeout=30"))
    await until(lambda: world.devices[0].heard, "the command at the device")
    client.gone.set()
    assert (await asking)[0] == 0
    (record,) = await until(world.records, "a record for the bridge")
    assert record["outcome"] == "abandoned"
