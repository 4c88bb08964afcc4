"""How long the registration of many devices takes: the worker's part, and the archive.

    python bench/jobs.py [--count 1000]

Runs against the database and PKI of the environment (the same variables as the portal), in an account of its own that it removes.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from pathlib import Path

import django

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iotportal.settings")


def measure(count: int) -> tuple[float, float, float, int]:
    """Return the seconds of the checks, of all registrations and of the archive, and the archive's bytes."""
    from accounts.models import Account, Membership, User
    from devices.job_files import archive
    from devices.models import DeviceJob
    from devices.services import begin_job, work_on
    from devices.wanted import numbered

    user = User.objects.create(username="bench-jobs", email="bench-jobs@example.com")
    account = Account.objects.create(kind=Account.Kind.ORGANISATION, name="bench/jobs.py")
    Membership.objects.create(user=user, account=account, role="owner")
    try:
        start = time.perf_counter()
        job = begin_job(account=account, wanted=numbered("Device {n}", count), by=user)
        begun = time.perf_counter()
        work_on(job_id=job.pk)
        worked = time.perf_counter()
        job = DeviceJob.objects.get(pk=job.pk)
        size = len(archive(job, "correct horse battery").content)
        return begun - start, worked - begun, time.perf_counter() - worked, size
    finally:
        account.devices.all().delete()
        account.delete()
        user.delete()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="Measure a registration of many devices.")
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args()
    django.setup()
    logging.getLogger("devices").setLevel(logging.WARNING)  # a line per device would be measured along
    checks, work, archive, size = measure(options.count)
    print(
        f"{options.count} devices: checks {checks:.2f} s, registered {work:.1f} s, archive {archive:.1f} s, {size / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
