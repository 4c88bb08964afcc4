"""The page's WebSocket, through the real routing and sign-in."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.conf import settings
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from accounts.services import deactivate_user
from iotportal.asgi import application
from iotportal.origin import OwnOrigin
from iotportal.problems import Problem
from messaging.consumers import MAX_WATCHES
from messaging.gateway import runtime
from messaging.gateway.admission import Caller
from messaging.tests.gateway.world import World, make_user


class Socket:
    """A browser's end of a WebSocket (the one of channels needs daphne, which the portal does not)."""

    def __init__(self, scope: dict[str, Any]) -> None:
        self._to: asyncio.Queue[Any] = asyncio.Queue()
        self._from: asyncio.Queue[Any] = asyncio.Queue()
        self._running = asyncio.ensure_future(application(scope, self._to.get, self._from.put))

    async def output(self) -> Any:
        return await asyncio.wait_for(self._from.get(), 5)

    async def connect(self) -> bool:
        await self._to.put({"type": "websocket.connect"})
        return bool((await self.output())["type"] == "websocket.accept")

    async def say(self, frame: Any) -> None:
        await self._to.put({"type": "websocket.receive", "text": frame if isinstance(frame, str) else json.dumps(frame)})

    async def hear(self) -> Any:
        return json.loads((await self.output())["text"])

    async def ask(self, frame: Any) -> Any:
        await self.say(frame)
        return await self.hear()

    async def close(self) -> None:
        await self._to.put({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(self._running, 5)


async def open_socket(
    user: User | None, origin: str | None = "http://localhost:8000", browser: Client | None = None, **more: Any
) -> Socket:
    headers = [(name.encode(), value.encode()) for name, value in more.pop("headers", [("host", "localhost:8000")])]
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    if user is not None:
        if browser is None:
            browser = Client()
            await sync_to_async(browser.force_login)(user)
        headers.append(
            (b"cookie", f"{settings.SESSION_COOKIE_NAME}={browser.cookies[settings.SESSION_COOKIE_NAME].value}".encode())
        )
    scope = {"type": "websocket", "path": "/ws/live", "query_string": b"", "headers": headers, "subprotocols": []}
    return Socket({**scope, **more})


async def connected(user: User) -> Socket:
    socket = await open_socket(user)
    assert await socket.connect()
    return socket


async def test_nobody_is_let_in_without_signing_in(world: World) -> None:
    socket = await open_socket(None)
    await socket.connect()
    assert (await socket.output()) == {"type": "websocket.close", "code": 4401}


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://localhost:8001",  # another port of our host is another page
        "https://localhost:8000",  # and so is another scheme
        "http://localhost:8000.evil.example",
        "http://localhost:8000@evil.example",
        "http://evil.example/http://localhost:8000",
        "http://sub.localhost:8000",
        "null",
        "file://",
        "",
        None,  # no browser
    ],
)
async def test_a_page_that_is_not_ours_is_refused(world: World, origin: str | None) -> None:
    socket = await open_socket(world.user, origin=origin)
    assert not await socket.connect()


@pytest.mark.parametrize(
    ("origin", "headers", "scheme"),
    [
        ("http://LocalHost:8000", [("host", "localhost:8000")], "ws"),
        ("http://localhost", [("host", "localhost")], "ws"),
        ("http://localhost:80", [("host", "localhost")], "ws"),
        ("https://localhost", [("host", "localhost:443")], "wss"),
        ("http://127.0.0.1:8123", [("host", "127.0.0.1:8123")], "ws"),
        ("http://[::1]:8000", [("host", "[::1]:8000")], "ws"),
        (settings.PORTAL_URL, [("host", "127.0.0.1:8000")], "ws"),  # whatever a proxy calls us
    ],
)
async def test_our_own_pages_are_let_in_by_every_name_of_ours(
    world: World, origin: str, headers: list[tuple[str, str]], scheme: str
) -> None:
    socket = await open_socket(world.user, origin=origin, headers=headers, scheme=scheme)
    assert await socket.connect()
    await socket.close()


async def test_a_name_that_only_the_request_gives_us_is_not_ours(world: World) -> None:
    socket = await open_socket(world.user, origin="http://rebound.example", headers=[("host", "rebound.example")])
    assert not await socket.connect()


async def test_behind_a_proxy_its_scheme_counts(world: World, settings: Settings) -> None:
    secure = [("host", "localhost:8000"), ("x-forwarded-proto", "https")]
    assert not await (await open_socket(world.user, origin="https://localhost:8000", headers=secure)).connect()
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    socket = await open_socket(world.user, origin="https://localhost:8000", headers=secure)
    assert await socket.connect()
    await socket.close()


@pytest.mark.parametrize(
    ("origin", "ours"),
    [
        ("https://portal.example.com", True),
        ("https://a.example.org", True),
        ("https://a.b.example.org", True),
        ("https://example.org", False),
        ("https://badexample.org", False),
        ("http://a.example.org", False),
        ("https://a.example.org:8443", False),
        ("https://portal.example.com:444", False),
    ],
)
async def test_trusted_origins_are_compared_as_those_of_forms(origin: str, ours: bool) -> None:
    reached: list[str] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        reached.append(origin)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        assert message["type"] == "websocket.close"

    app = OwnOrigin(inner, ["https://portal.example.com", "https://*.example.org"])
    headers = [(b"origin", origin.encode()), (b"host", b"localhost")]
    await app({"type": "websocket", "path": "/ws/live", "query_string": b"", "headers": headers}, receive, send)
    assert bool(reached) is ours


async def test_two_origins_are_none(world: World) -> None:
    headers = [("host", "localhost:8000"), ("origin", "http://localhost:8000")]
    assert not await (await open_socket(world.user, origin="http://localhost:8000", headers=headers)).connect()


async def test_a_command_is_answered_on_the_socket(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    device = await world.device()
    monkeypatch.setattr(runtime, "_gateway", await world.gateway())
    socket = await connected(world.user)
    command = {
        "do": "command",
        "ref": "c1",
        "device": device.device.hex,
        "api": "set_gpio",
        "arguments": {"number": 10, "value": 1},
    }
    answer = await socket.ask(command)
    assert (answer["kind"], answer["ref"], answer["ok"]) == ("result", "c1", True)
    assert answer["command"]["answer"] == {"number": 10, "value": 1}
    await socket.close()


async def test_a_strangers_command_and_watch_find_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    device = await world.device()
    monkeypatch.setattr(runtime, "_gateway", await world.gateway())
    stranger, _, _ = await sync_to_async(make_user)("mallory")
    socket = await connected(stranger)
    answer = await socket.ask(
        {"do": "command", "ref": 1, "device": device.device.hex, "api": "get_gpio", "arguments": {"number": 1}}
    )
    nobodys = await socket.ask(
        {"do": "command", "ref": 1, "device": uuid.uuid4().hex, "api": "get_gpio", "arguments": {"number": 1}}
    )
    assert answer == nobodys
    assert answer["problem"]["status"] == 404
    assert (await socket.ask({"do": "watch", "devices": [device.device.hex]}))["devices"] == []
    layer = get_channel_layer()
    assert layer is not None
    await layer.group_send(f"device.{device.device.hex}", {"type": "live.events", "events": [{"kind": "message"}]})
    assert (await socket.ask({"do": "ping"})) == {"kind": "pong"}  # and nothing before it
    assert device.heard == []
    await socket.close()


async def test_the_owner_sees_live_events_of_what_is_watched(world: World) -> None:
    device = await world.device()
    socket = await connected(world.user)
    assert (await socket.ask({"do": "watch", "devices": [device.device.hex, "nonsense", 7], "all": True}))["devices"] == [
        device.device.hex
    ]
    layer = get_channel_layer()
    assert layer is not None
    await layer.group_send(f"account.{device.device.account_id.hex}", {"type": "live.events", "events": [{"kind": "presence"}]})
    assert await socket.hear() == {"kind": "events", "events": [{"kind": "presence"}]}
    await socket.close()


@pytest.mark.parametrize(
    "frame", ["", "{", "[]", "null", '{"do": 7}', '{"do": "command"}', '{"do": "command", "ref": []}', "[" * 30_000]
)
async def test_nonsense_is_answered_and_not_fatal(world: World, frame: str) -> None:
    socket = await connected(world.user)
    await socket.say(frame)
    assert (await socket.hear())["kind"] == "error"
    assert (await socket.ask({"do": "ping"})) == {"kind": "pong"}
    await socket.close()


@pytest.mark.parametrize(
    "frame",
    [
        {"device": 7, "api": "get_gpio"},
        {"device": "a" * 32, "api": None},
        {"device": "a" * 32, "api": "get_gpio", "arguments": []},
        {"device": "../" * 10, "api": "get_gpio"},
        {"device": "a" * 32, "api": "get_gpio", "timeout": "soon"},
    ],
)
async def test_a_command_of_the_wrong_shape_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, frame: dict[str, Any]
) -> None:
    monkeypatch.setattr(runtime, "_gateway", await world.gateway())
    socket = await connected(world.user)
    answer = await socket.ask({"do": "command", "ref": "c", **frame})
    assert answer["ok"] is False
    assert answer["problem"]["status"] in {400, 404}
    await socket.close()


async def test_a_page_that_watches_without_end_is_told_to_wait(world: World) -> None:
    socket = await connected(world.user)
    answers = [(await socket.ask({"do": "watch", "devices": [uuid.uuid4().hex]}))["kind"] for _ in range(MAX_WATCHES + 5)]
    assert answers == ["watching"] * MAX_WATCHES + ["error"] * 5
    await socket.close()


async def test_a_huge_frame_closes_the_socket(world: World) -> None:
    socket = await connected(world.user)
    await socket.say("x" * 70_000)
    assert (await socket.output())["type"] == "websocket.close"


async def test_signing_out_closes_the_pages_of_that_sign_in(world: World) -> None:
    browser = Client()
    await sync_to_async(browser.force_login)(world.user)
    socket, other = await open_socket(world.user, browser=browser), await connected(world.user)
    assert await socket.connect()
    assert (await socket.ask({"do": "ping"})) == {"kind": "pong"}
    await sync_to_async(browser.post)("/accounts/logout/")
    assert (await socket.output()) == {"type": "websocket.close", "code": 4401}
    assert (await other.ask({"do": "ping"})) == {"kind": "pong"}
    await other.close()


async def test_a_deactivated_user_loses_pages_and_devices_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    device = await world.device()
    monkeypatch.setattr(runtime, "_gateway", await world.gateway())
    socket = await connected(world.user)
    command = {"do": "command", "ref": 1, "device": device.device.hex, "api": "get_gpio", "arguments": {"number": 1}}
    assert (await socket.ask(command))["ok"] is True
    await sync_to_async(deactivate_user)(user=world.user)
    assert (await socket.output()) == {"type": "websocket.close", "code": 4401}
    with pytest.raises(Problem) as caught:
        await runtime.current().send(Caller(world.user.pk), device.device.hex, "get_gpio", {"number": 1})
    assert caught.value.status == 404
