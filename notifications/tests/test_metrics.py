"""The figures of deliveries and of the credits that they cost."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import REGISTRY

from accounts.models import Account
from billing.services import give_credits
from notifications.services import outbox
from notifications.tests.conftest import Ask, MailServer
from notifications.tests.test_outbox import agree

pytestmark = pytest.mark.django_db

FIGURES = {
    "sent": ("portal_deliveries_total", {"channel": "email", "status": "sent"}),
    "failed": ("portal_deliveries_total", {"channel": "email", "status": "failed"}),
    "tries": ("portal_delivery_try_seconds_count", {"channel": "email"}),
    "given": ("portal_credits_total", {"cause": "gift", "way": "came"}),
    "spent": ("portal_credits_total", {"cause": "spend", "way": "went"}),
}


def figures() -> dict[str, float]:
    return {name: REGISTRY.get_sample_value(*figure) or 0.0 for name, figure in FIGURES.items()}


def test_what_was_delivered_and_what_it_cost_is_counted_once_it_is_committed(
    ask: Ask, account: Account, mail_server: MailServer, django_capture_on_commit_callbacks: Any
) -> None:
    before = figures()
    with django_capture_on_commit_callbacks(execute=True):
        agree(account, "ops@example.com")
        give_credits(account=account, credits=500, reason="Welcome", key="gift")
        ask("ops@example.com")
        outbox.deliver()
        mail_server.recipient_answer = "550 no such mailbox"
        ask("ops@example.com", "again")
        outbox.deliver()
        assert {name for name, value in figures().items() if value > before[name]} == {"tries"}
    after = figures()
    moved = {name: after[name] - before[name] for name in FIGURES}
    assert moved == {"sent": 1, "failed": 1, "tries": 2, "given": 500, "spent": 1}
