"""The server that RabbitMQ asks: over real sockets, without a RabbitMQ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from messaging.rabbitmq import readiness
from messaging.rabbitmq.auth_server import MAX_BODY_BYTES, AuthServer, _Link
from messaging.rabbitmq.names import auth_path
from messaging.rabbitmq.readiness import NotReady

ONE = "1" * 32
TOPIC = f"username={ONE}&vhost=%2F&resource=topic&name=amq.topic&permission=write&routing_key=server.{ONE}.get_gpio"


@pytest.fixture
async def server() -> AsyncIterator[AuthServer]:
    running = AuthServer(auth_path(), look=not_ready)
    await running.start("127.0.0.1", 0)
    yield running
    await running.stop()


def not_ready() -> None:
    raise NotReady("no queue")


async def ask(server: AuthServer, target: str, *bodies: str) -> list[bytes]:
    """Ask over one connection; each answer is what one read brings, so an answer in two writes would be seen."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    answers = []
    for body in bodies:
        writer.write(f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        answers.append(await asyncio.wait_for(reader.read(4096), 10))
    writer.close()
    return answers


async def test_it_answers_in_one_write_and_keeps_the_connection(server: AuthServer) -> None:
    allowed, denied = await ask(server, f"{auth_path()}/topic", TOPIC, TOPIC.replace("server.1", "server.2"))
    assert allowed.startswith(b"HTTP/1.1 200 OK\r\n")
    assert allowed.endswith(b"\r\n\r\nallow")
    assert denied.endswith(b"\r\n\r\ndeny")


async def test_who_does_not_know_the_path_is_told_nothing(server: AuthServer) -> None:
    for target in ("/topic", "/" + "0" * 40 + "/topic", f"{auth_path()}x/topic"):
        (answer,) = await ask(server, target, TOPIC)
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"allow" not in answer


async def test_what_is_no_form_is_denied_and_what_is_too_long_cut(server: AuthServer) -> None:
    (answer,) = await ask(server, f"{auth_path()}/topic", "&&&=;")
    assert answer.endswith(b"deny")
    (answer,) = await ask(server, f"{auth_path()}/topic", "x" * (MAX_BODY_BYTES + 1))
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_nobody_is_let_in_by_a_rabbitmq_that_would_lose_what_it_is_told(
    server: AuthServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(readiness, "PATIENCE_S", 0.02)
    login, topic = await ask(server, f"{auth_path()}/user", f"username={ONE}"), await ask(server, f"{auth_path()}/topic", TOPIC)
    assert login[0].startswith(b"HTTP/1.1 503 ")
    assert topic[0].endswith(b"allow")  # who is in has been let in
    assert "nobody is let in" in caplog.text


async def test_a_connection_that_rabbitmq_has_ended_is_known_as_such_at_once() -> None:
    link = _Link(lambda *_: asyncio.sleep(0, (200, "")))
    link.eof_received()
    assert not link.is_open
