"""Lets only the portal's own pages open a WebSocket.

A browser sends its cookies along whatever page opens the socket, and no same-origin policy stops it: who may is the server's to
say, by the Origin header, which no script can write. It must be one of the portal's own (`PORTAL_URL`, `PORTAL_TRUSTED_ORIGINS`)
or the origin of this very request, as Django has it for forms: scheme, host and port. A page on another port of our host is
another's.

Without an Origin it is no browser. Such a client has no page to be protected; but the only sign-in here is a browser's, so it is
refused as well: programs have the API, and one that borrows a session can say its origin.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

Origin = tuple[str, str, int]  # scheme, host in lower case, port
_PORTS = {"http": 80, "https": 443}


class OwnOrigin:
    """ASGI application in front of the WebSockets; `trusted`: more origins, "https://*.example.com" for all hosts below one."""

    def __init__(self, inner: App, trusted: Sequence[str]) -> None:
        self._inner = inner
        self._exact = {parse_origin(one) for one in trusted if "*" not in one}
        self._below = {parse_origin(one.replace("*.", "", 1)) for one in trusted if "*" in one}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the handshake (403) of a page that is not ours."""
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
        origin = parse_origin(given[0]) if len(given) == 1 else None
        if origin is not None and (origin in self._exact or self._is_below(origin) or origin == _own(scope)):
            await self._inner(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.close", "code": 1008})

    def _is_below(self, origin: Origin) -> bool:
        scheme, host, port = origin
        return any((scheme, port) == (one[0], one[2]) and host.endswith("." + one[1]) for one in self._below if one)


def parse_origin(text: str) -> Origin | None:
    """Return the parts of an origin as browsers write it ("https://example.com:8000"), or None if it is none ("null")."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or parts.username is not None or parts.path.strip("/") or parts.query:
        return None
    return parts.scheme, parts.hostname, _PORTS[parts.scheme] if port is None else port


def _own(scope: Scope) -> Origin | None:
    """Return the origin that this request was made to, by Django's rules for hosts (`PORTAL_ALLOWED_HOSTS`) and proxies."""
    scheme = {"ws": "http", "wss": "https"}.get(scope.get("scheme", "ws"), "http")
    request = ASGIRequest({**scope, "type": "http", "method": "GET", "scheme": scheme}, BytesIO())
    try:
        return parse_origin(f"{request.scheme}://{request.get_host()}")
    except DisallowedHost:
        return None
