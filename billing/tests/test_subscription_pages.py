"""What one has, has used and has paid, on pages and as files."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, date, datetime, timedelta
from html import unescape

import pytest
import redis
from django.conf import settings as portal
from django.test import Client
from pytest_django import Settings

from accounts.exports import Export
from accounts.hooks import account_exported
from accounts.models import Account, Membership, Role
from billing.charts import usage_chart
from billing.models import Usage, VatRate
from billing.services import give_credits, spend_credits
from billing.services.usage import Day, days_of, record_usage
from billing.tests.conftest import make_account
from billing.tests.helpers import with_credits
from billing.tests.paypal import Sandbox, order_of, tell

pytestmark = pytest.mark.usefixtures("clean_valkey")


def browser(account: Account) -> Client:
    client = Client()
    client.force_login(account.memberships.get(role=Role.OWNER).user)
    return client


def sent(account: Account, count: int, at: datetime) -> None:
    with redis.Redis.from_url(portal.VALKEY_URL) as valkey:
        valkey.set(f"quota:{account.pk.hex}:{at:%Y%m}", count)


def test_what_is_used_is_noted_day_by_day(alice: Account, bob: Account) -> None:
    first = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for days, count in ((0, 10), (1, 10), (3, 25)):
        sent(alice, count, first + timedelta(days=days))
        assert record_usage(now=first + timedelta(days=days)) == 1
    assert record_usage(now=first + timedelta(days=3)) == 1  # again changes nothing
    found = days_of(alice.pk, used=31, today=date(2026, 3, 5))
    assert [one.messages for one in found] == [10, 0, 0, 15, 6]
    assert [one.messages for one in days_of(bob.pk, used=0, today=date(2026, 3, 2))] == [0, 0]
    record_usage(now=first + timedelta(days=800))
    assert not Usage.objects.exists()


def test_the_chart_reaches_its_line_and_says_what_it_shows() -> None:
    drawn = usage_chart([Day(date(2026, 2, 1), 150), Day(date(2026, 2, 2), 0), Day(date(2026, 2, 3), 200)])
    assert (drawn.grid, len(drawn.bars), drawn.labels[-1]) == (200, 2, "28 Feb")
    assert drawn.bars[1].y == 25
    assert drawn.finding == "350 messages this month; most on 3 February: 200"
    assert usage_chart([Day(date(2026, 2, 1), 0)]).bars == []


def test_the_subscription_shows_use_prices_and_what_moved_credits(pay_pal: Sandbox, alice: Account) -> None:
    sent(alice, 42, datetime.now(UTC))
    with_credits(alice, 7)
    tell(pay_pal.world.payment(pay_pal.sale(order_of(alice))))
    spend_credits(account=alice, credits=3, key="use")
    page = browser(alice).get(f"/account/billing/{alice.pk}/").content.decode()
    for said in (
        "504",
        "42",
        "+500",
        "+7",
        "-3",
        "Welcome",
        "Message to a device",
        "free to your own people",
        "each part of it",
        "<rect",
    ):
        assert said in page
    assert "style=" not in page


def test_what_moved_credits_is_paged_without_loss(alice: Account, bob: Account) -> None:
    for number in range(45):
        give_credits(account=alice, credits=1, reason=f"Gift {number:02}", key=f"gift-{number}")
    client, url = browser(alice), f"/account/billing/{alice.pk}/"

    def turn(page: str, rel: str) -> str:
        link = re.search(rf'rel="{rel}" href="([^"#]+)#moved-h"', page)
        return client.get(url + unescape(link[1])).content.decode() if link else ""

    first = client.get(url).content.decode()
    second = turn(first, "next")
    third = turn(second, "next")
    pages = [re.findall(r"Gift (\d\d)", page) for page in (first, second, third, turn(third, "prev"))]
    assert pages[0] + pages[1] + pages[2] == [f"{number:02}" for number in reversed(range(45))]
    assert (pages[3], turn(first, "prev"), turn(third, "next")) == (pages[1], "", "")
    assert "Gift" not in browser(bob).get(f"/account/billing/{bob.pk}/").content.decode()
    cut = client.get(f"{url}?cursor=nonsense")
    assert (cut.status_code, "Gift 44" in cut.content.decode()) == (400, True)


def test_an_account_without_messages_left_is_told_what_to_do(alice: Account, pay_pal: Sandbox) -> None:
    sent(alice, 10**6, datetime.now(UTC))
    page = browser(alice).get(f"/account/billing/{alice.pk}/").content.decode()
    assert "All messages of this month are used" in page
    assert f"/account/billing/{alice.pk}/buy/" in page


def test_a_member_who_may_not_buy_sees_what_is_left_and_no_payments(alice: Account) -> None:
    user = make_account("vera").memberships.get().user
    Membership.objects.create(account=alice, user=user, role=Role.VIEWER)
    client = Client()
    client.force_login(user)
    page = client.get(f"/account/billing/{alice.pk}/").content.decode()
    assert "This month" in page
    assert "Payments" not in page
    for path in ("payments/", "payments.csv"):
        assert client.get(f"/account/billing/{alice.pk}/{path}").status_code == 403


def test_payments_are_listed_with_receipts_and_as_a_table(pay_pal: Sandbox, alice: Account) -> None:
    VatRate.objects.create(country="SE", name="=MOMS", basis_points=2500)
    order, unpaid = order_of(alice, "SE"), order_of(alice)
    tell(pay_pal.world.payment(pay_pal.sale(order)))
    client = browser(alice)
    page = client.get(f"/account/billing/{alice.pk}/payments/").content.decode()
    assert "receipt 1" in page
    assert "Not paid" in page
    rows = list(csv.DictReader(io.StringIO(client.get(f"/account/billing/{alice.pk}/payments.csv").content.decode())))
    assert [(row["status"], row["price"], row["tax"], row["receipt"]) for row in rows] == [
        ("open", "5.00", "0.00", ""),
        ("paid", "5.00", "1.00", "1"),
    ]
    receipt = client.get(f"/account/orders/{order.pk}/receipt/").content.decode()
    assert "Receipt 1" in receipt
    assert "=MOMS 25 %, SE" in receipt
    file = client.get(f"/account/orders/{order.pk}/receipt.pdf")
    assert (file.headers["content-type"], file.content[:5]) == ("application/pdf", b"%PDF-")
    assert client.get(f"/account/orders/{unpaid.pk}/receipt/").status_code == 404
    assert client.get(f"/account/orders/{unpaid.pk}/receipt.pdf").status_code == 404


def test_a_receipt_takes_any_name(pay_pal: Sandbox, alice: Account) -> None:
    Account.objects.filter(pk=alice.pk).update(name="<b>Zoë</b> 株式会社")
    alice.refresh_from_db()
    order = order_of(alice)
    tell(pay_pal.world.payment(pay_pal.sale(order)))
    Account.objects.filter(pk=alice.pk).update(name="deleted")  # the receipt keeps the name of then
    client = browser(alice)
    assert "&lt;b&gt;Zoë&lt;/b&gt; 株式会社" in client.get(f"/account/orders/{order.pk}/receipt/").content.decode()
    assert client.get(f"/account/orders/{order.pk}/receipt.pdf").content[:5] == b"%PDF-"


def test_a_receipt_writes_greek_and_cyrillic_with_a_font_that_goes_along(pay_pal: Sandbox, alice: Account) -> None:
    sizes = {}
    for name in ("Zoë", "Ζωή Παπαδοπούλου", "Зоя Щербакова", "Łukasz Żółw"):
        Account.objects.filter(pk=alice.pk).update(name=name)
        alice.refresh_from_db()
        order = order_of(alice)
        tell(pay_pal.world.payment(pay_pal.sale(order)))
        body = browser(alice).get(f"/account/orders/{order.pk}/receipt.pdf").content
        sizes[name] = len(body)
        assert (b"DejaVu" in body) == (name != "Zoë")
    assert max(sizes.values()) < 60_000, "the letters that are used, not the whole font"


def test_what_one_bought_goes_along_with_all_that_is_ones_own(pay_pal: Sandbox, alice: Account, bob: Account) -> None:
    with_credits(alice, 7)
    for owner in (alice, bob):
        order = order_of(owner)
        sale = pay_pal.sale(order)
        tell(pay_pal.world.payment(sale), pay_pal.world.refund(sale, sale.amount / 2))
    files = Export(alice.memberships.get().user, alice)
    account_exported(files)
    tables = {
        name: list(csv.DictReader(io.StringIO("".join(files.files[name]()))))
        for name in ("orders.csv", "payments.csv", "credits.csv")
    }
    assert [(one["status"], one["receipt"], one["receipt_buyer"]) for one in tables["orders.csv"]] == [
        ("partly_refunded", "1", "alice")
    ]
    assert [(one["kind"], one["amount"]) for one in tables["payments.csv"]] == [("refund", "2.50"), ("payment", "5.00")]
    assert [one["credits"] for one in tables["credits.csv"]] == ["-250", "500", "7"]


def test_what_is_left_stands_at_the_head_of_every_page(alice: Account, settings: Settings) -> None:
    settings.FREE_MESSAGES_PER_MONTH = 1000
    sent(alice, 60, datetime.now(UTC))
    assert "<b>940</b>" in browser(alice).get("/menu/").content.decode()
