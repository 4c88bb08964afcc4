"""A client of the documented API, for several tests."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import time_machine
from django.test import Client
from django.utils import timezone

from accounts.tests.helpers import PASSWORD

NEW_PASSWORD = "blue valve 7 opens"
NEW = {"username": "carol", "password": PASSWORD, "email": "carol@example.org", "firstname": "Carol", "lastname": "Chen"}


class Program:
    """An old client: it sends JSON and keeps no cookies."""

    def __call__(self, path: str, body: Any = None, method: str = "POST", **headers: str) -> Any:
        data = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
        kind = headers.pop("content_type", "application/json")
        answer = Client().generic(method, f"/api/user{path}", data, kind, headers=headers)
        assert not answer.cookies, "it set a cookie"
        assert answer["Content-Type"] == "application/json"
        said = answer.json()
        assert said["status"] == ("OK" if answer.status_code == 200 else "NG")
        assert said["message"]
        assert ("code" in said) == (said["status"] == "NG")
        return answer

    def sign_in(self, name: str = "alice", password: str = PASSWORD, **more: str) -> Any:
        return self("/login", {"username": name, "password": password, **more})

    def signed_in(self, name: str = "alice") -> dict[str, Any]:
        """Return what every request of a client that has signed in brings."""
        return {"username": name, "access_token": self.sign_in(name).json()["access_token"]}


def refused(answer: Any, status: int, code: str) -> Any:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.content
    return answer.json()


def later(**by: float) -> time_machine.travel:
    return time_machine.travel(timezone.now() + timedelta(**by))
