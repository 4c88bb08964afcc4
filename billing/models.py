"""Credits, by double entry.

Every **Entry** moves amounts between at least two **LedgerAccounts**, and its **Postings** add up to nothing in each currency.
What belongs to somebody stands on the `credits` account of the owner, an `accounts.Account`; where it came from or went to, on
an account of the operator:

    credits        what an owner has to use up; never below zero
    promotions     gifts come from here
    purchases      bought credits come from here
    revenue        used credits go here
    refunds        credits that are taken back, as their price was paid back, go here
    corrections    the other side of an operator's correction

A positive amount adds to an account. Amounts are integers in the smallest unit of a currency; credits are a unit of their own,
CRD.

PostgreSQL keeps the rules, against raw SQL too (migration 0002): an entry that does not balance cannot be committed, nothing is
edited, deleted or added to afterwards, and a balance is what the postings made of it. Another entry puts right what was wrong.

The ledger knows owners by the id of their account and nobody by name, so a person can be erased and the books still add up.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Account
from iotportal.uuid7 import uuid7

CREDITS = "CRD"


class LedgerAccount(models.Model):
    """One account of the books: an owner's or the operator's, in one currency. Only postings move its balance."""

    class Kind(models.TextChoices):
        CREDITS = "credits"
        PROMOTIONS = "promotions"
        PURCHASES = "purchases"
        REVENUE = "revenue"
        REFUNDS = "refunds"
        CORRECTIONS = "corrections"

    owner = models.ForeignKey(Account, on_delete=models.PROTECT, null=True, related_name="ledger_accounts", editable=False)
    kind = models.CharField(max_length=16, choices=Kind, editable=False)
    currency = models.CharField(max_length=3, default=CREDITS, editable=False)  # ISO 4217, or CRD
    balance = models.BigIntegerField(default=0, db_default=0, editable=False)
    opened_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering: ClassVar = ["pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["owner", "kind", "currency"], name="ledgeraccount_once", nulls_distinct=False),
            models.CheckConstraint(
                condition=Q(kind__in=["credits", "promotions", "purchases", "revenue", "refunds", "corrections"]),
                name="ledgeraccount_kind_known",
            ),
            models.CheckConstraint(
                condition=Q(kind="credits", owner__isnull=False, currency=CREDITS) | (~Q(kind="credits") & Q(owner=None)),
                name="ledgeraccount_credits_are_owned",
            ),
            models.CheckConstraint(condition=Q(currency__regex=r"^[A-Z]{3}$"), name="ledgeraccount_currency_known"),
            models.CheckConstraint(condition=~Q(kind="credits") | Q(balance__gte=0), name="ledgeraccount_credits_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.owner_id or 'the operator'}"


class Entry(models.Model):
    """One movement, for a reason, once: whoever comes again with its idempotency key finds it instead of making another."""

    class Cause(models.TextChoices):
        PURCHASE = "purchase"
        SPEND = "spend"
        GIFT = "gift"
        REFUND = "refund"
        CORRECTION = "correction"
        REVERSAL = "reversal"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    at = models.DateTimeField(db_default=Now(), editable=False)
    cause = models.CharField(max_length=12, choices=Cause, editable=False)
    idempotency_key = models.CharField(max_length=120, unique=True, editable=False)
    reason = models.CharField(max_length=200, blank=True, default="", editable=False)  # in words, where a person decided
    size = models.SmallIntegerField(editable=False)  # its number of postings, so that none can be added later
    reverses = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="reversed_by", editable=False)

    class Meta:
        ordering: ClassVar = ["-id"]
        verbose_name_plural = "entries"
        permissions: ClassVar = [("move_credits", "Can give, correct and reverse credits")]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(cause__in=["purchase", "spend", "gift", "refund", "correction", "reversal"]),
                name="entry_cause_known",
            ),
            models.CheckConstraint(condition=~Q(idempotency_key=""), name="entry_key_given"),
            models.CheckConstraint(
                condition=~Q(cause__in=["gift", "correction", "reversal"]) | ~Q(reason=""), name="entry_reason_given"
            ),
            models.CheckConstraint(condition=Q(size__gte=2), name="entry_has_two_sides"),
            models.CheckConstraint(
                condition=Q(cause="reversal", reverses__isnull=False) | (~Q(cause="reversal") & Q(reverses=None)),
                name="entry_reversal_of_one",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.cause} {self.pk.hex}"


class Posting(models.Model):
    """What an entry adds to one account, or takes from it."""

    # The constraint has an index by entry, and the list below one by account.
    entry = models.ForeignKey(Entry, on_delete=models.PROTECT, related_name="postings", editable=False, db_index=False)
    account = models.ForeignKey(LedgerAccount, on_delete=models.PROTECT, related_name="postings", editable=False, db_index=False)
    amount = models.BigIntegerField(editable=False)

    class Meta:
        ordering: ClassVar = ["pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["entry", "account"], name="posting_once"),
            models.CheckConstraint(condition=~Q(amount=0), name="posting_moves_something"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["account", "-id"], name="posting_of_account"),  # a statement, and the sum that is compared
        ]

    def __str__(self) -> str:
        return f"{self.amount:+} {self.account}"


class Plan(models.Model):
    """How many messages a month cost nothing, from the first month on that begins after `starts_at`."""

    messages_per_month = models.BigIntegerField()
    starts_at = models.DateTimeField("starts", unique=True)

    class Meta:
        ordering: ClassVar = ["-starts_at"]
        constraints: ClassVar = [models.CheckConstraint(condition=Q(messages_per_month__gte=0), name="plan_not_negative")]

    def __str__(self) -> str:
        return f"{self.messages_per_month:,} messages a month"


class Price(models.Model):
    """What one thing costs from a moment on: `credits` for `per` of it. What has begun is never changed (migration 0003)."""

    class Item(models.TextChoices):
        MESSAGE = "message", "Message to a device"
        EMAIL = "email", "E-mail"
        SMS = "sms", "SMS"
        WEBHOOK = "webhook", "Webhook"
        PUSH = "push", "Push notification"
        EMULATOR_HOUR = "emulator_hour", "Hour of an emulator"

    item = models.CharField(max_length=16, choices=Item)
    country = models.CharField(max_length=2, blank=True, default="", help_text="Two letters (ISO 3166-1); empty: everywhere else")
    credits = models.IntegerField()
    per = models.IntegerField(default=1, help_text="So many cost that number of credits together")
    starts_at = models.DateTimeField("starts")

    class Meta:
        ordering: ClassVar = ["item", "country", "-starts_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["item", "country", "starts_at"], name="price_once"),
            models.CheckConstraint(
                condition=Q(item__in=["message", "email", "sms", "webhook", "push", "emulator_hour"]), name="price_item_known"
            ),
            models.CheckConstraint(condition=Q(country__regex=r"^([A-Z]{2})?$"), name="price_country_known"),
            models.CheckConstraint(condition=Q(credits__gte=0), name="price_not_negative"),
            models.CheckConstraint(condition=Q(per__gte=1), name="price_per_positive"),
        ]

    def __str__(self) -> str:
        where = f" ({self.country})" if self.country else ""
        what = str(self.get_item_display())
        return f"{what}{where}: {self.credits:,} {'credit' if self.credits == 1 else 'credits'} for {self.per:,}"


class Package(models.Model):
    """Credits that can be bought together. An order keeps the price that it was made at."""

    credits = models.IntegerField()
    price_minor = models.IntegerField("price", help_text="In the smallest unit of the currency: 500 is 5.00")
    currency = models.CharField(max_length=3, default="USD", help_text="Three letters (ISO 4217)")
    offered = models.BooleanField(default=True, help_text="Whether it can be bought now")

    class Meta:
        ordering: ClassVar = ["currency", "credits"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["credits", "currency"], name="package_once"),
            models.CheckConstraint(condition=Q(credits__gte=1), name="package_has_credits"),
            models.CheckConstraint(condition=Q(price_minor__gte=1), name="package_costs_something"),
            models.CheckConstraint(condition=Q(currency__regex=r"^[A-Z]{3}$") & ~Q(currency=CREDITS), name="package_in_money"),
        ]

    def __str__(self) -> str:
        return f"{self.credits:,} credits"


class Meter(models.Model):
    """How far the messages that an owner sent in a calendar month (UTC) are paid, the free ones among them.

    It moves in the transaction of the entry that charges: a worker that is killed has done both or neither.
    """

    account = models.ForeignKey(LedgerAccount, on_delete=models.PROTECT, related_name="meters", editable=False)
    month = models.CharField(max_length=6, editable=False)  # yyyymm
    paid_upto = models.BigIntegerField(editable=False)
    read_at = models.DateTimeField(editable=False)  # what was counted since is charged at the price of that moment

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "month"], name="meter_once"),
            models.CheckConstraint(condition=Q(month__regex=r"^\d{4}(0[1-9]|1[0-2])$"), name="meter_month_known"),
            models.CheckConstraint(condition=Q(paid_upto__gte=0), name="meter_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.month}: {self.paid_upto:,}"
