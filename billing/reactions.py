"""What billing does by itself when something happens in it."""

from __future__ import annotations

from billing import tasks
from billing.hooks import BalanceLow
from billing.services import top_up
from iotportal.after_commit import after_commit


def on_low_balance(low: BalanceLow) -> None:
    """Have a worker top the account up once the entry is there, where it agreed to that; nobody waits for a provider here."""
    if top_up.consent_of(low.account) is not None:
        words = {"account_id": low.account.pk.hex, "entry_id": low.entry_id.hex}
        after_commit(tasks.top_up.delay, **words)
