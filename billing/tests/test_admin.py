"""What operators see and do: the ledger to look at, credits with a reason, prices that begin later."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Account, User
from accounts.operators import GROUP
from billing.models import Entry, LedgerAccount, Package, Plan, Price
from billing.services import balance, give_credits, spend_credits
from billing.tests.conftest import make_account

ACCOUNTS, ENTRIES, LEDGER, PRICES = (f"/admin/{part}/" for part in (
    "accounts/account", "billing/entry", "billing/ledgeraccount", "billing/price",
))  # fmt: skip
TOMORROW = {"starts_at_1": "12:00:00"}


@pytest.fixture
def root(clean_valkey: None, db: None) -> Client:
    return browser(User.objects.create_superuser("root2", "root2@example.org", "x"))


@pytest.fixture
def operator(clean_valkey: None, db: None) -> Client:
    user = User.objects.create_user("olga", "olga@example.org", "x", is_staff=True)
    user.groups.add(Group.objects.get_or_create(name=GROUP)[0])
    return browser(user)


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def act(client: Client, where: str, name: str, pk: object, **data: object) -> str:
    """Do an action to one object and return the page that follows."""
    form: dict[str, Any] = {"action": name, "_selected_action": [str(pk)], "confirmed": "yes", "why": "Welcome", **data}
    return client.post(where, form, follow=True).content.decode()


def test_a_gift_and_a_correction_need_a_reason_and_stand_in_the_log(root: Client, alice: Account) -> None:
    assert "This field is required" in act(root, ACCOUNTS, "give_credits", alice.pk, why=" ", credits=500)
    assert not LedgerAccount.objects.exists()
    act(root, ACCOUNTS, "give_credits", alice.pk, credits=500)
    act(root, ACCOUNTS, "correct_credits", alice.pk, why="Counted twice", credits=-20)
    assert balance(alice) == 480
    assert [one.reason for one in Entry.objects.order_by("id")] == ["Welcome", "Counted twice"]
    said = [one.get_change_message() for one in LogEntry.objects.order_by("pk")]
    assert said == ["Give credits: Welcome; credits 500", "Correct credits: Counted twice; credits -20"]
    page = root.get(f"{ACCOUNTS}{alice.pk}/change/").content.decode()
    assert "Credits: 480" in page
    assert "Counted twice" in page


def test_a_second_click_gives_nothing(root: Client, alice: Account) -> None:
    act(root, ACCOUNTS, "give_credits", alice.pk, credits=500)
    assert "That was done today" in act(root, ACCOUNTS, "give_credits", alice.pk, credits=500)
    assert (balance(alice), LogEntry.objects.count()) == (500, 1)
    act(root, ACCOUNTS, "give_credits", alice.pk, credits=500, why="Another reason")
    assert balance(alice) == 1000


@pytest.mark.parametrize(("name", "credits"), [
    ("give_credits", "-5"), ("give_credits", "0"), ("give_credits", "1000001"), ("give_credits", "1.5"), ("give_credits", ""),
    ("correct_credits", "0"), ("correct_credits", "-501"), ("correct_credits", "9" * 40),
])  # fmt: skip
def test_what_cannot_be_is_neither_done_nor_logged(root: Client, alice: Account, name: str, credits: str) -> None:
    give_credits(account=alice, credits=500, reason="x", key="gift")
    page = act(root, ACCOUNTS, name, alice.pk, credits=credits)
    assert "errorlist" in page or "not enough credits" in page
    assert (balance(alice), LogEntry.objects.count(), Entry.objects.count()) == (500, 0, 1)


def test_an_entry_is_reversed_once_with_a_reason(root: Client, alice: Account) -> None:
    gift = give_credits(account=alice, credits=500, reason="x", key="gift")
    act(root, ENTRIES, "reverse", gift.pk, why="Wrong person")
    assert balance(alice) == 0
    assert "reversed before" in act(root, ENTRIES, "reverse", gift.pk)
    assert [one.get_change_message() for one in LogEntry.objects.all()] == ["Reverse: Wrong person"]
    spent = give_credits(account=alice, credits=5, reason="x", key="gift:2")
    spend_credits(account=alice, credits=1, key="use")
    assert "not enough credits" in act(root, ENTRIES, "reverse", spent.pk)


def test_the_ledger_is_to_look_at_with_its_sums(root: Client, alice: Account) -> None:
    gift = give_credits(account=alice, credits=1500, reason="x", key="gift")
    page = root.get(LEDGER).content.decode()
    assert "All accounts together: CRD 0" in page
    assert (page.count("-1,500"), page.count(">1,500<")) == (2, 2)
    credits = LedgerAccount.objects.get(owner=alice)
    for where, pk in ((ENTRIES, gift.pk), (LEDGER, credits.pk)):
        assert "alice" in root.get(f"{where}{pk}/change/").content.decode()
        for page in ("add/", f"{pk}/change/", f"{pk}/delete/"):
            assert root.post(where + page, {"post": "yes", "balance": "1", "reason": "y"}).status_code == 403
        root.post(where, {"action": "delete_selected", "_selected_action": [str(pk)], "post": "yes"})
    assert balance(alice) == 1500


def test_lists_ask_as_much_however_many_there_are(root: Client, alice: Account) -> None:
    def queries() -> list[int]:
        found = []
        for where in (ENTRIES, LEDGER):
            with CaptureQueriesContext(connection) as asked:
                root.get(where)
            found.append(len(asked))
        return found

    give_credits(account=alice, credits=5, reason="x", key="gift")
    root.get(LEDGER)
    few = queries()
    for number in range(3):
        give_credits(account=make_account(f"owner{number}"), credits=5, reason="x", key=f"gift:{number}")
    assert queries() == few == [8, 5]


def test_operators_look_and_move_nothing(operator: Client, alice: Account) -> None:
    gift = give_credits(account=alice, credits=500, reason="x", key="gift")
    for where in (ACCOUNTS, ENTRIES, LEDGER, PRICES, "/admin/billing/plan/", "/admin/billing/package/"):
        assert operator.get(where).status_code == 200, where
    act(operator, ACCOUNTS, "give_credits", alice.pk, credits=500)
    act(operator, ENTRIES, "reverse", gift.pk)
    assert operator.post(f"{PRICES}add/", {"item": "sms", "credits": "1", "per": "1"}).status_code == 403
    assert balance(alice) == 500


def test_a_price_begins_now_or_later_and_stays_once_it_has_begun(root: Client) -> None:
    values = {"item": "sms", "country": "AQ", "credits": "7", "per": "1", "starts_at_0": "", "starts_at_1": ""}
    root.post(f"{PRICES}add/", values)
    price = Price.objects.get(country="AQ")
    assert timedelta(0) < price.starts_at - timezone.now() < timedelta(seconds=6)
    past = root.post(f"{PRICES}add/", values | {"starts_at_0": "2020-01-01", "starts_at_1": "00:00:00"})
    assert "in the past" in past.content.decode()
    begun = Price.objects.create(item="sms", country="BV", credits=7, starts_at=Now())
    for page in ("change", "delete"):
        assert root.post(f"{PRICES}{begun.pk}/{page}/", values | {"post": "yes"}).status_code == 403
    data = {"action": "delete_selected", "_selected_action": [str(begun.pk), str(price.pk)], "post": "yes"}
    root.post(PRICES, data)
    assert Price.objects.filter(pk=begun.pk).exists()
    assert "Antarctica" not in root.get(PRICES).content.decode()


def test_plans_and_packages_are_the_operators_to_set(root: Client) -> None:
    root.post(
        "/admin/billing/plan/add/",
        {"messages_per_month": "500", "emulator_hours_per_month": "9", "starts_at_0": "2099-01-01", "starts_at_1": "00:00:00"},
    )
    plan = Plan.objects.get()
    assert (plan.messages_per_month, plan.emulator_hours_per_month) == (500, 9)
    root.post("/admin/billing/package/add/", {"credits": "77", "price_minor": "99", "currency": "EUR", "offered": "on"})
    package = Package.objects.get(credits=77)
    page = root.post("/admin/billing/package/add/", {"credits": "78", "price_minor": "0", "currency": "CRD"}).content.decode()
    assert page.count("errorlist") >= 1
    root.post(f"/admin/billing/package/{package.pk}/change/", {"credits": "77", "price_minor": "88", "currency": "EUR"})
    package.refresh_from_db()
    assert (package.price_minor, package.offered) == (88, False)
