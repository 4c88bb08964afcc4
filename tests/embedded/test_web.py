"""The web server's own protocol: what it changes of uvicorn's, and what it must leave as it is."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from iotportal.web import OneWrite

RELEASED = threading.Event()
ODD = b"HTTP/1.1 100 Continue"  # a body that looks like a head


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer by the path: /whole, /odd, /parts, /slow (its body waits for RELEASED), /fails, /echo."""
    if scope["type"] != "http":
        return
    path = scope["path"]
    bodies = {"/echo": b"".join([message["body"] async for message in _messages(receive)]), "/odd": ODD}
    body = bodies.get(path, b"body")
    head = [] if path == "/parts" else [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    if path == "/fails":
        raise RuntimeError("in the middle")
    if path == "/slow":
        await asyncio.to_thread(RELEASED.wait, 10)
    if path == "/parts":
        for part in (b"one", b"two"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(0)
        body = b""
    await send({"type": "http.response.body", "body": body})


async def _messages(receive: Any) -> Any:
    while True:
        message = await receive()
        yield message
        if not message.get("more_body"):
            return


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = uvicorn.Server(
        uvicorn.Config(application, port=0, http=OneWrite, loop="uvloop", lifespan="off", log_level="critical")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def client(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), 10) as made:
        yield made


def ask(client: socket.socket, path: str, method: str = "GET", head: str = "", body: bytes = b"") -> None:
    client.sendall(f"{method} {path} HTTP/1.1\r\nhost: x\r\n{head}\r\n".encode() + body)


def until(client: socket.socket, end: bytes) -> bytes:
    got = b""
    while not got.endswith(end):
        part = client.recv(65_536)
        assert part, got
        got += part
    return got


def test_head_and_body_come_in_one_piece(client: socket.socket) -> None:
    for _ in range(20):
        ask(client, "/whole")
        got = client.recv(65_536)
        assert got.startswith(b"HTTP/1.1 200 OK\r\n")
        assert got.endswith(b"\r\n\r\nbody")


def test_a_body_in_parts_comes_whole(client: socket.socket) -> None:
    for _ in range(2):
        ask(client, "/parts")
        got = until(client, b"0\r\n\r\n")
        assert got.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


def test_a_head_request_has_no_body(client: socket.socket) -> None:
    ask(client, "/whole", "HEAD")
    assert b"content-length: 4" in until(client, b"\r\n\r\n")
    ask(client, "/whole")
    assert until(client, b"body")


def test_a_body_that_looks_like_a_head_stays_behind_its_own(client: socket.socket) -> None:
    ask(client, "/odd")
    assert until(client, ODD).startswith(b"HTTP/1.1 200 OK\r\n")


def test_several_requests_at_once_are_answered_in_their_order(client: socket.socket) -> None:
    for number in range(5):
        body = b"%d" % number
        ask(client, "/echo", "POST", f"content-length: {len(body)}\r\n", body)
    got = until(client, b"4")
    assert [part[:1] for part in got.split(b"\r\n\r\n")[1:]] == [b"0", b"1", b"2", b"3", b"4"]


def test_a_client_that_asks_first_whether_it_may_send_is_told_at_once(client: socket.socket) -> None:
    ask(client, "/echo", "POST", "content-length: 3\r\nexpect: 100-continue\r\n")
    assert until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 100")
    client.sendall(b"abc")
    assert until(client, b"abc").startswith(b"HTTP/1.1 200")


def test_a_connection_that_ends_with_its_answer_gets_it_all(client: socket.socket) -> None:
    ask(client, "/whole", head="connection: close\r\n")
    assert until(client, b"body")
    assert client.recv(100) == b""


def test_an_application_that_fails_after_the_head_leaves_no_client_waiting(client: socket.socket) -> None:
    ask(client, "/fails")
    got = b""
    while part := client.recv(65_536):
        got += part
    assert b"\r\n\r\nbody" not in got


def test_a_slow_body_is_waited_for(client: socket.socket) -> None:
    RELEASED.clear()
    ask(client, "/slow")
    RELEASED.set()
    assert until(client, b"body").startswith(b"HTTP/1.1 200")
