"""Django's cache in Valkey, as JSON, with one client and one pool of connections for the whole process.

Django's own backend makes a client for every command and, as each request has a thread of its own, a pool and a connection for
every request: together that costs more than what is asked. And it keeps pickles, so that whoever gets to write to Valkey could
run what they like in every process that reads.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from django.conf import settings
from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from redis import Redis


class JsonSerializer:
    """What the cache keeps, sessions among it, as JSON. A tuple comes back as a list, as it does from a stored session."""

    def dumps(self, obj: Any) -> bytes:
        """Return what Valkey is to keep: of a whole number its digits, which it can count up."""
        return json.dumps(obj, separators=(",", ":")).encode()

    def loads(self, data: Any) -> Any:
        """Return what was kept. Raises ValueError where that is not JSON."""
        return json.loads(data)


class Client(RedisCacheClient):
    """One client of Valkey; threads may share it, and a process that was forked opens connections of its own."""

    def __init__(self, server: str) -> None:
        super().__init__([server], serializer=JsonSerializer)
        self._shared: Redis = Redis.from_url(server)

    def get_client(self, key: Any = None, *, write: bool = False) -> Any:
        """Return the client."""
        return self._shared


_client = cache(Client)  # by the server's URL


class SharedCache(RedisCache):
    """The cache; however many threads have one, they talk through one client."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._cache = _client(server)


def valkey() -> Redis:
    """Return the cache's client, for what Django's cache has no words for."""
    return _client(settings.VALKEY_URL)._shared
