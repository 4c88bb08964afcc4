from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
import redis
import time_machine
from django.conf import settings

from billing.services import messages_used


@pytest.mark.usefixtures("clean_valkey")
@pytest.mark.django_db
def test_it_reads_the_count_of_this_month_in_utc_unless_the_account_is_elsewhere() -> None:
    account, other = uuid4(), uuid4()
    with redis.Redis.from_url(settings.VALKEY_URL) as link:
        link.set(f"quota:{account.hex}:202611", 7)

    with time_machine.travel(datetime(2026, 11, 30, 23, 59, tzinfo=UTC), tick=False):
        assert messages_used(account) == 7
        assert messages_used(other) == 0
    with time_machine.travel(datetime(2026, 12, 1, tzinfo=UTC), tick=False):
        assert messages_used(account) == 0
