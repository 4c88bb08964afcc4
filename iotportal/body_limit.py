"""Refuses large request bodies before Django, which would first write all of one to disk and then look at its size."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from iotportal.bodies import MAX_BODY_BYTES, too_large
from iotportal.headers import answer_headers
from iotportal.legacy import is_legacy, refusal
from iotportal.problems import CONTENT_TYPE

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

DRAIN_BYTES = 16 * 1024 * 1024  # read and thrown away, so that a caller who still sends gets to see the answer


class BodyLimit:
    """ASGI application in front of Django's: `page_bytes` for forms, MAX_BODY_BYTES for the API."""

    def __init__(self, inner: App, page_bytes: int) -> None:
        self._inner = inner
        self._page_bytes = page_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body as far as it may go, then hand it on with its length, or refuse it."""
        declared = _declared(scope) if scope["type"] == "http" else 0
        if declared == 0:
            await self._inner(scope, receive, send)
            return
        api = scope["path"].startswith("/api/")
        most = MAX_BODY_BYTES if api else self._page_bytes
        body, whole = await _read(receive, most) if declared is None or declared <= most else (None, False)
        if body is None:
            if not whole:
                await _drain(receive)
            await _refuse(send, most, scope["path"] if api else None)
            return
        headers = [(name, value) for name, value in scope["headers"] if name not in {b"content-length", b"transfer-encoding"}]
        headers.append((b"content-length", str(len(body)).encode()))
        await self._inner({**scope, "headers": headers}, _replay(body, receive), send)


def _declared(scope: Scope) -> int | None:
    """Return the length that the headers give, 0 for no body, None for one that comes in chunks of unknown length."""
    length: int | None = 0
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            length = int(value) if value.isdigit() else None
    return length


async def _read(receive: Receive, most: int) -> tuple[bytes | None, bool]:
    """Return the body, or None if it is larger than `most`, and whether all of it came; a hang-up ends it."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        whole = not message.get("more_body")
        if size > most:
            return None, whole
        chunks.append(chunk)
        if whole:
            return b"".join(chunks), True


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body once and then what really comes."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _drain(receive: Receive) -> None:
    """Read on to the body's end, or until that is too much to be kind about."""
    drained = 0
    while drained < DRAIN_BYTES:
        message = await receive()
        drained += len(message.get("body", b""))
        if not message.get("more_body"):
            return


async def _refuse(send: Send, most: int, path: str | None) -> None:
    """Answer 413, as the API (its `path`) or as a page says it."""
    if path is None:
        text = f"That is too large to be sent: a form may have {most // 1024} KiB. Go back and choose a smaller file."
        data, content_type = text.encode(), "text/plain; charset=utf-8"
    elif is_legacy(path):
        data, content_type = json.dumps(refusal(too_large())).encode(), "application/json"
    else:
        data, content_type = json.dumps(too_large().body()).encode(), CONTENT_TYPE
    headers = [*answer_headers(content_type, len(data)), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": data})
