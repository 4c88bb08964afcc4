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
from billing.services.quota import Subscription, message_limit, messages_used, subscription
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
    "credits_of",
    "give_credits",
    "message_limit",
    "messages_used",
    "operator_account",
    "post_entry",
    "reverse_entry",
    "spend_credits",
    "subscription",
    "verify_ledger",
]
