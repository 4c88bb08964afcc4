"""What has to be done again and again: one table, from which Celery beat and `manage.py housekeeping` take their work.

Each job is a Celery task, may run twice without harm, and finds by itself what there is to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Job:
    """One periodic task: `task` every `every_s` seconds. A run that could not begin within `expires_s` is left out."""

    name: str
    task: str
    every_s: int
    expires_s: int | None = None


JOBS = (
    Job("make-partitions", "messaging.tasks.make_partitions", 3600),
    Job("drop-old-history", "messaging.tasks.drop_old_history", 3600, expires_s=3600),
    Job("clear-ended-sessions", "accounts.tasks.clear_ended_sessions", 3600, expires_s=3600),
    Job("delete-ended-logins", "accounts.tasks.delete_ended_logins", 3600),
    Job("delete-ended-invitations", "accounts.tasks.delete_ended_invitations", 3600),
    Job("delete-accounts", "accounts.tasks.delete_accounts", 600, expires_s=600),
    Job("charge-messages", "billing.tasks.charge_messages", 60, expires_s=60),
    Job("charge-emulator-time", "billing.tasks.charge_emulator_time", 300, expires_s=300),
    Job("process-payment-notices", "billing.tasks.process_payment_notices", 60, expires_s=60),
    Job("forget-refused-notices", "billing.tasks.forget_refused_notices", 86_400),
    Job("record-usage", "billing.tasks.record_usage", 300, expires_s=300),
    Job("verify-ledger", "billing.tasks.verify_ledger", 3600, expires_s=3600),
    Job("look-after-certificates", "devices.tasks.look_after_certificates", 3600, expires_s=3600),
    Job("publish-revocation-lists", "devices.tasks.publish_revocation_lists", 3600, expires_s=3600),
    Job("look-after-jobs", "devices.tasks.look_after_jobs", 30, expires_s=30),
    Job("tell-outages", "messaging.tasks.tell_outages", 15, expires_s=30),  # the next run tells the same
    Job("deliver-notifications", "notifications.tasks.deliver", 10, expires_s=10),  # what nobody was told of, and what waits
    Job("forget-old-notifications", "notifications.tasks.forget_old_notifications", 3600, expires_s=3600),
    Job("forget-old-presence", "messaging.tasks.forget_old_presence", 3600, expires_s=3600),
)


def for_beat() -> dict[str, dict[str, Any]]:
    """Return the table as Celery's `beat_schedule`."""
    return {
        job.name: {
            "task": job.task,
            "schedule": float(job.every_s),
            "options": {} if job.expires_s is None else {"expires": job.expires_s},
        }
        for job in JOBS
    }
