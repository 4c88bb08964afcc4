"""Registering many devices: a job of lines, each of which becomes a device once or says why not.

A job is worked off in chunks. A chunk is one transaction that holds the job's row, registers its lines and notes each; whoever is
killed in the middle leaves nothing of it, and the lock is gone with the connection. So whatever becomes of a worker, a line is
either done or as it was, and who comes next goes on from there (`continue_jobs`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Lower
from django.http import Http404
from django.utils import timezone

from accounts.access import Action, hold_account, role_may
from accounts.models import Account, Membership, User
from devices.models import Device, DeviceJob, DeviceJobLine
from devices.pki import PkiError
from devices.profiles import UnknownProfile
from devices.services.errors import InvalidName, JobUnderWay, NameTaken
from devices.services.profiles import kind_of
from devices.services.registration import register_device
from devices.wanted import MAX_LINES, LineProblem, LinesRefused, ListRefused, Wanted, check_names
from iotportal.after_commit import after_commit

logger = logging.getLogger(__name__)

CHUNK = 20  # devices in one transaction: so many at the most are done again after a kill, and so long a cancel waits
TRIES = 5  # of one chunk: half a minute apart, so what passes by itself has passed
Status = DeviceJob.Status


def begin_job(*, account: Account, wanted: Sequence[Wanted], by: User) -> DeviceJob:
    """Begin to register these devices of `account`, once every line has been found good; a worker does the rest.

    Raises:
        ListRefused: there are too many lines, or none.
        LinesRefused: names that cannot be had or are there twice, profiles that there are not; nothing was made.
        JobUnderWay: the account has another job.
        Http404: the account was closed meanwhile.
    """
    if not 1 <= len(wanted) <= MAX_LINES:
        raise ListRefused(f"At least one and at most {MAX_LINES:,} devices can be registered at a time.")
    lines = _checked(account, wanted)
    try:
        with transaction.atomic():
            hold_account(account)
            job = DeviceJob.objects.create(account=account, by=by)
            DeviceJobLine.objects.bulk_create(
                DeviceJobLine(job=job, number=one.number, name=one.name, profile=one.profile) for one in lines
            )
            after_commit(_hand_over, job.pk)
    except IntegrityError as error:
        if "device_job_one_running" in str(error):
            raise JobUnderWay from error
        raise
    logger.info("job %s: %d devices of account %s", job.hex, len(lines), account.pk)
    return job


def _checked(account: Account, wanted: Sequence[Wanted]) -> list[Wanted]:
    """Return the lines with clean names. Raises LinesRefused, with what is wrong with every line."""
    good, problems = check_names(wanted)
    with connection.cursor() as db:  # the database's own idea of lower case, as in its constraint
        db.execute("SELECT n, lower(n) FROM unnest(%s::text[]) n", [[one.name for one in good]])
        lower = dict(db.fetchall())
    live = Device.objects.live().filter(account=account).annotate(lower_name=Lower("name"))
    taken = set(live.filter(lower_name__in=list(lower.values())).values_list("lower_name", flat=True))
    problems += [
        LineProblem(one.number, f"You have a device of the name “{one.name}” already.")
        for one in good
        if lower[one.name] in taken
    ]
    unknown = {slug: str(error) for slug in {one.profile for one in good} if (error := _unknown_profile(account, slug))}
    problems += [LineProblem(one.number, unknown[one.profile], "profile") for one in good if one.profile in unknown]
    if problems:
        raise LinesRefused(problems)
    return good


def _unknown_profile(account: Account, slug: str) -> UnknownProfile | None:
    try:
        kind_of(account, slug)
    except UnknownProfile as error:
        return error
    return None


def _hand_over(job_id: UUID) -> None:
    from devices.tasks import register_devices  # tasks call services

    register_devices.delay(job_id.hex)


def cancel_job(*, job: DeviceJob) -> None:
    """End a job that is under way; the devices that it has made stay. Twice is once, and what is over stays as it is."""
    with transaction.atomic():
        stored = DeviceJob.objects.select_for_update().get(pk=job.pk)  # waits for the chunk that is being made
        if stored.status == Status.RUNNING:
            _end(stored, Status.CANCELLED)
    job.refresh_from_db()


def work_on(*, job_id: UUID) -> None:
    """Register what is left of a job, unless somebody else is at it.

    What nobody foresaw is raised, for the log. The job is tried again (`continue_jobs`), `TRIES` times at the most.
    """
    try:
        while _register_chunk(job_id):
            pass
    except Exception:
        _note_failure(job_id)
        raise


def _note_failure(job_id: UUID) -> None:
    """Count a chunk that nothing was left of, and stop the job that gets no further."""
    with transaction.atomic():
        job = DeviceJob.objects.select_for_update().filter(pk=job_id, status=Status.RUNNING).first()
        if job is None:
            return
        job.failures += 1
        job.save(update_fields=["failures"])
        if job.failures >= TRIES:
            _end(job, Status.STOPPED, "Something went wrong again and again; the log of the portal's operator says what.")


def continue_jobs() -> int:
    """Hand every job that is under way to a worker once more, for one of them may be dead; return how many there are."""
    jobs = list(DeviceJob.objects.filter(status=Status.RUNNING).values_list("pk", flat=True))
    for job_id in jobs:
        _hand_over(job_id)
    return len(jobs)


def forget_jobs() -> int:
    """Forget the jobs that ended more than `DEVICE_JOB_DAYS` ago, with what they know of their lines; return how many."""
    before = timezone.now() - timedelta(days=settings.DEVICE_JOB_DAYS)
    return DeviceJob.objects.filter(ended_at__lt=before).delete()[1].get("devices.DeviceJob", 0)


def _register_chunk(job_id: UUID) -> bool:
    """Register the next lines of a job in one transaction; say whether there may be more."""
    with transaction.atomic():
        job = (
            DeviceJob.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("account", "by")
            .filter(pk=job_id, status=Status.RUNNING)
            .first()
        )
        if job is None:
            return False
        if not _may_go_on(job):
            return _end(job, Status.STOPPED, "Whoever began it may not register devices here any more.")
        lines = list(job.lines.filter(device=None, error="")[:CHUNK])
        if not lines:
            return _end(job, Status.DONE)
        with connection.cursor() as db:  # what a line must not do shows at that line, not at the commit of all
            db.execute("SET CONSTRAINTS ALL IMMEDIATE")
        try:
            for line in lines:
                _register(job, line)
        except PkiError:
            logger.exception("job %s stopped", job.hex)
            return _end(job, Status.STOPPED, "The portal cannot issue certificates right now; its operator's log says why.")
        except Http404:  # the account is being closed
            return _end(job, Status.STOPPED, "The account was closed.")
        DeviceJob.objects.filter(pk=job_id).exclude(failures=0).update(failures=0)
    return True


def _may_go_on(job: DeviceJob) -> bool:
    if job.by is None or not job.by.is_active:
        return False
    role = Membership.objects.filter(user=job.by, account=job.account).values_list("role", flat=True).first()
    return role is not None and role_may(role, Action.MANAGE)


def _register(job: DeviceJob, line: DeviceJobLine) -> None:
    """Make the line's device, or note why there is none."""
    try:
        line.device = register_device(account=job.account, name=line.name, profile=line.profile, by=job.by).device
    except (NameTaken, InvalidName, UnknownProfile) as error:  # since the job began
        line.error = str(error)
    line.save(update_fields=["device", "error"])


def _end(job: DeviceJob, status: DeviceJob.Status, why: str = "") -> bool:
    """End the job, and return that there is no more to do."""
    job.status, job.why, job.ended_at = status, why, timezone.now()
    job.save(update_fields=["status", "why", "ended_at"])
    logger.info("job %s: %s", job.hex, status)
    return False
