"""Which other sites' pages may call the API from a browser: none, unless the operator lists their origins.

It stands before everything else, because the raw handler answers before Django. Cookies are never let along: such a page brings
a token.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from starlette.middleware.cors import CORSMiddleware

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PREFLIGHT_S = 600  # how long a browser may remember what it was told
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_TAKES = ("Authorization", "Content-Type", "Idempotency-Key", "X-Session-Token")
_SHOWS = ("Idempotency-Replayed", "Location", "Retry-After", "WWW-Authenticate")


class Cors:
    """ASGI application in front of the others."""

    def __init__(self, inner: App, origins: Sequence[str]) -> None:
        self._inner = inner
        self._api = CORSMiddleware(
            inner,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=_TAKES,
            expose_headers=_SHOWS,
            max_age=PREFLIGHT_S,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let pages of the listed origins see the API's answers; no other page is of their business."""
        api = scope["type"] == "http" and scope["path"].startswith("/api/")
        await (self._api if api else self._inner)(scope, receive, send)
