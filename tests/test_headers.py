"""Every answer says how a browser is to treat it, whoever gives it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.test import Client

from iotportal.headers import answer_headers

PAGES = ["/accounts/login/", "/help/", "/api/v1", "/api/v1/nothing", "/nothing", "/api/auth/app/v1/config"]


@pytest.mark.django_db
@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_not_kept_not_framed_and_not_guessed_at(path: str) -> None:
    headers = Client().get(path).headers

    assert "no-store" in headers["Cache-Control"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    policy = headers["Content-Security-Policy"]
    assert all(
        words in policy for words in ("default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "object-src 'none'")
    )


def test_what_django_never_sees_says_the_same() -> None:
    headers = dict(answer_headers("application/json", 2))

    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert b"frame-ancestors 'none'" in headers[b"content-security-policy"]
    assert b"strict-transport-security" not in headers


def test_over_https_cookies_are_bound_to_the_host_and_the_scheme_is_kept() -> None:
    said = (
        "from django.conf import settings as s; from iotportal.headers import answer_headers as h;"
        "print(s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME, s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE,"
        " dict(h('x', 1))[b'strict-transport-security'].decode())"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "iotportal.settings", "PORTAL_URL": "https://portal.example.com"}
    done = subprocess.run([sys.executable, "-c", said], env=environment, cwd=settings.BASE_DIR, capture_output=True, text=True)

    assert done.stdout.split(" ", 4) == [
        "__Host-sessionid",
        "__Host-csrftoken",
        "True",
        "True",
        "max-age=31536000; includeSubDomains; preload\n",
    ], done.stderr
