"""Every error of the API has one shape, whoever makes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.core.cache import cache as django_cache
from django.db import OperationalError
from django.test import Client
from rest_framework.test import APIClient
from rest_framework.throttling import AnonRateThrottle, UserRateThrottle

from accounts.models import User
from messaging.api import views
from messaging.tests.api.conftest import client_of

FIELDS = {"type", "title", "status", "detail", "code", "errors"}


def assert_problem(answer: Any, status: int, code: str) -> None:
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json"), answer.content
    body = answer.json()
    assert set(body) == FIELDS
    assert (body["type"], body["status"], body["code"]) == ("about:blank", status, code)
    assert body["title"]
    assert body["detail"]


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("post", "/api/v1/devices", {"data": b"{", "content_type": "application/json"}, 400, "parse_error"),
        ("post", "/api/v1/devices", {"data": b"\xff", "content_type": "application/json"}, 400, "parse_error"),
        ("post", "/api/v1/devices", {"data": b'{"name": NaN}', "content_type": "application/json"}, 400, "parse_error"),
        ("post", "/api/v1/devices", {"data": b"[" * 60_000, "content_type": "application/json"}, 400, "parse_error"),
        ("post", "/api/v1/devices", {"data": b"9" * 6000, "content_type": "application/json"}, 400, "parse_error"),
        ("post", "/api/v1/devices", {"data": b"x" * 65_537, "content_type": "application/json"}, 413, "too_large"),
        ("post", "/api/v1/devices", {"data": b"a", "content_type": "text/plain"}, 415, "unsupported_media_type"),
        ("put", "/api/v1/devices", {}, 405, "method_not_allowed"),
        ("get", "/api/v1/devices", {"HTTP_ACCEPT": "image/png"}, 406, "not_acceptable"),
        ("get", "/api/v1/devices?format=nothing", {}, 404, "not_found"),
        ("get", "/api/v1/schema?format=nothing", {}, 404, "not_found"),
        ("get", "/api/v1/devices/x", {}, 404, "not_found"),
    ],
)  # fmt: skip
def test_a_callers_mistake_is_a_problem(api: APIClient, method: str, path: str, options: Any, status: int, code: str) -> None:
    assert_problem(getattr(api, method)(path, **options), status, code)


@pytest.mark.parametrize("header", ["Bearer nonsense", "Bearer a b", "Bearer", "Bearer \xff", "Bearer iotp_" + "x" * 43])
def test_a_token_that_is_none_is_401(db: None, header: str) -> None:
    answer = Client().get("/api/v1/devices", HTTP_AUTHORIZATION=header)
    assert_problem(answer, 401, "invalid_token")
    assert answer["WWW-Authenticate"] == 'Bearer realm="api"'


def test_the_most_that_a_body_may_have_is_read(api: APIClient) -> None:
    body = b'{"name": "Lamp"}' + b" " * (65_536 - 16)
    assert api.post("/api/v1/devices", data=body, content_type="application/json").status_code == 201


def test_a_browser_is_shown_the_problem_on_a_page(api: APIClient) -> None:
    answer = api.get("/api/v1/devices/x", HTTP_ACCEPT="text/html")
    assert (answer.status_code, answer["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "No such device." in answer.content.decode()


def test_a_form_of_a_browser_is_415_however_large(alice: User) -> None:
    browser = Client(enforce_csrf_checks=True)  # which looks for the token in the form
    browser.force_login(alice, backend="accounts.auth_backend.AuthenticationBackend")
    browser.cookies["csrftoken"] = "c" * 32
    for body in (b"a=1", b"x" * 300_000, b"&".join([b"a=1"] * 300)):
        answer = browser.post("/api/v1/devices", data=body, content_type="application/x-www-form-urlencoded")
        assert_problem(answer, 415, "unsupported_media_type")


def test_more_parameters_than_anybody_reads_are_400(api: APIClient) -> None:
    assert_problem(api.get("/api/v1/devices?" + "&".join(f"a{number}=1" for number in range(300))), 400, "bad_request")


@pytest.mark.parametrize("error", [OperationalError("gone"), redis.ConnectionError("gone")])
def test_without_its_data_the_portal_says_503(api: APIClient, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(_self: object) -> None:
        raise error

    monkeypatch.setattr(views.LiveDeviceListView, "get_queryset", fail)
    answer = api.get("/api/v1/devices")
    assert_problem(answer, 503, "unavailable")
    assert answer["Retry-After"] == "2"
    assert "gone" not in answer.content.decode()


def test_a_mistake_of_ours_is_500_says_nothing_of_itself_and_is_noted(
    api: APIClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_self: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(views.LiveDeviceListView, "get_queryset", fail)
    with pytest.raises(ZeroDivisionError):
        api.get("/api/v1/devices")  # it was announced as Django announces it
    api.raise_request_exception = False
    answer = api.get("/api/v1/devices")
    assert_problem(answer, 500, "error")
    assert "secret" not in answer.content.decode()
    assert "ZeroDivisionError" in caplog.text


@pytest.fixture
def three_a_minute(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(AnonRateThrottle, "THROTTLE_RATES", {"anon": "3/min", "user": "3/min"})
    monkeypatch.setattr(UserRateThrottle, "THROTTLE_RATES", {"anon": "3/min", "user": "3/min"})
    django_cache.clear()
    yield
    django_cache.clear()


@pytest.mark.usefixtures("three_a_minute")
def test_too_many_requests_are_429_with_the_time_to_wait(alice: User, bob: User) -> None:
    for client in (client_of(alice), client_of(bob), APIClient()):
        path = "/api/v1"
        assert [client.get(path).status_code for _ in range(3)] == [200] * 3
        answer = client.get(path)
        assert_problem(answer, 429, "throttled")
        assert 1 <= int(answer["Retry-After"]) <= 60
