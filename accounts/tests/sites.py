"""Sites that people sign in with, as tests run them: a real OpenID Connect provider, and one that breaks its protocol at will."""

from __future__ import annotations

import html
import json
import re
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import oidc_provider_mock
import requests
from django.core import mail
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from iotportal.login_providers import LoginProvider, for_allauth

CLIENT = "portal"
BEGIN, DEVICES = "/accounts/oidc/login/", "/devices/"


def offer(settings: Settings, *providers: LoginProvider) -> None:
    """Have the portal offer these sites."""
    settings.LOGIN_PROVIDERS = list(providers)
    settings.SOCIALACCOUNT_PROVIDERS = for_allauth(list(providers))


def oidc(url: str, *, provider_id: str = "oidc", name: str = "Home SSO", trusts_email: bool = False) -> LoginProvider:
    """Return a provider as the environment would have it."""
    values = {"URL": url, "ID": CLIENT, "SECRET": "not a secret"}
    return LoginProvider(id=provider_id, kind="oidc", name=name, trusts_email=trusts_email, values=values, missing=())


def asked_for(page: Any) -> str:
    """Return where a page that goes on by itself goes to."""
    found = re.search(r'content="0;url=([^"]+)"', page.content.decode())
    assert found, page.content.decode()[:3000]
    return html.unescape(found[1])


class Site:
    """An OpenID Connect provider with people."""

    def __init__(self, url: str) -> None:
        self.url = url

    def person(self, sub: str, **claims: object) -> str:
        """Have somebody there, or tell else of them from now on."""
        told: Any = claims
        answer = requests.put(f"{self.url}/users/{sub}", json=told, timeout=10)
        assert answer.ok, answer.text
        return sub

    def answer(self, page: Any, sub: str) -> str:
        """Sign in there as `sub` and return where that leads back to."""
        return self.sign_in(asked_for(page), sub)

    def sign_in(self, url: str, sub: str) -> str:
        """Do the same for an address that a page would have gone to."""
        answer = requests.post(url, data={"sub": sub}, allow_redirects=False, timeout=10)
        assert answer.status_code == 302, answer.text
        parts = urlsplit(answer.headers["location"])
        return f"{parts.path}?{parts.query}"

    def deny(self, page: Any) -> str:
        """Change one's mind there."""
        answer = requests.post(asked_for(page), data={"action": "deny"}, allow_redirects=False, timeout=10)
        parts = urlsplit(answer.headers["location"])
        state = parse_qs(urlsplit(asked_for(page)).query)["state"][0]
        return f"{parts.path}?{parts.query}&{urlencode({'state': state})}"


@contextmanager
def running_site(port: int = 0) -> Iterator[Site]:
    """Run a provider until the end of the block, on a free port unless one is named."""
    with oidc_provider_mock.run_server_in_thread(port=port, issue_refresh_token=False) as server:
        yield Site(f"http://localhost:{server.server_port}")


class LyingSite:
    """A provider whose answers a test makes up: `says` changes claims, userinfo, configuration and the way back."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {}
        self.userinfo: dict[str, Any] | None = None
        self.configuration: dict[str, Any] = {}
        self.token: Any = None  # in place of the token endpoint's answer
        self.asked: list[str] = []
        self._nonces: dict[str, str] = {}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                self.answer(site.answers(urlsplit(self.path).path))

            def do_POST(self) -> None:
                body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                site.asked.append(self.path)
                self.answer(site.tokens(body["code"][0]))

            def answer(self, body: Any) -> None:
                text = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://localhost:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def code_for(self, page: Any) -> tuple[str, str]:
        """Return a code for what a page asks, and the state that goes with it."""
        asked = parse_qs(urlsplit(asked_for(page)).query)
        code = secrets.token_urlsafe(8)
        self._nonces[code] = asked["nonce"][0]
        return code, asked["state"][0]

    def answer(self, page: Any, *, provider_id: str = "oidc", **more: str) -> str:
        """Return where signing in leads back to."""
        code, state = self.code_for(page)
        return f"/accounts/{provider_id}/login/callback/?{urlencode({'code': code, 'state': state, **more})}"

    def answers(self, path: str) -> Any:
        """Answer a question that is no question for tokens."""
        if path == "/userinfo":
            return self.userinfo
        endpoints = {f"{name}_endpoint": f"{self.url}/{name}" for name in ("authorization", "token", "userinfo")}
        return {"issuer": self.url, "jwks_uri": f"{self.url}/jwks", **endpoints, **self.configuration}

    def tokens(self, code: str) -> Any:
        """Answer with an ID token."""
        if self.token is not None:
            return self.token
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 60, "nonce": self._nonces[code], "sub": "sam"}
        claims |= self.claims
        kept = {key: value for key, value in claims.items() if value is not None}
        if self.userinfo is None:
            self.userinfo = {key: value for key, value in kept.items() if key not in {"iss", "aud", "iat", "exp", "nonce"}}
        return {"access_token": "token", "token_type": "Bearer", "id_token": jwt.encode(kept, "k" * 32, algorithm="HS256")}


def go(client: Client, site: Site, sub: str) -> Any:
    """Sign in at the site and come back."""
    return client.get(site.answer(client.post(BEGIN), sub))


def who(client: Client) -> str:
    found = client.session.get("_auth_user_id")
    return User.objects.get(pk=found).username if found else ""


def is_told(subject: str) -> bool:
    return any(subject in message.subject for message in mail.outbox)


SAM: dict[str, object] = {"name": "Sam Smith", "email": "sam@example.com", "email_verified": True, "preferred_username": "sam"}
