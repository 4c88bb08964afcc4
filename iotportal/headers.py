"""The headers of answers that Django's middlewares never see: the raw handler's, and refusals before Django."""

from __future__ import annotations

from functools import cache

from django.conf import settings

Headers = list[tuple[bytes, bytes]]


@cache
def _always() -> Headers:
    headers = [
        (b"cache-control", b"no-store"),
        (b"content-security-policy", b"default-src 'none'; base-uri 'none'; frame-ancestors 'none'"),
        (b"referrer-policy", settings.SECURE_REFERRER_POLICY.encode()),
        (b"x-content-type-options", b"nosniff"),
    ]
    if settings.SECURE_HSTS_SECONDS:
        value = f"max-age={settings.SECURE_HSTS_SECONDS}; includeSubDomains; preload"
        headers.append((b"strict-transport-security", value.encode()))
    return headers


def answer_headers(content_type: str, length: int) -> Headers:
    """Return the headers of an answer of `length` bytes that is data, never a page."""
    return [(b"content-type", content_type.encode()), (b"content-length", str(length).encode()), *_always()]
