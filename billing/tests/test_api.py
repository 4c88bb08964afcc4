"""Credits in both APIs."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import redis
from django.conf import settings as portal
from django.test import Client
from pytest_django import Settings

from accounts.models import Account
from accounts.services import create_token, log_in
from billing.models import Order, Package
from billing.tests.helpers import with_credits
from billing.tests.paypal import Sandbox, order_of, tell

pytestmark = pytest.mark.usefixtures("clean_valkey")
Ask = Callable[..., Any]


@pytest.fixture
def ask(alice: Account) -> Ask:
    token = create_token(user=alice.memberships.get().user, name="till", scopes=["billing"])[1]

    def send(method: str, path: str, body: object = None, *, status: int = 200) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        answer = Client().generic(method, f"/api/v1{path}", _json(body), content_type="application/json", headers=headers)
        assert answer.status_code == status, answer.content
        return answer.json()

    return send


def _json(body: object) -> str:
    return "" if body is None else json.dumps(body)


def test_a_program_buys_and_reads(ask: Ask, pay_pal: Sandbox, alice: Account) -> None:
    package = next(one for one in ask("GET", "/packages")["results"] if one["credits"] == 500)
    Package.objects.filter(pk=package["id"]).update(price_minor=500)
    made = ask("POST", f"/accounts/{alice.pk.hex}/orders", {"package": package["id"]}, status=201)
    assert made["approval_url"].startswith(f"{pay_pal.url}/cgi-bin/webscr?")
    assert (made["status"], made["price"], made["payments"]) == ("open", "5.00", [])

    order = Order.objects.get()
    tell(pay_pal.world.payment(pay_pal.sale(order)))
    read = ask("GET", f"/accounts/{alice.pk.hex}/orders/{made['id']}")
    assert (read["status"], read["receipt"], read["payments"][0]["amount"]) == ("paid", 1, "5.00")
    assert [one["id"] for one in ask("GET", f"/accounts/{alice.pk.hex}/orders")["results"]] == [made["id"]]
    with redis.Redis.from_url(portal.VALKEY_URL) as valkey:
        valkey.set(f"quota:{alice.pk.hex}:{datetime.now(UTC):%Y%m}", 12)
    found = ask("GET", f"/accounts/{alice.pk.hex}/subscription")
    assert (found["type"], found["credits"], found["used"], found["debt"]) == ("Paid", 500, 12, 0)
    assert found["days"][-1]["messages"] == 12


def test_orders_come_in_pages(ask: Ask, pay_pal: Sandbox, alice: Account) -> None:
    made = [order_of(alice).pk.hex for _ in range(3)]
    first = ask("GET", f"/accounts/{alice.pk.hex}/orders?page_size=2")
    second = ask("GET", first["next"].partition("/api/v1")[2])
    assert sorted(one["id"] for one in [*first["results"], *second["results"]]) == sorted(made)


def test_others_and_other_scopes_see_nothing(ask: Ask, pay_pal: Sandbox, bob: Account) -> None:
    order = order_of(bob)
    for path in ("subscription", "orders", f"orders/{order.pk.hex}"):
        ask("GET", f"/accounts/{bob.pk.hex}/{path}", status=404)
    ask("POST", f"/accounts/{bob.pk.hex}/orders", {"package": 1}, status=404)
    ask("GET", f"/accounts/nonsense/orders/{uuid4().hex}", status=404)
    token = create_token(user=bob.memberships.get().user, name="reader", scopes=["read", "control", "manage"])[1]
    answer = Client().get(f"/api/v1/accounts/{bob.pk.hex}/subscription", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 403


def test_what_is_not_for_sale_is_refused_in_words(ask: Ask, pay_pal: Sandbox, alice: Account, settings: Settings) -> None:
    path = f"/accounts/{alice.pk.hex}/orders"
    assert ask("POST", path, {"package": 10**6}, status=409)["code"] == "not_for_sale"
    for wrong in (
        {"package": 0},
        {"package": 2**31},
        {"package": "x"},
        {"package": 1, "credits": 10**6},
        {"package": 1, "country": 5},
    ):
        ask("POST", path, wrong, status=400)
    settings.PAYMENTS = "off"
    ask("POST", path, {"package": 1}, status=409)
    assert not Order.objects.exists()


# --- the documented API ----------------------------------------------------------------------------------------------------


@pytest.fixture
def pay(alice: Account) -> Ask:
    login = log_in(user=alice.memberships.get().user, ip=None, user_agent="").access

    def send(name: str, payment: object = None, *, status: int = 200, **more: object) -> Any:
        body = {"username": "alice", "access_token": login, **({} if payment is None else {"payment": payment}), **more}
        answer = Client().post(f"/api/user/payment/{name}", _json(body), content_type="application/json")
        assert answer.status_code == status, answer.content
        return answer.json()

    return send


@pytest.mark.parametrize("payment", [500, {"credits": 500}])
def test_an_old_client_buys(pay: Ask, pay_pal: Sandbox, alice: Account, payment: object) -> None:
    with_credits(alice, 3)
    Package.objects.filter(credits=500).update(price_minor=500)
    made = pay("paypalsetup", payment)
    assert made["status"] == "OK"
    assert made["approval_url"].startswith(pay_pal.url)
    assert pay("paypalexecute", {"paymentId": made["paymentId"], "payerId": "X"})["payment_status"] == "open"
    assert pay("paypalverify", made["paymentId"])["credits"] == 3  # saying so moves nothing
    tell(pay_pal.world.payment(pay_pal.sale(Order.objects.get())))
    verified = pay("paypalverify", None, paymentId=made["paymentId"])
    assert (verified["payment_status"], verified["credits"], verified["message"]) == ("paid", 503, "500 credits added.")


def test_an_old_client_is_told_what_is_wrong(pay: Ask, pay_pal: Sandbox, bob: Account) -> None:
    for wrong in (501, "500", 0, -500, 5.5, True, {"credits": "500"}, [500], {}):
        assert pay("paypalsetup", wrong, status=400)["status"] == "NG"
    for unknown in ("x", uuid4().hex, order_of(bob).pk.hex, {"paymentId": order_of(bob).pk.hex}):
        assert pay("paypalverify", unknown, status=404)["status"] == "NG"
        pay("paypalexecute", unknown, status=404)
    for nothing in (5, {}, {"paymentId": 5}):
        pay("paypalverify", nothing, status=400)
    assert Order.objects.count() == 2  # bob's
