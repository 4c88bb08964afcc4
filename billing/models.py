"""Credits, by double entry.

Every **Entry** moves amounts between at least two **LedgerAccounts**, and its **Postings** add up to nothing in each currency.
What belongs to somebody stands on the `credits` account of the owner, an `accounts.Account`; where it came from or went to, on
an account of the operator:

    credits        what an owner has to use up; never below zero
    debts          what an owner used and then got the money back for; never above zero, and the next purchase pays it first
    promotions     gifts and what promo codes bring come from here
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

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import Account
from billing import money
from iotportal.uuid7 import uuid7

CREDITS = "CRD"


class LedgerAccount(models.Model):
    """One account of the books: an owner's or the operator's, in one currency. Only postings move its balance."""

    class Kind(models.TextChoices):
        CREDITS = "credits"
        DEBTS = "debts"
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
                condition=Q(kind__in=["credits", "debts", "promotions", "purchases", "revenue", "refunds", "corrections"]),
                name="ledgeraccount_kind_known",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["credits", "debts"], owner__isnull=False, currency=CREDITS)
                | (~Q(kind__in=["credits", "debts"]) & Q(owner=None)),
                name="ledgeraccount_credits_are_owned",
            ),
            models.CheckConstraint(condition=Q(currency__regex=r"^[A-Z]{3}$"), name="ledgeraccount_currency_known"),
            models.CheckConstraint(condition=~Q(kind="credits") | Q(balance__gte=0), name="ledgeraccount_credits_not_negative"),
            models.CheckConstraint(condition=~Q(kind="debts") | Q(balance__lte=0), name="ledgeraccount_debts_not_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.owner_id or 'the operator'}"


class Entry(models.Model):
    """One movement, for a reason, once: whoever comes again with its idempotency key finds it instead of making another."""

    class Cause(models.TextChoices):
        PURCHASE = "purchase"
        SPEND = "spend"
        GIFT = "gift"
        PROMOTION = "promotion"
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
                condition=Q(cause__in=["purchase", "spend", "gift", "promotion", "refund", "correction", "reversal"]),
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
    """What costs nothing in a month, from the first month on that begins after `starts_at`."""

    messages_per_month = models.BigIntegerField()
    emulator_hours_per_month = models.IntegerField(default=50, db_default=50)
    starts_at = models.DateTimeField("starts", unique=True)

    class Meta:
        ordering: ClassVar = ["-starts_at"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(messages_per_month__gte=0), name="plan_not_negative"),
            models.CheckConstraint(condition=Q(emulator_hours_per_month__gte=0), name="plan_hours_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.messages_per_month:,} messages and {self.emulator_hours_per_month:,} hours of an emulator a month"


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
    """How far the messages that an owner sent in a calendar month of its time zone are paid, the free ones among them.

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


class EmulatorMeter(models.Model):
    """How long emulators of an account's devices ran in a calendar month (UTC), and how many hours are paid beside the free ones.

    `seconds` moves in the transaction of the mark up to where an emulator is counted, `paid_hours` in that of the charging entry.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="emulator_meters", editable=False)
    month = models.CharField(max_length=6, editable=False)  # yyyymm
    seconds = models.BigIntegerField(default=0, db_default=0, editable=False)
    paid_hours = models.IntegerField(default=0, db_default=0, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "month"], name="emulatormeter_once"),
            models.CheckConstraint(condition=Q(month__regex=r"^\d{4}(0[1-9]|1[0-2])$"), name="emulatormeter_month_known"),
            models.CheckConstraint(condition=Q(seconds__gte=0, paid_hours__gte=0), name="emulatormeter_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.month}: {self.seconds:,} s"


class Usage(models.Model):
    """How many messages an account had sent in its month when a day of its zone was last looked at: what is new is the day's."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="usage", editable=False)
    day = models.DateField(editable=False)
    upto = models.BigIntegerField(editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "day"], name="usage_once"),
            models.CheckConstraint(condition=Q(upto__gte=0), name="usage_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.day}: {self.upto:,}"


class LowBalance(models.Model):
    """Below how many credits an account's people are told, and whether they were, since it was last above."""

    account = models.OneToOneField(Account, on_delete=models.CASCADE, related_name="low_balance", editable=False)
    below = models.IntegerField(null=True, editable=False)  # None: what PORTAL_LOW_BALANCE says; 0: never
    told_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(below=None) | Q(below__gte=0), name="lowbalance_not_negative"),
        ]

    def __str__(self) -> str:
        return f"below {self.below}"


# --- buying ----------------------------------------------------------------------------------------------------------------


class Provider(models.TextChoices):
    """Who takes the money."""

    PAYPAL_STANDARD = "paypal_standard", "PayPal Payments Standard"
    PAYPAL_ORDERS = "paypal_orders", "PayPal Orders"


class VatRate(models.Model):
    """The tax that a package's price includes, by the country that the buyer names."""

    country = models.CharField(max_length=2, unique=True, help_text="Two letters (ISO 3166-1)")
    name = models.CharField(max_length=12, default="VAT", help_text="What the tax is called there: VAT, GST, MwSt.")
    basis_points = models.IntegerField("rate", help_text="In hundredths of a percent: 1900 is 19 %")

    class Meta:
        ordering: ClassVar = ["country"]
        verbose_name = "VAT rate"
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(country__regex=r"^[A-Z]{2}$"), name="vatrate_country_known"),
            models.CheckConstraint(condition=Q(basis_points__gte=0, basis_points__lt=10_000), name="vatrate_in_range"),
        ]

    def __str__(self) -> str:
        return f"{self.country}: {self.name} {money.percent(self.basis_points)}"


class Order(models.Model):
    """What somebody wants to buy, at which price: stored before the money moves, so that what comes back is held against it."""

    class Status(models.TextChoices):
        OPEN = "open", "Not paid"
        PENDING = "pending", "Payment pending"
        PAID = "paid", "Paid"
        PARTLY_REFUNDED = "partly_refunded", "Partly refunded"
        REFUNDED = "refunded", "Refunded"
        DISPUTED = "disputed", "Disputed"
        FAILED = "failed", "Payment failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="orders", editable=False)
    buyer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+", editable=False)
    provider = models.CharField(max_length=16, choices=Provider, editable=False)
    reference = models.CharField(max_length=64, blank=True, default="", editable=False)  # the provider's own id of the order
    credits = models.IntegerField(editable=False)
    bonus_credits = models.IntegerField(default=0, db_default=0, editable=False)  # more of them by a promo code, once it is paid
    price_minor = models.IntegerField(editable=False)  # what is paid, tax included
    currency = models.CharField(max_length=3, editable=False)
    country = models.CharField(max_length=2, blank=True, default="", editable=False)
    tax_name = models.CharField(max_length=12, blank=True, default="", editable=False)
    tax_basis_points = models.IntegerField(default=0, editable=False)
    status = models.CharField(max_length=16, choices=Status, default=Status.OPEN, editable=False)
    made_at = models.DateTimeField(db_default=Now(), editable=False)
    paid_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(credits__gte=1, price_minor__gte=1), name="order_buys_something"),
            models.CheckConstraint(condition=Q(currency__regex=r"^[A-Z]{3}$") & ~Q(currency=CREDITS), name="order_in_money"),
            models.CheckConstraint(condition=Q(tax_basis_points__gte=0, tax_basis_points__lt=10_000), name="order_tax_in_range"),
            models.CheckConstraint(
                condition=Q(paid_at=None, status__in=["open", "pending", "failed"])
                | Q(paid_at__isnull=False, status__in=["paid", "partly_refunded", "refunded", "disputed"]),
                name="order_status_known",
            ),
            models.UniqueConstraint(fields=["provider", "reference"], condition=~Q(reference=""), name="order_reference_once"),
            models.CheckConstraint(
                condition=Q(bonus_credits=0) | Q(bonus_credits__gte=1, paid_at__isnull=False), name="order_bonus_once_paid"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["account", "-id"], name="order_of_account")]

    def __str__(self) -> str:
        return f"{self.credits:,} credits for {self.price}"

    @property
    def all_credits(self) -> int:
        """The credits that were bought, and those that a promo code brought with them."""
        return self.credits + self.bonus_credits

    @property
    def price(self) -> str:
        """What is paid, in words: "USD 5.00"."""
        return money.words(self.price_minor, self.currency)

    @property
    def tax_minor(self) -> int:
        """The tax that the price includes."""
        return money.tax_included(self.price_minor, self.tax_basis_points)


class PaymentTransaction(models.Model):
    """What the provider did with the money of an order. Its reference counts once, whoever repeats it."""

    class Kind(models.TextChoices):
        PAYMENT = "payment"
        REFUND = "refund"
        REVERSAL = "reversal"  # taken back by a dispute or a chargeback
        REINSTATEMENT = "reinstatement"  # and given to us again

    class Status(models.TextChoices):
        PENDING = "pending"
        COMPLETED = "completed"
        FAILED = "failed"

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="transactions", editable=False)
    provider = models.CharField(max_length=16, choices=Provider, editable=False)
    reference = models.CharField(max_length=64, editable=False)
    kind = models.CharField(max_length=16, choices=Kind, editable=False)
    status = models.CharField(max_length=16, choices=Status, editable=False)
    amount_minor = models.IntegerField(editable=False)  # never below zero, whichever way it went
    reason = models.CharField(max_length=64, blank=True, default="", editable=False)  # the provider's word: echeck, chargeback
    entry = models.OneToOneField(Entry, on_delete=models.PROTECT, null=True, related_name="payment", editable=False)
    at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering: ClassVar = ["pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["provider", "reference"], name="paymenttransaction_once"),
            models.UniqueConstraint(
                fields=["order"], condition=Q(kind="payment", status="completed"), name="paymenttransaction_pays_once"
            ),
            models.CheckConstraint(condition=Q(amount_minor__gte=1), name="paymenttransaction_moves_something"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.reference}: {self.status}"


class PaymentNotice(models.Model):
    """What came in as a message of the provider, as it came, with what the provider said of it and what became of it.

    A buyer who is back with the name of a payment is one too, of the kind `return`: `answer` is what the provider told about it.
    """

    class Kind(models.TextChoices):
        NOTICE = "notice", "Notice"
        RETURN = "return", "Buyer's return"

    class Verification(models.TextChoices):
        OPEN = "open", "Not asked yet"
        VERIFIED = "verified", "Verified"
        REFUSED = "refused", "Not the provider's"

    class Outcome(models.TextChoices):
        OPEN = "open", "Not looked at yet"
        APPLIED = "applied", "Applied"
        REPEATED = "repeated", "Known before"
        IGNORED = "ignored", "Nothing to do"
        REJECTED = "rejected", "Rejected"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.CharField(max_length=16, choices=Provider, editable=False)
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.NOTICE, db_default=Kind.NOTICE, editable=False)
    received_at = models.DateTimeField(db_default=Now(), editable=False)
    address = models.GenericIPAddressField(null=True, editable=False)
    headers = models.JSONField(default=dict, editable=False)  # those that the verification needs
    body = models.BinaryField(editable=False)
    answer = models.BinaryField(null=True, editable=False)
    verification = models.CharField(max_length=8, choices=Verification, default=Verification.OPEN, editable=False)
    outcome = models.CharField(max_length=8, choices=Outcome, default=Outcome.OPEN, editable=False)
    why = models.CharField(max_length=300, blank=True, default="", editable=False)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, null=True, related_name="notices", editable=False)

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=~Q(outcome="applied") | Q(verification="verified", order__isnull=False),
                name="notice_applied_if_verified",
            ),
            models.CheckConstraint(
                condition=Q(kind="notice", answer=None) | Q(kind="return", order__isnull=False), name="notice_kind_known"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["id"], condition=Q(outcome="open"), name="notice_open")]

    def __str__(self) -> str:
        return f"{self.provider} {self.id.hex}: {self.verification}, {self.outcome}"


class Receipt(models.Model):
    """The receipt of a paid order, numbered without gaps, with the names as they were then."""

    number = models.IntegerField(primary_key=True)
    order = models.OneToOneField(Order, on_delete=models.PROTECT, related_name="receipt", editable=False)
    issued_at = models.DateTimeField(db_default=Now(), editable=False)
    seller = models.TextField(editable=False)
    buyer = models.TextField(editable=False)

    class Meta:
        ordering: ClassVar = ["-number"]
        constraints: ClassVar = [models.CheckConstraint(condition=Q(number__gte=1), name="receipt_numbered_from_one")]

    def __str__(self) -> str:
        return f"Receipt {self.number}"


# --- promo codes -----------------------------------------------------------------------------------------------------------


class PromoCode(models.Model):
    """A code that brings credits at once, or so many percent more with the next package; so often, and in its time.

    `used` moves under the row's lock, in the transaction of the redemption that it counts.
    """

    code = models.CharField(max_length=32, unique=True)  # as it is compared: capital letters and digits
    credits = models.IntegerField(default=0, help_text="What it brings at once; 0 for one that brings more with a package")
    percent = models.IntegerField("percent more", default=0, help_text="Of the next package's credits, on top of them")
    starts_at = models.DateTimeField("valid from", default=timezone.now, help_text="UTC")
    ends_at = models.DateTimeField("valid until", null=True, blank=True, help_text="UTC. Empty: until you say otherwise")
    max_uses = models.IntegerField("uses in all", null=True, blank=True, help_text="Empty: as many as there are accounts")
    max_uses_per_account = models.SmallIntegerField("uses per account", default=1)
    first_purchase_only = models.BooleanField(default=False, help_text="Only for accounts that have not bought credits yet")
    used = models.IntegerField(default=0, editable=False)

    class Meta:
        ordering: ClassVar = ["-pk"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(code__regex=r"^[0-9A-Z]{4,32}$"), name="promocode_is_compared"),
            models.CheckConstraint(
                condition=Q(credits__range=(1, 1_000_000), percent=0) | Q(credits=0, percent__range=(1, 100)),
                name="promocode_brings_one_thing",
                violation_error_message="Either credits, up to 1,000,000, or 1 to 100 percent more.",
            ),
            models.CheckConstraint(
                condition=Q(ends_at=None) | Q(ends_at__gt=models.F("starts_at")),
                name="promocode_has_a_time",
                violation_error_message="It ends before it begins.",
            ),
            models.CheckConstraint(
                condition=Q(used__gte=0) & (Q(max_uses=None) | Q(max_uses__gte=1, used__lte=models.F("max_uses"))),
                name="promocode_not_overused",
                violation_error_message="At least 1, and not fewer than there were already.",
            ),
            models.CheckConstraint(
                condition=Q(max_uses_per_account__range=(1, 1000)),
                name="promocode_uses_per_account_known",
                violation_error_message="Uses per account are 1 to 1,000.",
            ),
        ]

    def __str__(self) -> str:
        return self.code


class PromoRedemption(models.Model):
    """A use of a code by an account, with what it was promised then.

    Credits are there with it. What brings more with a package waits, one an account, for the next order that is paid.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    promo_code = models.ForeignKey(PromoCode, on_delete=models.PROTECT, related_name="redemptions", editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="promo_redemptions", editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+", editable=False)
    number = models.SmallIntegerField(editable=False)  # which of the account's uses of this code
    credits = models.IntegerField(editable=False)
    percent = models.IntegerField(editable=False)
    entry = models.OneToOneField(Entry, on_delete=models.PROTECT, null=True, related_name="promo_redemption", editable=False)
    order = models.OneToOneField(Order, on_delete=models.PROTECT, null=True, related_name="promo_redemption", editable=False)
    redeemed_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["promo_code", "account", "number"], name="promoredemption_once"),
            models.UniqueConstraint(fields=["account"], condition=Q(entry=None), name="promoredemption_one_waits"),
            models.CheckConstraint(condition=Q(number__gte=1), name="promoredemption_numbered_from_one"),
            models.CheckConstraint(
                condition=Q(credits__gte=1, percent=0, entry__isnull=False, order=None)
                | Q(credits=0, percent__gte=1, entry=None, order=None)
                | Q(credits=0, percent__gte=1, entry__isnull=False, order__isnull=False),
                name="promoredemption_brought_or_waits",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.promo_code_id} {self.credits or f'{self.percent} %'}"
