"""The periodic work where no Celery beat runs: cron starts `manage.py housekeeping`, which does here what is due.

Two runs at once share the work: a job is done under an advisory lock of its own, on a connection of its own, so that neither
an error in the job nor a killed process leaves it locked. When a job was last done is kept in Valkey; if that is lost, the
job is done once more, which every job stands.
"""

from __future__ import annotations

import enum
import logging
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from django.core.cache import cache
from django.db import connection
from django.utils.module_loading import import_string

from iotportal.schedule import JOBS, Job

logger = logging.getLogger(__name__)

_JITTER_S = 30  # cron does not start to the second, and what is due once an hour is not to slip by a minute each time


class Outcome(enum.StrEnum):
    """What became of a job in one run."""

    DONE = "done"
    NOT_DUE = "not due yet"
    BUSY = "left to another process, which is at it"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Result:
    """How one job went; `seconds` is the time that it took, `error` what it failed with."""

    job: Job
    outcome: Outcome
    seconds: float = 0.0
    error: str = ""


def run(*, names: frozenset[str] = frozenset(), whether_due_or_not: bool = False) -> Iterator[Result]:
    """Do the jobs that are due, of `names` or of all, one after the other, whether one fails or not."""
    for job in JOBS:
        if not names or job.name in names:
            yield _run(job, whether_due_or_not)


def _run(job: Job, whether_due_or_not: bool) -> Result:
    with _lock(job) as mine:
        if not mine:
            return Result(job, Outcome.BUSY)
        if not whether_due_or_not and cache.get(_mark(job)):
            return Result(job, Outcome.NOT_DUE)
        began = time.monotonic()
        try:
            import_string(job.task)()
        except Exception as error:  # whatever it is, the other jobs are still to be done
            logger.exception("housekeeping: %s failed", job.name)
            return Result(job, Outcome.FAILED, time.monotonic() - began, type(error).__name__)
        if job.every_s > _JITTER_S:
            cache.set(_mark(job), True, job.every_s - _JITTER_S)
        return Result(job, Outcome.DONE, time.monotonic() - began)


def _mark(job: Job) -> str:
    return f"housekeeping:{job.name}"


@contextmanager
def _lock(job: Job) -> Iterator[bool]:
    """Hold the job's lock, and say whether it could be had; the end of its connection is what releases it."""
    with closing(connection.copy()) as own, own.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [_mark(job)])
        yield bool((cursor.fetchone() or (False,))[0])
