"""How often one token may ask, so that a program that runs away does not use up what its user's others may."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from accounts.models import ApiToken


class TokenRateThrottle(SimpleRateThrottle):
    """Counts by token; a session is counted as its user alone."""

    scope = "token"

    def get_cache_key(self, request: Request, view: object) -> str | None:
        """Return the token's key, None without one."""
        token = request.auth
        return f"throttle_token_{token.pk.hex}" if isinstance(token, ApiToken) else None
