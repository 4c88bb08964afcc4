"""Django's cache in Valkey, with one client and one pool of connections for the whole process.

Django's own backend makes a client for every command and, as each request has a thread of its own, a pool and a connection for
every request: together that costs more than what is asked.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.conf import settings
from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from redis import Redis


class Client(RedisCacheClient):
    """One client of Valkey; threads may share it, and a process that was forked opens connections of its own."""

    def __init__(self, server: str) -> None:
        super().__init__([server])
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
