"""What other apps ask of billing."""

from billing.services.ledger import (
    AlreadyReversed,
    BillingError,
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
from billing.services.prices import cost, free_messages, packages, price_of, prices_now
from billing.services.quota import Subscription, message_limit, messages_used, subscription
from billing.services.statements import debt
from billing.services.verification import verify_ledger

__all__ = [
    "AlreadyReversed",
    "BillingError",
    "InsufficientCredits",
    "InvalidEntry",
    "KeyReused",
    "Leg",
    "Subscription",
    "balance",
    "correct_balance",
    "cost",
    "credits_of",
    "debt",
    "free_messages",
    "give_credits",
    "message_limit",
    "messages_used",
    "operator_account",
    "packages",
    "post_entry",
    "price_of",
    "prices_now",
    "reverse_entry",
    "spend_credits",
    "subscription",
    "verify_ledger",
]
