"""A PayPal for tests: the real sandbox server of this repository, in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from accounts.models import Account
from billing.models import Order, Package, PaymentNotice
from billing.services import orders
from iotportal.embedded.ports import free_port
from simulators.paypal.rest import Event, Rest
from simulators.paypal.server import Manner, PayPal
from simulators.paypal.world import Sale, World

RECEIVER = "seller@example.com"


@dataclass
class Sandbox:
    """The server's address, and what it knows."""

    url: str
    world: World
    rest: Rest

    def sale(self, order: Order) -> Sale:
        """Return the sale of an order as its button begins it."""
        fields = {
            "business": RECEIVER,
            "amount": "5.00",
            "currency_code": "USD",
            "custom": order.pk.hex,
            "invoice": order.pk.hex,
            "item_name": "500 credits",
        }
        return self.world.begin(fields)


@contextmanager
def sandbox() -> Iterator[Sandbox]:
    """Run one."""
    world = World()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    app = PayPal(world, ["http://localhost", "http://testserver"], Manner(delay_s=0), url=url)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, lifespan="off", log_level="critical"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield Sandbox(url, world, app.rest)
    server.should_exit = True
    thread.join(10)


def use(settings: Settings, url: str) -> None:
    """Have the portal sell by Payments Standard at that PayPal."""
    settings.PAYMENTS, settings.PAYPAL_URL, settings.PAYPAL_RECEIVER = "paypal_standard", url, RECEIVER
    settings.PAYPAL_ENVIRONMENT, settings.PAYPAL_CLIENT_ID, settings.PAYPAL_WEBHOOK_ID = "sandbox", "sandbox", "WH-SANDBOX"


def order_of(account: Account, country: str = "") -> Order:
    """Order 500 credits for USD 5.00."""
    package = Package.objects.get_or_create(credits=500, currency="USD", defaults={"price_minor": 500})[0]
    buyer = account.memberships.get().user
    return orders.place_order(account=account, buyer=buyer, package_id=package.pk, country=country)


def tell(*bodies: bytes) -> list[str]:
    """Send IPNs to the portal; returns what became of each."""
    return [_tell(body) for body in bodies]


def _tell(body: bytes) -> str:
    answer = Client().post(reverse("billing:ipn"), body, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 200, answer
    return PaymentNotice.objects.order_by("-pk")[0].outcome


def tell_event(event: Event, **changes: str) -> str:
    """Send a webhook to the portal; returns what became of it. `changes` are of its headers, `_` for `-`."""
    headers = {**event.headers, **{name.replace("_", "-"): value for name, value in changes.items()}}
    answer = Client().post(reverse("billing:webhook"), event.body, content_type="application/json", headers=headers)
    assert answer.status_code == 200, answer
    return PaymentNotice.objects.order_by("-pk")[0].outcome
