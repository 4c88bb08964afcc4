"""Random buying, paying back, spending, giving, redeeming and correcting from threads whose connections are cut in the middle.

Each operation is asked for again, by the same key or notice, until its end is known, as clients and PayPal do. A journal
beside the ledger notes what must have come of it; `Storm.faults` compares the two to the last credit.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

import psycopg2
import redis
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.db.models import Sum
from django.utils import timezone

from accounts.models import Account
from billing import services
from billing.models import (
    Entry,
    LedgerAccount,
    Meter,
    Order,
    PaymentNotice,
    Posting,
    Price,
    PromoCode,
    PromoRedemption,
    Receipt,
)
from billing.providers import ProviderUnavailable
from billing.services import notices, promo_codes
from billing.services.metering import charge_messages
from billing.services.months import month_key
from billing.tests.paypal import Sandbox, order_of
from simulators.paypal.server import forgeries
from simulators.paypal.world import Sale

T = TypeVar("T")
_NAME = "storm"  # of the connections that are cut
_WEIGHTS = {
    "spend": 24, "notice": 22, "gift": 14, "repeat": 12, "buy": 8, "correct": 6, "use": 5, "charge": 4, "reverse": 3, "forge": 2,
    "redeem": 8, "come_back": 6,
}  # fmt: skip


@dataclass
class Said:
    """An order, and what PayPal says of its money in the end: paid or not, and how much went back."""

    order: Order
    sale: Sale
    paid: bool
    returned: int = 0

    @property
    def credits(self) -> int:
        """What it must have brought."""
        back = self.order.all_credits * min(max(self.returned, 0), self.order.price_minor) // self.order.price_minor
        return self.order.all_credits - back if self.paid else 0


@dataclass
class Storm:
    """One run. `owners` have credits moved; `pay_pal` says what it likes; a connection is cut after every so many operations."""

    owners: list[Account]
    pay_pal: Sandbox
    seed: int
    cut_every: int
    did: Counter[str] = field(default_factory=Counter)
    cuts: int = 0
    asked_again: int = 0
    journal: Counter[UUID] = field(default_factory=Counter)
    gifts: dict[Entry, tuple[UUID, int]] = field(default_factory=dict)
    reversed: set[UUID] = field(default_factory=set)
    codes: list[PromoCode] = field(default_factory=list)
    redeemed: set[tuple[int, UUID]] = field(default_factory=set)  # which code by whom, as far as anybody was told
    orders: list[Said] = field(default_factory=list)
    waiting: list[bytes] = field(default_factory=list)
    told: list[bytes] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _due: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _over: threading.Event = field(default_factory=threading.Event)
    _errors: list[BaseException] = field(default_factory=list)

    def blow(self, operations: int, threads: int) -> None:
        """Do so many operations, then let everything that was said arrive, and charge what was used."""
        self.codes = [self._code(number) for number in range(operations // 50 + 2)]
        numbers = iter(range(operations))
        cutter = threading.Thread(target=self._cut)
        workers = [threading.Thread(target=self._work, args=(numbers,)) for _ in range(threads)]
        for one in (cutter, *workers):
            one.start()
        for one in workers:
            one.join()
        self._over.set()
        self._due.release()
        cutter.join()
        if self._errors:
            raise self._errors[0]
        self._calm(random.Random(self.seed))  # noqa: S311  # chance, not secrets

    def _code(self, number: int) -> PromoCode:
        """Make a code for all owners but one, or but few; every third one brings more with a package."""
        brings = {"percent": 5 + number % 30} if number % 3 == 1 else {"credits": 1 + number % 40}
        return PromoCode.objects.create(code=f"STORM{number}", max_uses=max(1, len(self.owners) - 1 - number % 2), **brings)

    def _work(self, numbers: itertools.count[int]) -> None:
        try:
            while (number := self._next(numbers)) is not None:
                chance = random.Random(f"{self.seed}:{number}")  # noqa: S311  # chance, not secrets
                what = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
                getattr(self, f"_{what}")(chance, f"storm:{number}")
                with self._lock:
                    self.did[what] += 1
                    if self.did.total() % self.cut_every == 0:
                        self._due.release()
        except BaseException as error:
            self._errors.append(error)
        finally:
            connection.close()

    def _next(self, numbers: itertools.count[int]) -> int | None:
        with self._lock:
            return next(numbers, None)

    def _surely(self, work: Callable[[], T]) -> T:
        """Do something, again and again, until the database or PayPal has said what came of it."""
        while True:
            try:
                if connection.connection is None:
                    with connection.cursor() as db:
                        db.execute("SELECT set_config('application_name', %s, false)", [_NAME])
                return work()
            except (OperationalError, InterfaceError, ProviderUnavailable):
                connection.close()
                with self._lock:
                    self.asked_again += 1

    def _cut(self) -> None:
        """Cut the connection of somebody who is at work, each time that it is due."""
        parameters = connection.get_connection_params()
        link = psycopg2.connect(**{name: value for name, value in parameters.items() if name != "cursor_factory"})
        link.autocommit = True
        while self._due.acquire() and not self._over.is_set():
            with link.cursor() as db:
                db.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s AND state <> 'idle' "
                    "AND datname = current_database() ORDER BY random() LIMIT 1",
                    [_NAME],
                )
                self.cuts += len(db.fetchall())
        link.close()

    # --- operations ----------------------------------------------------------------------------------------------------------

    def _note(self, account: Account, credits: int) -> None:
        with self._lock:
            self.journal[account.pk] += credits

    def _gift(self, chance: random.Random, key: str) -> None:
        account, credits = chance.choice(self.owners), chance.randint(1, 40)
        entry = self._surely(lambda: services.give_credits(account=account, credits=credits, reason="x", key=key))
        with self._lock:
            self.gifts[entry] = (account.pk, credits)

    def _spend(self, chance: random.Random, key: str) -> None:
        account, credits = chance.choice(self.owners), chance.randint(1, 60)
        with suppress(services.InsufficientCredits):
            self._surely(lambda: services.spend_credits(account=account, credits=credits, key=key))
            self._note(account, -credits)

    def _correct(self, chance: random.Random, key: str) -> None:
        account, credits = chance.choice(self.owners), chance.choice((-1, 1)) * chance.randint(1, 30)
        with suppress(services.InsufficientCredits):
            self._surely(lambda: services.correct_balance(account=account, credits=credits, reason="x", key=key))
            self._note(account, credits)

    def _reverse(self, chance: random.Random, key: str) -> None:
        with self._lock:
            entry = chance.choice(list(self.gifts)) if self.gifts else None
        if entry is None:
            return
        with suppress(services.InsufficientCredits):
            with suppress(services.AlreadyReversed):  # by another, or by the one before the cut
                self._surely(lambda: services.reverse_entry(entry=entry, reason="x"))
            with self._lock:
                self.reversed.add(entry.pk)

    def _redeem(self, chance: random.Random, key: str) -> None:
        account, code = chance.choice(self.owners), chance.choice(self.codes)
        user = self._surely(lambda: account.memberships.get().user)
        with suppress(promo_codes.PromoCodeUsedUp, promo_codes.AnotherWaits):
            with suppress(promo_codes.PromoCodeAlreadyUsed):  # as somebody else said, or the one before the cut
                self._surely(lambda: promo_codes.redeem_code(account=account, user=user, typed=code.code))
            with self._lock:
                self.redeemed.add((code.pk, account.pk))

    def _use(self, chance: random.Random, key: str) -> None:
        with redis.Redis.from_url(settings.VALKEY_URL) as valkey:
            valkey.incrby(f"quota:{chance.choice(self.owners).pk.hex}:{month_key(timezone.now())}", chance.randint(1, 25))

    def _charge(self, chance: random.Random, key: str) -> None:
        self._surely(charge_messages)

    def _buy(self, chance: random.Random, key: str) -> None:
        """Order, and have PayPal make up its mind about what it will say of it."""
        order = self._surely(
            lambda: order_of(chance.choice(self.owners))
        )  # cut after the commit, it leaves an order behind: unpaid
        world, sale = self.pay_pal.world, self.pay_pal.sale(order)
        said = Said(order, sale, paid=chance.random() < 0.8)
        bodies = [world.payment(sale, "Pending")] if chance.random() < 0.4 else []
        bodies.append(world.payment(sale, "Completed" if said.paid else "Denied"))
        for back, share in (("refund", 2), ("refund", 4), ("reversal", 1), ("reinstatement", 1)):
            if said.paid and chance.random() < 0.4:
                if back == "refund":
                    bodies.append(world.refund(sale, (sale.amount / share).quantize(Decimal("0.01"))))
                    said.returned += order.price_minor // share
                elif back == "reversal":
                    bodies.append(world.reversal(sale))
                    said.returned += order.price_minor
                    if chance.random() < 0.5:
                        bodies.append(world.reinstatement(sale))
                        said.returned -= order.price_minor
        with self._lock:
            self.orders.append(said)
            self.waiting += bodies

    def _notice(self, chance: random.Random, key: str) -> None:
        """Let one arrive, whichever: late ones, and refunds before their payment."""
        with self._lock:
            body = self.waiting.pop(chance.randrange(len(self.waiting))) if self.waiting else None
            if body is not None:
                self.told.append(body)
        if body is not None:
            self._tell(body)

    def _repeat(self, chance: random.Random, key: str) -> None:
        with self._lock:
            body = chance.choice(self.told) if self.told else None
        if body is not None:
            self._tell(body)

    def _forge(self, chance: random.Random, key: str) -> None:
        with self._lock:
            said = chance.choice(self.orders) if self.orders else None
        if said is not None:
            self._tell(chance.choice(forgeries(self.pay_pal.world, self.pay_pal.sale(said.order))))

    def _come_back(self, chance: random.Random, key: str) -> None:
        """Be back from PayPal with the name of a payment, now and then at an order that it does not pay."""
        with self._lock:
            said = chance.choice(self.orders[-3:]) if self.orders else None  # a new one, of which no IPN may have told
            at = chance.choice(self.orders) if self.orders and chance.random() < 0.2 else said
        if said is not None and at is not None:
            self._surely(lambda: notices.receive_return(order=at.order, payment=said.sale.txn_id, address=None))

    def _tell(self, body: bytes) -> None:
        take = notices.receive_notice
        self._surely(lambda: take(provider="paypal_standard", body=body, headers={}, address=None))

    # --- the end -------------------------------------------------------------------------------------------------------------

    def _calm(self, chance: random.Random) -> None:
        """Let arrive what still waits, look at the notices that a cut left open, and charge all that was used."""
        chance.shuffle(self.waiting)
        for body in self.waiting:
            self._tell(body)
        for notice in PaymentNotice.objects.filter(outcome="open"):
            self._surely(lambda notice=notice: notices.process_notice(notice))  # type: ignore[misc]  # the loop's own
        for number, account in enumerate(self.owners):
            services.give_credits(account=account, credits=10**6, reason="x", key=f"storm:end:{number}")
            self._note(account, 10**6)
        charge_messages()

    def faults(self) -> list[str]:
        """Return everything in which the books are not what the journal says."""
        found = services.verify_ledger()
        total = LedgerAccount.objects.aggregate(sum=Sum("balance"))["sum"]
        found += [f"all accounts together are {total}"] if total else []
        found += self._faults_of_codes()
        for said in self.orders:
            mine = Posting.objects.filter(entry__payment__order=said.order, account__owner=said.order.account_id)
            moved = mine.aggregate(sum=Sum("amount"))["sum"] or 0
            found += [f"order {said.order.pk} brought {moved}, not {said.credits}"] if moved != said.credits else []
        found += [one for account in self.owners for one in self._faults_of(account)]
        numbers = list(Receipt.objects.order_by("number").values_list("number", flat=True))
        paid = sum(said.paid for said in self.orders)
        if numbers != list(range(1, paid + 1)):
            found.append(f"{paid} orders are paid and there are {len(numbers)} receipts up to {max(numbers, default=0)}")
        open_notices = PaymentNotice.objects.filter(outcome="open").count()
        return [*found, *([f"{open_notices} notices are open"] if open_notices else [])]

    def checked(self) -> Counter[str]:
        """Return how much of what `faults` holds against the journal."""
        paid = sum(said.paid for said in self.orders)
        about = {"owners": len(self.owners), "orders": len(self.orders), "receipts": paid, "promo codes": len(self.codes)}
        return Counter({**about, "uses of codes": len(self.redeemed), "meters": len(self.owners)})

    def _faults_of_codes(self) -> list[str]:
        """Compare the uses of codes with what people were told, and what packages brought more with the codes that they took."""
        uses = list(PromoRedemption.objects.select_related("order"))
        counts = Counter(one.promo_code_id for one in uses)
        wrong = (
            [] if {(one.promo_code_id, one.account_id) for one in uses} == self.redeemed else ["others redeemed than were told"]
        )
        wrong += ["an account used a code twice"] if len(uses) != len(self.redeemed) else []
        for code in PromoCode.objects.all():
            if code.used != counts[code.pk] or code.used > (code.max_uses or 0):
                wrong.append(f"{code} counts {code.used} of {code.max_uses} uses, and there are {counts[code.pk]}")
        more = {one.order.pk: promo_codes.bonus(one.order.credits, one.percent) for one in uses if one.order is not None}
        for said in self.orders:
            said.order.refresh_from_db(fields=["bonus_credits"])
            if said.order.bonus_credits != more.get(said.order.pk, 0):
                wrong.append(f"order {said.order.pk} has {said.order.bonus_credits} more, not {more.get(said.order.pk, 0)}")
        return wrong

    def _faults_of(self, account: Account) -> list[str]:
        """Compare what an owner has, less what is owed, with the journal; and what was charged with what was used."""
        given = sum(
            credits for entry, (owner, credits) in self.gifts.items() if owner == account.pk and entry.pk not in self.reversed
        )
        bought = sum(said.credits for said in self.orders if said.order.account_id == account.pk)
        credits_of = {code.pk: code.credits for code in self.codes}
        given += sum(credits_of[code] for code, owner in self.redeemed if owner == account.pk)
        mine = Posting.objects.filter(account__owner=account)
        metered = -(mine.filter(entry__idempotency_key__startswith="messages:").aggregate(sum=Sum("amount"))["sum"] or 0)
        has, owes = services.balance(account), services.debt(account)
        expected = self.journal[account.pk] + given + bought - metered
        wrong = [f"{account} has {has} and owes {owes}, not together {expected}"] if has - owes != expected else []
        price = services.price_of(Price.Item.MESSAGE)
        meter = Meter.objects.filter(account__owner=account).first()
        paid, used = meter.paid_upto if meter else 0, services.messages_used(account.pk)
        if price is None or metered * price.per != paid * price.credits or not 0 <= paid - used < price.per:
            wrong.append(f"{account} used {used} messages, {paid} are paid, with {metered} credits")
        return wrong
