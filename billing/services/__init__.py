"""What other apps ask of billing."""

from billing.services.emulator_time import (
    EmulatorTime,
    add_emulator_time,
    emulator_time,
    without_emulator_time,
)
from billing.services.ledger import (
    AlreadyReversed,
    BillingError,
    FollowsPayment,
    InsufficientCredits,
    InvalidEntry,
    KeyReused,
    Leg,
    balance,
    correct_balance,
    credits_of,
    give_credits,
    operator_account,
    post_entry,
    reverse_entry,
    spend_credits,
)
from billing.services.prices import cost, free_emulator_hours, free_messages, packages, price_of, prices_now, prices_of
from billing.services.quota import Allowance, Subscription, allowance, allowances_of, message_limit, messages_used, subscription
from billing.services.statements import debt
from billing.services.verification import verify_ledger

__all__ = [
    "Allowance",
    "AlreadyReversed",
    "BillingError",
    "EmulatorTime",
    "FollowsPayment",
    "InsufficientCredits",
    "InvalidEntry",
    "KeyReused",
    "Leg",
    "Subscription",
    "add_emulator_time",
    "allowance",
    "allowances_of",
    "balance",
    "correct_balance",
    "cost",
    "credits_of",
    "debt",
    "emulator_time",
    "free_emulator_hours",
    "free_messages",
    "give_credits",
    "message_limit",
    "messages_used",
    "operator_account",
    "packages",
    "post_entry",
    "price_of",
    "prices_now",
    "prices_of",
    "reverse_entry",
    "spend_credits",
    "subscription",
    "verify_ledger",
    "without_emulator_time",
]
