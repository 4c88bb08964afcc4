"""`Idempotency-Key`: a request that may be sent again without being carried out again.

The header is that of draft-ietf-httpapi-idempotency-key-header.

A caller that lost the connection does not know whether the pin was set. With the header it sends the same request once more and
gets the first one's answer, marked `Idempotency-Replayed: true`. It stands before the raw handler and Django alike, so that every
operation of the API that changes something takes it.

What Valkey keeps for a day, under a hash of credential and key: the request's fingerprint, when it began and, once it was carried
out, the answer. Answers can hold secrets (a device's key, a token), so they are sealed with a key that is made from the caller's
credential and key as well, and neither is stored: only who sends the request again can open its answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.http import parse_cookie

from iotportal.bodies import MAX_BODY_BYTES, too_large
from iotportal.headers import answer_headers
from iotportal.problems import CONTENT_TYPE, Problem
from iotportal.valkey import Valkey, ValkeyUnavailable

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADER = "Idempotency-Key"
KEPT_S = 24 * 3600
LONGEST_S = 60  # no request takes longer: what has no answer after that was cut off in the middle
_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_KEY = re.compile(rb"[\x21-\x7e]{1,255}\Z")
_NOT_REPLAYED = frozenset({b"content-length", b"date", b"server", b"set-cookie", b"connection", b"transfer-encoding"})
# After these the device or the database may have changed. After all others nothing was done, and the same key may try again.
_CARRIED_OUT = frozenset({500, 502, 504})


@dataclass(slots=True)
class _Answer:
    """A response, gathered as the application sends it."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", []))
        else:
            self.body += message.get("body", b"")

    async def give(self, send: Send, *, replayed: bool = False) -> None:
        extra = [(b"idempotency-replayed", b"true"), (b"content-length", str(len(self.body)).encode())] if replayed else []
        await send({"type": "http.response.start", "status": self.status, "headers": [*self.headers, *extra]})
        await send({"type": "http.response.body", "body": bytes(self.body)})

    def dump(self) -> bytes:
        kept = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in self.headers if name.lower() not in _NOT_REPLAYED
        ]
        return json.dumps([self.status, kept]).encode() + b"\n" + self.body

    @classmethod
    def load(cls, data: bytes) -> _Answer:
        head, _, body = data.partition(b"\n")
        status, headers = json.loads(head)
        return cls(status, [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers], bytearray(body))


class _Record:
    """What is known of one key of one caller."""

    def __init__(self, credential: bytes, key: bytes, fingerprint: bytes) -> None:
        self._seal = AESGCM(_derived(b"seal", credential, key))
        self.name = "idempotency:" + _derived(b"name", credential, key).hex()
        self._fingerprint = fingerprint

    def begun(self) -> bytes:
        return b"%s %d " % (self._fingerprint, time.time())

    def ended(self, answer: _Answer) -> bytes:
        nonce = os.urandom(12)
        return self.begun() + nonce + self._seal.encrypt(nonce, answer.dump(), self._fingerprint)

    def replay(self, stored: bytes) -> _Answer:
        """Return the answer that was stored.

        Raises:
            Problem: 422, the key belongs to another request; 409, that request is still under way or was cut off.
        """
        fingerprint, began, sealed = stored.split(b" ", 2)
        if not hmac.compare_digest(fingerprint, self._fingerprint):
            raise Problem(422, "idempotency_key_reused", f"This {HEADER} was sent with another request. Make a new one.")
        if sealed:
            try:
                return _Answer.load(self._seal.decrypt(sealed[:12], sealed[12:], self._fingerprint))
            except InvalidTag:
                pass  # the portal's own key has changed since
        elif time.time() - int(began) < LONGEST_S:
            raise Problem(409, "idempotency_in_progress", "The first request with this key is still under way.", retry_after_s=1)
        detail = (
            "The first request with this key was cut off, and whether it was carried out is not known. Look, then use a new key."
        )
        raise Problem(409, "idempotency_unknown", detail)


def _derived(use: bytes, credential: bytes, key: bytes) -> bytes:
    secret = hmac.digest(settings.SECRET_KEY.encode(), b"idempotency " + use, "sha256")
    return hmac.digest(secret, hashlib.sha256(credential).digest() + key, "sha256")


class Idempotency:
    """ASGI application in front of the raw handler and Django."""

    def __init__(self, inner: App) -> None:
        self._inner = inner
        self._valkey: Valkey | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a repeated request from memory; hand on everything else."""
        key = _header(scope) if scope["type"] == "http" and scope["method"] in _METHODS else None
        credential = _credential(scope) if key is not None and scope["path"].startswith("/api/") else b""
        if key is None or not credential:  # who is nobody will be told so, and has nothing to repeat
            await self._inner(scope, receive, send)
            return
        try:
            await self._once(scope, receive, send, credential, key)
        except Problem as problem:
            await _refuse(send, problem)
        except ValkeyUnavailable:
            detail = "The portal cannot check the Idempotency-Key right now. Nothing was done; try again."
            await _refuse(send, Problem(503, "unavailable", detail, retry_after_s=1))

    async def _once(self, scope: Scope, receive: Receive, send: Send, credential: bytes, key: bytes) -> None:
        if not _KEY.match(key):
            raise Problem(400, "invalid_idempotency_key", f"{HEADER} is 1 to 255 visible ASCII characters, without spaces.")
        body = await _read(receive)
        record = _Record(credential, key, _fingerprint(scope, body))
        valkey = await self._started()
        stored = await valkey.call("SET", record.name, record.begun(), "NX", "GET", "EX", KEPT_S)
        if stored is not None:
            await record.replay(stored).give(send, replayed=True)
            return
        answer = _Answer()
        try:
            await self._inner(scope, _replayed(body), answer.take)
        except Exception:
            answer.status = 500  # it may have been carried out, so the key stays taken
            raise
        finally:
            if 200 <= answer.status < 300 or answer.status in _CARRIED_OUT:
                valkey.post("SET", record.name, record.ended(answer), "EX", KEPT_S)
            elif answer.status:
                valkey.post("DEL", record.name)
        await answer.give(send)

    async def _started(self) -> Valkey:
        if self._valkey is None:
            self._valkey = Valkey(settings.VALKEY_URL)
            await self._valkey.start()
        return self._valkey


def _header(scope: Scope) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == b"idempotency-key"), None)


def _credential(scope: Scope) -> bytes:
    """Return what says who asks, or nothing: a key is the caller's own, and with another's it means another request."""
    found = []
    for name, value in scope["headers"]:
        if name in {b"authorization", b"x-session-token"}:
            found.append(name + b" " + value)
        elif name == b"cookie":
            session = parse_cookie(value.decode("latin-1")).get(settings.SESSION_COOKIE_NAME)
            found += [b"session " + session.encode("latin-1")] if session else []
    return b"\0".join(found)


def _fingerprint(scope: Scope, body: bytes) -> bytes:
    parts = (scope["method"].encode(), scope["path"].encode(), scope["query_string"], body)
    return hashlib.sha256(b"".join(b"%d:%s" % (len(part), part) for part in parts)).hexdigest().encode()


async def _read(receive: Receive) -> bytes:
    """Return the request's body.

    Raises:
        Problem: 413, it is too large; 400, the caller hung up in the middle of it.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "bad_request", "The request could not be read.")
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise too_large()
        if not message.get("more_body"):
            return bytes(body)


def _replayed(body: bytes) -> Receive:
    """Return a `receive` that gives the body and then nothing: a caller that hangs up wants the answer when it comes back."""
    given = False

    async def receive() -> Message:
        nonlocal given
        if given:
            await asyncio.Event().wait()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _refuse(send: Send, problem: Problem) -> None:
    body = json.dumps(problem.body()).encode()
    answer = _Answer(problem.status, answer_headers(CONTENT_TYPE, len(body)), bytearray(body))
    if problem.retry_after_s is not None:
        answer.headers.append((b"retry-after", str(problem.retry_after_s).encode()))
    await answer.give(send)
