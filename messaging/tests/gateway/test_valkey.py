"""The hot path's own Valkey client, against the real server and against one that hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import cast

import pytest
import pytest_asyncio
from django.conf import settings

import iotportal.valkey as module
from iotportal.valkey import Script, Valkey, ValkeyUnavailable
from messaging.tests.gateway.world import until

ECHO = Script("return {ARGV[1], redis.call('GET', KEYS[1])}")


@pytest_asyncio.fixture
async def valkey() -> AsyncIterator[Valkey]:
    made = Valkey(settings.VALKEY_URL, (ECHO,))
    await made.start()
    await made.call("FLUSHDB")
    yield made
    await made.stop()


async def test_commands_are_carried_out_in_the_order_they_are_given(valkey: Valkey) -> None:
    answers = []
    for number in range(50):
        valkey.post("SET", "a", number)
        answers.append(valkey.call("GET", "a"))
        valkey.post("SET", "a", "later")
        answers.append(valkey.run(ECHO, ("a",), (number,)))
        if number % 7 == 0:
            await asyncio.sleep(0)
    found = await asyncio.gather(*answers)
    assert found[::2] == [b"%d" % number for number in range(50)]
    assert found[1::2] == [[b"%d" % number, b"later"] for number in range(50)]


async def test_what_is_posted_leaves_without_anybody_asking_more(valkey: Valkey) -> None:
    other = Valkey(settings.VALKEY_URL)
    await other.start()
    valkey.post("SET", "a", "posted")
    assert await until(lambda: other.call("GET", "a"), "what was posted") == b"posted"
    valkey.post("SET", "a", "the last word")
    await valkey.stop()
    await until(lambda: _is(other, b"the last word"), "what was posted just before the end")
    await other.stop()


async def test_what_is_not_urgent_leaves_together_and_before_what_is_asked_later(valkey: Valkey) -> None:
    link, writes = valkey._link, list[bytes]()
    assert link is not None
    transport = link._transport
    assert transport is not None

    def write(data: bytes) -> None:
        writes.append(data)
        transport.write(data)

    link._transport = cast(asyncio.Transport, SimpleNamespace(write=write, close=transport.close))
    answers = []
    for number in range(3):
        answers.append(valkey.run(ECHO, ("a",), (number,), urgent=False))
        await asyncio.sleep(0)
    assert not writes
    assert [answer[0] for answer in await asyncio.gather(*answers)] == [b"0", b"1", b"2"]
    assert len(writes) == 1
    late = valkey.run(ECHO, ("a",), (3,), urgent=False)
    valkey.keep("SET", "a", "9")  # what must not be lost takes along what waits
    assert (await late)[0] == b"3"
    assert len(writes) == 2
    late = valkey.run(ECHO, ("a",), (4,), urgent=False)
    assert await valkey.call("GET", "a") == b"9"
    assert late.done()
    assert len(writes) == 3


async def _is(valkey: Valkey, value: bytes) -> bool:
    return bool(await valkey.call("GET", "a") == value)


async def test_an_answer_that_nobody_waits_for_can_be_undone_whenever_it_comes(valkey: Valkey) -> None:
    told: list[int] = []
    for turns in range(12):
        answer = valkey.call("INCR", "counter")
        for _ in range(turns):
            await asyncio.sleep(0)
        answer.cancel()
        await valkey.call("PING")
        answer.undo(told.append)
        another = valkey.call("INCR", "counter")
        another.cancel()
        another.undo(told.append)
    await valkey.call("PING")
    assert sorted(told) == list(range(1, 25))


async def test_a_server_that_hangs_is_given_up_and_asked_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_S", 0.1)
    monkeypatch.setattr(module, "LOOK_S", 0.02)
    connections: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        if len(connections) > 1:
            while await reader.read(1000):
                writer.write(b"+PONG\r\n")

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    valkey = Valkey(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await valkey.start()
    with pytest.raises(ValkeyUnavailable):
        await valkey.call("PING")
    await until(lambda: len(connections) == 2 and valkey._link is not None, "a second connection")
    assert await valkey.call("PING") == b"PONG"
    assert valkey._link is not None
    for later_s in range(20):  # a server that is idle is no server that hangs
        valkey._link.look(asyncio.get_running_loop().time() + later_s)
    assert await valkey.call("PING") == b"PONG"
    assert len(connections) == 2
    await valkey.stop()
    server.close()


async def test_what_is_kept_waits_for_a_connection_and_is_sent_again_when_one_broke_without_an_answer() -> None:
    heard: list[list[bytes]] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said: list[bytes] = []
        heard.append(said)
        while data := await reader.read(1000):
            said += [word for word in data.split(b"\r\n") if word.startswith(b"record")]
            if len(heard) == 1:
                break  # it has the command; whether it carried it out nobody knows
            writer.write(b"+OK\r\n" * data.count(b"XADD"))
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    valkey = Valkey(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    valkey._loop = asyncio.get_running_loop()
    valkey.keep("XADD", "stream", "record-1")
    await valkey.start()
    await until(lambda: len(heard) == 2 and heard[1], "the next connection")
    valkey.keep("XADD", "stream", "record-2")
    await until(lambda: valkey._link is not None and not valkey._link.pending, "both answered")
    assert heard == [[b"record-1"], [b"record-1", b"record-2"]]
    await valkey.stop()
    server.close()


async def test_who_has_read_a_key_is_told_once_when_another_changes_it(valkey: Valkey) -> None:
    other, told = Valkey(settings.VALKEY_URL, (ECHO,)), list[str | None]()
    other.on_changed = told.append
    await other.start()
    await other.run(ECHO, ("read",), ("",))
    await other.call("SET", "own", "1")
    await other.call("GET", "own")
    await other.call("SET", "own", "2")  # no news to who did it
    for key in ("read", "unread", "read"):
        await valkey.call("SET", key, "1")
    await until(lambda: told, "what has changed")
    await other.call("GET", "read")
    await valkey.call("FLUSHDB")
    await until(lambda: len(told) > 1, "that all has")
    assert told == ["read", None]
    await other.stop()
