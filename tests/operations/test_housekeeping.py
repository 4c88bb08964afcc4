"""`manage.py housekeeping`: the periodic work of hosts with cron and no beat."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from accounts import services
from iotportal.celery import app
from iotportal.schedule import JOBS

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_valkey", "pki")]


def housekeeping(*words: str) -> dict[str, str]:
    """Run the command; what it says of each job."""
    said = StringIO()
    call_command("housekeeping", *words, stdout=said)
    return {name: rest.strip() for name, rest in (line.split(maxsplit=1) for line in said.getvalue().splitlines())}


@contextmanager
def somebody_at(name: str) -> Iterator[None]:
    """Hold the lock of a job as another process would."""
    with closing(connection.copy()) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [f"housekeeping:{name}"])
        yield


def test_it_does_what_beat_would_do() -> None:
    ended = Session.objects.create(session_key="a" * 32, session_data="", expire_date=timezone.now() - timedelta(days=1))
    said = housekeeping()
    assert set(said) == {job.name for job in JOBS}
    assert all(line.startswith("done in ") for line in said.values()), said
    assert not Session.objects.filter(pk=ended.pk).exists()


def test_every_job_is_a_task_that_a_worker_knows() -> None:
    app.loader.import_default_modules()
    assert {job.task for job in JOBS} == {entry["task"] for entry in app.conf.beat_schedule.values()}
    assert {job.task for job in JOBS} <= set(app.tasks)


def test_what_was_done_is_not_due_until_its_time_has_come() -> None:
    housekeeping()
    again = housekeeping()
    assert again["make-partitions"] == "not due yet"
    assert again["tell-outages"].startswith("done"), "more often than cron starts anything"
    assert housekeeping("--all", "make-partitions")["make-partitions"].startswith("done")


def test_of_two_at_once_one_does_a_job() -> None:
    with somebody_at("delete-accounts"):
        said = housekeeping()
        assert said["delete-accounts"] == "left to another process, which is at it"
        assert said["make-partitions"].startswith("done")
    assert housekeeping("delete-accounts")["delete-accounts"].startswith("done"), "its lock went with its connection"


def test_a_job_that_fails_is_named_and_tried_again_and_the_others_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> int:
        raise RuntimeError("no such thing")

    with monkeypatch.context() as patch:
        patch.setattr(services, "delete_ended_logins", broken)
        said = StringIO()
        with pytest.raises(CommandError, match=r"Failed: delete-ended-logins \(RuntimeError\)"):
            call_command("housekeeping", stdout=said)
    assert "forget-old-presence" in said.getvalue()
    again = housekeeping()
    assert again["delete-ended-logins"].startswith("done")
    assert again["delete-ended-invitations"] == "not due yet"


def test_it_is_silent_where_asked_and_knows_its_jobs() -> None:
    assert housekeeping("--verbosity", "0") == {}
    with pytest.raises(CommandError, match="no job nonsense"):
        call_command("housekeeping", "nonsense")
