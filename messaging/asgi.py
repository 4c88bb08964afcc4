"""The hot operation, answered before Django: a command over HTTP with a token.

Django's middlewares and DRF cost more than the whole way to the device and back. So a request for a command that brings a Bearer
token is handled here, over the same gateway; everything else, and every other way of signing in, goes on to Django, where DRF has
the same operations for browsing and for the schema.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl

from django.urls import get_resolver

from accounts.tokens import hash_token, looks_like_token
from iotportal.bodies import MAX_BODY_BYTES, parse_object, too_large
from iotportal.fast_json import encode
from iotportal.garbage import keep_what_is_loaded
from iotportal.headers import answer_headers
from iotportal.problems import CONTENT_TYPE, Problem, problem_body
from iotportal.throttle import client_address
from messaging.gateway import runtime
from messaging.gateway.admission import Caller
from messaging.gateway.core import Gateway
from messaging.operations import API_OPERATIONS, find_operation

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

NOTICE_S = 0.25  # how soon a caller who leaves is noticed

_PATH = re.compile(r"/api/v1/devices/([0-9a-f]{32}|[0-9a-f-]{36})/(?:apis/([a-z][a-z0-9_]{0,63})|([a-z]+)(?:/(\d{1,5}))?)\Z")


class CommandApp:
    """ASGI application in front of Django's."""

    def __init__(self, inner: App) -> None:
        self._inner = inner
        self._watchman = _Watchman()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a command with a token; hand on everything else."""
        if scope["type"] == "http":
            found = _PATH.match(scope["path"])
            work = _work(scope["method"], found) if found else None
            head = _head(scope) if work is not None else None
            if work is not None and head is not None:
                await self._answer(scope, receive, send, work, head)
                return
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        await self._inner(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, work: Work, head: _Head) -> None:
        """Run one operation and write its answer in one go."""
        headers: list[tuple[bytes, bytes]] = []
        try:
            if not looks_like_token(head.token):
                raise Problem(401, "invalid_token", "That token is not known, has ended or was revoked.")
            body = parse_object(await _read(receive)) if scope["method"] != "GET" else {}
            caller = Caller(None, hash_token(head.token), address=head.address)
            with _Attended(self._watchman, receive):
                answer = await work(runtime.current(), caller, body, _query(scope))
            status, content_type = 200, "application/json"
        except Problem as problem:
            status, content_type, answer = problem.status, CONTENT_TYPE, problem.body()
            if problem.retry_after_s is not None:
                headers.append((b"retry-after", str(problem.retry_after_s).encode()))
            if status == 401:
                headers.append((b"www-authenticate", b'Bearer realm="api"'))
        except _CallerGone:
            return
        except Exception:
            logger.exception("a command failed")
            status, content_type = 500, CONTENT_TYPE
            answer = problem_body(500, "error", "Something went wrong here. It has been noted.")
        data = encode(answer)
        headers += answer_headers(content_type, len(data))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": data})


Work = Callable[[Gateway, Caller, Mapping[str, object], Mapping[str, str]], Awaitable[dict[str, object]]]


def _work(method: str, found: re.Match[str]) -> Work | None:
    """Return what carries out the operation that an address names, waiting for who asks, with what body and query; or None."""
    device, api, path, number = found.groups()
    if api is not None and (named := API_OPERATIONS.get(method)) is not None:
        return lambda gateway, caller, body, query: named.run(gateway, caller, device, api, body, query)
    if path is not None and (operation := find_operation(method, path, number)) is not None:
        at = int(number) if number else None
        return lambda gateway, caller, body, query: operation.run(gateway, caller, device, at, body, query)
    return None


async def _lifespan(receive: Receive, send: Send) -> None:
    """Start the gateway with the server and stop it in order."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await runtime.start()
            _ = get_resolver().url_patterns  # with which all pages are loaded
            keep_what_is_loaded()
            await send({"type": "lifespan.startup.complete"})
        else:
            await runtime.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return


def _is_json(content_type: bytes) -> bool:
    return content_type == _JSON or content_type.partition(b";")[0].strip().lower() == _JSON


def _takes_json(accept: bytes) -> bool:
    return any(kind in accept for kind in (b"*/*", _JSON, b"application/*"))


_JSON = b"application/json"


@dataclass(frozen=True, slots=True)
class _Head:
    """What the headers of a command say."""

    token: str
    address: str


def _head(scope: Scope) -> _Head | None:
    """Return what the headers say, or None where Django has to answer.

    It has where there is no Bearer token, and about bodies and answers that are not JSON, as nearly all are, DRF has its own word
    (406, 415, HTML).
    """
    token, forwarded = None, None
    for name, value in scope["headers"]:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            token = value[7:].decode("latin-1").strip()
        elif name == b"x-forwarded-for":
            forwarded = value.decode("latin-1") if forwarded is None else f"{forwarded},{value.decode('latin-1')}"
        elif (name == b"content-type" and not _is_json(value)) or (name == b"accept" and not _takes_json(value)):
            return None
    if token is None:
        return None
    peer = scope.get("client")
    return _Head(token, client_address(peer[0] if peer else None, forwarded))


class _CallerGone(Exception):
    """Nobody waits for the answer any more."""


class _Attended:
    """A block of the present task that is cancelled when the request's caller closes the connection.

    The block then ends with _CallerGone.
    """

    def __init__(self, watchman: _Watchman, receive: Receive) -> None:
        self._watchman = watchman
        self._receive = receive
        self._task = asyncio.current_task()
        self._watcher: asyncio.Task[None] | None = None
        self._gone = False

    def __enter__(self) -> None:
        self._watchman.begin(self)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._watchman.end(self)
        if self._watcher is not None:
            self._watcher.cancel()
        if self._gone and kind is asyncio.CancelledError and self._task is not None and self._task.uncancel() == 0:
            raise _CallerGone from None

    def watch(self) -> None:
        """See to it that the caller's leaving is noticed."""
        if self._watcher is None:
            self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        if self._task is not None:
            self._task.cancel()


class _Watchman:
    """Looks every NOTICE_S who is still at work, and has their connections watched.

    Nearly all are done before anybody could leave, and a task that watches costs a tenth of a whole command.
    """

    def __init__(self) -> None:
        self._at_work: set[_Attended] = set()
        self._looking = False

    def begin(self, work: _Attended) -> None:
        """Take note of one who begins."""
        self._at_work.add(work)
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(NOTICE_S, self._look)

    def end(self, work: _Attended) -> None:
        """Forget one who is done."""
        self._at_work.discard(work)

    def _look(self) -> None:
        for one in self._at_work:
            one.watch()
        self._looking = bool(self._at_work)
        if self._looking:
            asyncio.get_running_loop().call_later(NOTICE_S, self._look)


async def _read(receive: Receive) -> bytes:
    """Return the request's body.

    Raises:
        Problem: 413, it is too large.
    """
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _CallerGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise too_large()
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


def _query(scope: Scope) -> dict[str, str]:
    return dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)) if scope["query_string"] else {}
