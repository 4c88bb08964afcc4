"""Promo codes: what they bring, to whom, how often, and what stands against it."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client, RequestFactory
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Account, Membership, Role, User
from accounts.services import create_organisation, create_token
from accounts.tests.helpers import at_once
from billing.models import Entry, LedgerAccount, Order, PromoCode, PromoRedemption
from billing.services import balance, debt, operator_account, promo_codes, reverse_entry, spend_credits, verify_ledger
from billing.tests.conftest import make_account
from billing.tests.helpers import total
from billing.tests.paypal import Sandbox, order_of, tell
from billing.views.promo_codes import TRIES

pytestmark = pytest.mark.usefixtures("clean_valkey")
CODES = "/admin/billing/promocode/"


def make_code(code: str = "SUMMER2026", **about: Any) -> PromoCode:
    about = about if "percent" in about else {"credits": 100, **about}
    return PromoCode.objects.create(code=code, **about)


def redeem(account: Account, typed: str = "SUMMER2026") -> str:
    """Redeem a code; returns what became of it, in the word for programs."""
    try:
        promo_codes.redeem_code(account=account, user=account.memberships.get().user, typed=typed)
    except promo_codes.PromoCodeRefused as error:
        return error.code
    return "redeemed"


def pay(pay_pal: Sandbox, account: Account) -> Order:
    order = order_of(account)
    tell(pay_pal.world.payment(pay_pal.sale(order)))
    order.refresh_from_db()
    return order


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


# --- what it brings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["SUMMER2026", " summer-2026 ", "Summer 20-26"])
def test_a_code_brings_its_credits_by_an_entry_of_its_own(alice: Account, typed: str) -> None:
    make_code()
    assert redeem(alice, typed) == "redeemed"
    one = PromoRedemption.objects.get()
    assert one.entry is not None
    assert (one.entry.cause, one.entry.reason) == ("promotion", "SUMMER2026")
    assert (balance(alice), operator_account(LedgerAccount.Kind.PROMOTIONS).balance, total()) == (100, -100, 0)
    assert PromoCode.objects.get().used == 1
    assert verify_ledger() == []


def test_each_refusal_has_its_reason_and_brings_nothing(alice: Account, bob: Account, settings: Settings) -> None:
    now = timezone.now()
    make_code("ENDED", starts_at=now - timedelta(2), ends_at=now - timedelta(1))
    make_code("LATER", starts_at=now + timedelta(1))
    make_code("LAST", max_uses=1)
    make_code("TWICE", max_uses_per_account=2)
    make_code("MORE", percent=20)
    settings.PAYMENTS = "off"
    assert redeem(bob, "LAST") == "redeemed"
    said = [redeem(alice, typed) for typed in ("ENDED", "LATER", "LAST", "MORE", "TWICE", "TWICE", "TWICE")]
    assert said == [
        "promo_code_ended", "promo_code_unknown", "promo_code_used_up", "not_for_sale", "redeemed", "redeemed",
        "promo_code_already_used",
    ]  # fmt: skip
    assert (balance(alice), balance(bob)) == (200, 100)
    assert redeem(bob, "LAST") == "promo_code_already_used", "not used up: it was bob's own use"


@pytest.mark.parametrize("typed", ["", "WINTER", "SUMMER2O26", "ſUMMER2026", "SUMMER2026\0", "x" * 64, "' OR 1=1 --", "٢٠٢٦"])
def test_what_is_no_code_is_unknown(alice: Account, typed: str) -> None:
    make_code()
    assert redeem(alice, typed) == "promo_code_unknown"


def test_who_redeems_the_last_use_at_once_is_one(committed: None) -> None:
    make_code(max_uses=3)
    owners = [make_account(f"owner{number}") for number in range(20)]
    assert [redeem(one) for one in owners[:2]] == ["redeemed"] * 2
    left = iter(owners[2:] + owners[:2])  # two ask for a second use meanwhile
    said = Counter(at_once(20, lambda: redeem(next(left))))
    assert said == {"redeemed": 1, "promo_code_used_up": 17, "promo_code_already_used": 2}
    assert (PromoCode.objects.get().used, PromoRedemption.objects.count()) == (3, 3)
    assert sum(balance(one) for one in owners) == 300
    assert verify_ledger() == []


def test_of_many_who_redeem_for_one_account_at_once_one_does(committed: None) -> None:
    make_code()
    alice = make_account("alice")
    assert Counter(at_once(8, lambda: redeem(alice))) == {"redeemed": 1, "promo_code_already_used": 7}
    assert balance(alice) == 100


def test_the_database_refuses_a_second_use_and_one_too_many(alice: Account) -> None:
    code = make_code(max_uses=1)
    redeem(alice)
    entry = Entry.objects.get()
    again = {"promo_code": code, "account": alice, "number": 1, "percent": 0}
    for wrong in (
        {"credits": 100, "entry": None},
        {"credits": 0, "percent": 5, "entry": entry},
        {"credits": 100, "entry": entry},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            PromoRedemption.objects.create(**{**again, **wrong})
    with pytest.raises(IntegrityError, match="promocode_not_overused"), transaction.atomic():
        PromoCode.objects.update(used=2)


def test_who_makes_organisations_does_not_use_a_code_in_each(alice: Account, bob: Account) -> None:
    make_code()
    user, other = alice.memberships.get().user, bob.memberships.get().user
    works = create_organisation(user=user, name="Waterworks")
    Membership.objects.create(account=works, user=other, role=Role.ADMIN)
    assert redeem(alice) == "redeemed"
    for who in (user, other, other):
        with suppress(promo_codes.PromoCodeAlreadyUsed):
            promo_codes.redeem_code(account=works, user=who, typed="SUMMER2026")
    assert redeem(bob) == "promo_code_already_used", "bob did, for the organisation"
    assert (balance(alice), balance(works), balance(bob)) == (100, 100, 0)


def test_an_operator_takes_back_what_a_code_brought(alice: Account) -> None:
    make_code()
    redeem(alice)
    reverse_entry(entry=Entry.objects.get(), reason="Not meant for you")
    assert (balance(alice), total()) == (0, 0)
    assert redeem(alice) == "promo_code_already_used"


# --- more with a package ---------------------------------------------------------------------------------------------------


def test_percent_wait_for_the_next_package_and_come_with_it_in_one_entry(pay_pal: Sandbox, alice: Account) -> None:
    make_code(percent=25)
    make_code("OTHER", percent=10)
    assert [redeem(alice), redeem(alice, "OTHER"), balance(alice)] == ["redeemed", "promo_code_waiting", 0]
    order = pay(pay_pal, alice)
    one = PromoRedemption.objects.get()
    assert (order.credits, order.bonus_credits, balance(alice)) == (500, 125, 625)
    assert (one.order, one.entry) == (order, Entry.objects.get())
    assert operator_account(LedgerAccount.Kind.PROMOTIONS).balance == -125
    assert redeem(alice, "OTHER") == "redeemed", "the first is spent"
    assert pay(pay_pal, alice).bonus_credits == 50
    assert pay(pay_pal, alice).bonus_credits == 0
    assert verify_ledger() == []


def test_what_a_code_brought_with_a_package_goes_back_with_it(pay_pal: Sandbox, alice: Account) -> None:
    make_code(percent=100)
    redeem(alice)
    order = order_of(alice)
    sale = pay_pal.sale(order)
    tell(pay_pal.world.payment(sale), pay_pal.world.refund(sale, Decimal("2.50")))
    assert balance(alice) == 500
    spend_credits(account=alice, credits=400, key="use")
    tell(pay_pal.world.refund(sale, Decimal("2.50")))
    assert (balance(alice), debt(alice), total()) == (0, 400, 0)


def test_a_debt_is_paid_by_what_comes_with_a_package_as_well(pay_pal: Sandbox, alice: Account) -> None:
    sale = pay_pal.sale(order_of(alice))
    tell(pay_pal.world.payment(sale))
    spend_credits(account=alice, credits=500, key="use")
    tell(pay_pal.world.reversal(sale))
    make_code(percent=20)
    redeem(alice)
    pay(pay_pal, alice)
    assert (balance(alice), debt(alice), total()) == (100, 0, 0)


def test_a_code_for_first_purchases_is_for_who_has_not_bought(pay_pal: Sandbox, alice: Account, bob: Account) -> None:
    make_code(percent=50, first_purchase_only=True)
    order_of(alice)  # not paid
    pay(pay_pal, bob)
    assert [redeem(alice), redeem(bob)] == ["redeemed", "promo_code_first_purchase_only"]
    assert pay(pay_pal, alice).bonus_credits == 250


def test_of_two_packages_that_are_paid_at_once_one_gets_the_percent(committed: None, pay_pal: Sandbox) -> None:
    alice = make_account("alice")
    make_code(percent=10)
    redeem(alice)
    bodies = iter([pay_pal.world.payment(pay_pal.sale(order_of(alice))) for _ in range(4)])
    at_once(4, lambda: tell(next(bodies)))
    assert sorted(Order.objects.values_list("bonus_credits", flat=True)) == [0, 0, 0, 50]
    assert (balance(alice), verify_ledger()) == (2050, [])


@pytest.mark.parametrize(("credits", "percent", "more"), [(500, 1, 5), (7, 1, 1), (1, 100, 1), (10_000, 33, 3300)])
def test_a_begun_credit_counts_whole(credits: int, percent: int, more: int) -> None:
    assert promo_codes.bonus(credits, percent) == more


# --- pages -----------------------------------------------------------------------------------------------------------------


def test_a_person_redeems_on_the_pages_and_buys_more_for_the_same_price(pay_pal: Sandbox, alice: Account) -> None:
    make_code()
    make_code("MORE20", percent=20)
    client, where = browser(alice.memberships.get().user), f"/account/billing/{alice.pk}/"
    wrong = client.post(f"{where}promo-code/", {"code": "WINTER"})
    assert (wrong.status_code, "There is no such code." in wrong.content.decode()) == (400, True)
    assert "Type the code." in client.post(f"{where}promo-code/", {"code": "", "page": "buy"}).content.decode()
    page = client.post(f"{where}promo-code/", {"code": "summer-2026"}, follow=True).content.decode()
    assert "100 credits added." in page
    assert "Promo code<br>" in page
    packages = client.post(f"{where}promo-code/", {"code": "more20", "page": "buy"}, follow=True).content.decode()
    assert "20 % more credits with your next package" in packages
    assert ">+100 credits</span>" in packages
    order = order_of(alice)
    assert "20 % more credits, by MORE20" in client.get(f"/account/orders/{order.pk}/").content.decode()
    tell(pay_pal.world.payment(pay_pal.sale(order)))
    done = client.get(f"/account/orders/{order.pk}/return/").content.decode()
    assert "600 credits added" in done
    assert "You have 700 now" in done
    assert "100 credits more, by a promo code" in client.get(f"/account/orders/{order.pk}/receipt/").content.decode()
    assert client.get(f"/account/orders/{order.pk}/receipt.pdf").content.startswith(b"%PDF-")


def test_codes_of_an_account_are_for_those_who_see_to_its_bills(alice: Account) -> None:
    make_code()
    mallory = make_account("mallory").memberships.get().user
    path = f"/account/billing/{alice.pk}/promo-code/"
    assert browser(mallory).post(path, {"code": "SUMMER2026"}).status_code == 404
    Membership.objects.create(account=alice, user=mallory, role=Role.OPERATOR)
    assert browser(mallory).post(path, {"code": "SUMMER2026"}).status_code == 403
    assert (balance(alice), PromoCode.objects.get().used) == (0, 0)


def test_how_often_one_guesses_is_limited_on_the_pages_and_in_the_api_together(alice: Account) -> None:
    make_code()
    user = alice.memberships.get().user
    client, token = browser(user), create_token(user=user, name="till", scopes=["billing"])[1]
    for _ in range(8):
        TRIES.allow(str(user.pk), RequestFactory().get("/"))
    said = [client.post(f"/account/billing/{alice.pk}/promo-code/", {"code": "GUESS"}).status_code]
    program, codes = Client(headers={"Authorization": f"Bearer {token}"}), f"/api/v1/accounts/{alice.pk.hex}/promo-codes"
    for code in ("GUESS", "SUMMER2026"):
        said.append(program.post(codes, json.dumps({"code": code}), content_type="application/json").status_code)
    assert said == [400, 409, 429]
    assert balance(alice) == 0


def test_a_program_redeems_and_lists(pay_pal: Sandbox, alice: Account, bob: Account) -> None:
    make_code()
    make_code("MORE20", percent=20)
    token = create_token(user=alice.memberships.get().user, name="till", scopes=["billing"])[1]

    def ask(method: str, path: str, body: object = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"}
        answer = Client().generic(method, f"/api/v1/accounts/{path}", json.dumps(body), "application/json", headers=headers)
        return answer.status_code, answer.json()

    mine = f"{alice.pk.hex}/promo-codes"
    status, made = ask("POST", mine, {"code": "summer-2026"})
    assert (status, made["code"], made["credits"], made["percent"], made["order"]) == (201, "SUMMER2026", 100, 0, None)
    status, refused = ask("POST", mine, {"code": "summer-2026"})
    assert (status, refused["code"], refused["detail"]) == (409, "promo_code_already_used", "You have used this code already.")
    assert ask("POST", mine, {"code": "MORE20"})[1]["percent"] == 20
    order = pay(pay_pal, alice)
    assert [one["order"] for one in ask("GET", mine)[1]["results"]] == [None, order.pk.hex]
    assert ask("GET", f"{alice.pk.hex}/orders/{order.pk.hex}")[1]["bonus_credits"] == 100
    refused_bodies: list[object] = [{}, {"code": 5}, {"code": ""}, {"code": "x" * 65}, {"code": "A", "credits": 10**6}, []]
    for wrong in refused_bodies:
        assert ask("POST", mine, wrong)[0] == 400
    assert ask("POST", f"{bob.pk.hex}/promo-codes", {"code": "SUMMER2026"})[0] == 404
    assert ask("GET", f"{bob.pk.hex}/promo-codes")[0] == 404


# --- the admin -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def root(db: None) -> Client:
    return browser(User.objects.create_superuser("root2", "root2@example.org", "x"))


def form(**changes: object) -> dict[str, object]:
    begins = {"starts_at_0": "2026-01-01", "starts_at_1": "00:00:00", "ends_at_0": "", "ends_at_1": ""}
    return {"code": "", "credits": 0, "percent": 0, "max_uses": "", "max_uses_per_account": 1, **begins, **changes}


def test_an_operator_makes_codes_and_sees_who_redeemed_them(root: Client, alice: Account) -> None:
    assert "Empty: no limit but that of each account. Not 0" in root.get(f"{CODES}add/").content.decode()
    root.post(f"{CODES}add/", form(code="summer-2026", credits=100, max_uses=2))
    root.post(f"{CODES}add/", form(percent=10))
    made = PromoCode.objects.order_by("pk")
    assert (made[0].code, made[0].credits, made[0].max_uses, len(made[1].code)) == ("SUMMER2026", 100, 2, 12)
    redeem(alice)
    assert "1 of 2" in root.get(CODES).content.decode()
    redeemed = "/admin/billing/promoredemption/"
    assert "SUMMER2026" in root.get(redeemed).content.decode()
    assert root.post(f"{redeemed}{PromoRedemption.objects.get().pk}/change/").status_code == 403
    assert "SUMMER2026" in root.get(f"/admin/accounts/account/{alice.pk}/change/").content.decode()
    assert root.post(f"{CODES}{made[0].pk}/delete/", {"post": "yes"}).status_code == 403
    root.post(f"{CODES}{made[1].pk}/delete/", {"post": "yes"})
    assert PromoCode.objects.count() == 1


@pytest.mark.parametrize("wrong", [
    {"credits": 0}, {"credits": 5, "percent": 5}, {"credits": -1}, {"percent": 101}, {"credits": 10**7},
    {"code": "ÄÖÜÄ", "credits": 1}, {"code": "ABC", "credits": 1}, {"code": "TAKEN", "credits": 1},
    {"credits": 1, "max_uses": 0}, {"credits": 1, "max_uses_per_account": 0},
    {"credits": 1, "ends_at_0": "2025-12-31", "ends_at_1": "00:00:00"},
])  # fmt: skip
def test_what_would_be_no_code_is_not_made(root: Client, wrong: dict[str, object]) -> None:
    make_code("TAKEN")
    answer = root.post(f"{CODES}add/", form(**wrong))
    assert (answer.status_code, PromoCode.objects.count()) == (200, 1)


def test_what_a_code_brings_stays_and_a_change_gives_no_use_back(root: Client, alice: Account) -> None:
    code = make_code(max_uses=2)
    redeem(alice)
    path = f"{CODES}{code.pk}/change/"
    root.post(path, form(code="OTHER", credits=10**6, max_uses=3, used=0))
    code.refresh_from_db()
    assert (code.code, code.credits, code.max_uses, code.used) == ("SUMMER2026", 100, 3, 1)
    PromoCode.objects.update(used=3)
    assert root.post(path, form(max_uses=2)).status_code == 200
    code.refresh_from_db()
    assert (code.max_uses, code.used) == (3, 3)
