"""What leaves after a commit can fail, and undoes nothing."""

from __future__ import annotations

import logging

import pytest
from django.db import transaction

from accounts.models import User
from iotportal.after_commit import after_commit

pytestmark = pytest.mark.django_db(transaction=True)


def test_work_is_done_once_the_transaction_is_in_and_never_when_it_is_not() -> None:
    done: list[str] = []

    def work(what: str, *, how: str) -> None:
        assert not transaction.get_connection().in_atomic_block
        done.append(f"{what} {how}")

    with transaction.atomic():
        after_commit(work, "told", how="late")
        assert not done
    with transaction.atomic():
        after_commit(work, "told", how="never")
        transaction.set_rollback(True)
    after_commit(work, "told", how="at once")
    assert done == ["told late", "told at once"]


def test_what_fails_is_logged_by_its_name_and_the_rest_is_done(caplog: pytest.LogCaptureFixture) -> None:
    done: list[int] = []

    def fail() -> None:
        raise ConnectionError("away")

    with caplog.at_level(logging.ERROR), transaction.atomic():
        User.objects.create(username="alice", email="alice@example.org")
        after_commit(fail)
        after_commit(done.append, 1)
    assert User.objects.filter(username="alice").exists()
    assert done == [1]
    assert fail.__qualname__ in caplog.text
