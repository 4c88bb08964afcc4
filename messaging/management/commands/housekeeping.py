"""Do from cron what Celery beat would have done."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from iotportal import housekeeping
from iotportal.housekeeping import Outcome
from iotportal.schedule import JOBS


class Command(BaseCommand):
    """Safe to start at any time, and twice at once."""

    help = "Do the periodic work that is due, for hosts without Celery beat; with --verbosity 0 it speaks of failures alone."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take names of jobs."""
        parser.add_argument("jobs", nargs="*", metavar="JOB", help=f"only these: {', '.join(job.name for job in JOBS)}")
        parser.add_argument("--all", action="store_true", help="also what is not due yet")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, a line for each job, and exit with 1 if one failed."""
        names = frozenset(options["jobs"])
        if unknown := names - {job.name for job in JOBS}:
            raise CommandError(f"There is no job {', '.join(sorted(unknown))}.")
        failed = []
        for result in housekeeping.run(names=names, whether_due_or_not=options["all"]):
            if result.outcome == Outcome.FAILED:
                failed.append(f"{result.job.name} ({result.error})")
            elif options["verbosity"]:
                took = f" in {result.seconds:.2f} s" if result.outcome == Outcome.DONE else ""
                self.stdout.write(f"{result.job.name:<26} {result.outcome}{took}")
        if failed:
            raise CommandError(f"Failed: {', '.join(failed)}. The log says why; the next run tries again.")
