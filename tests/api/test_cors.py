"""Pages of other sites see the API's answers only where the operator listed them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.api.live import LivePortal, free_port, until

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

FRIEND = "https://app.example.com"
STRANGER = "https://evil.example.com"


@pytest.fixture(scope="module")
def open_portal(portal: LivePortal) -> Iterator[str]:
    """Return the address of a second web process, which lists an origin."""
    port = free_port()
    before = dict(portal.environment)
    portal.environment["PORTAL_CORS_ORIGINS"] = FRIEND
    portal.start("open web", "-m", "iotportal.web", "--port", str(port))
    portal.environment.clear()
    portal.environment.update(before)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return requests.get(f"{url}/api/v1", timeout=5).ok
        except requests.ConnectionError:
            return False

    until(answers, "the second web process")
    yield url
    portal.stop("open web")


def preflight(url: str, origin: str, path: str = "/api/v1/devices") -> requests.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
    }
    return requests.options(url + path, headers=headers, timeout=30)


def test_by_default_nobody_is_let_in(portal: LivePortal) -> None:
    assert "Access-Control-Allow-Origin" not in preflight(portal.url, FRIEND).headers
    answer = portal.ask("GET", f"{portal.device_path}/status", headers={"Origin": FRIEND})
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_listed_origin_may_ask_and_send_its_token(open_portal: str) -> None:
    answer = preflight(open_portal, FRIEND)

    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == FRIEND
    assert "Idempotency-Key" in answer.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("path", ["status", ""])  # the raw handler's, and DRF's
def test_a_listed_origin_sees_the_answers(open_portal: str, portal: LivePortal, path: str) -> None:
    headers = {"Origin": FRIEND, "Authorization": f"Bearer {portal.secret}"}
    answer = requests.get(f"{open_portal}{portal.device_path}/{path}".rstrip("/"), headers=headers, timeout=30)

    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == FRIEND
    assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize("origin", [STRANGER, "null", FRIEND + ".evil.example.com", FRIEND.upper(), "http://app.example.com"])
def test_others_do_not(open_portal: str, portal: LivePortal, origin: str) -> None:
    headers = {"Origin": origin, "Authorization": f"Bearer {portal.secret}"}
    answer = requests.get(f"{open_portal}{portal.device_path}/status", headers=headers, timeout=30)

    assert "Access-Control-Allow-Origin" not in answer.headers
    assert preflight(open_portal, origin).status_code == 400


def test_pages_are_nobodys_but_their_own(open_portal: str) -> None:
    answer = requests.get(f"{open_portal}/accounts/login/", headers={"Origin": FRIEND}, timeout=30)

    assert "Access-Control-Allow-Origin" not in answer.headers
