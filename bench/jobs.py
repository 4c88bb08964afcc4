"""How long the registration of many devices takes: the worker's part, and the archive.

    .venv/bin/python -m bench.jobs [--count 1000]

Starts its own PostgreSQL and Valkey and does what a worker does, with the checks before and the encrypted archive after. Beside
the seconds that passed stand those that this process worked: the rest is the database and whatever else the machine does. Exits 1
if the registration takes more than 60 s.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time

from bench.pages import set_up
from iotportal.embedded.throwaway import ThrowawayServers

LIMIT_S = 60.0


def measure(count: int) -> tuple[float, float, float, float, int]:
    """Return the seconds of the checks, of all registrations (passed, and worked) and of the archive, and the archive's bytes."""
    from accounts.models import Account, Membership, User
    from devices.job_files import archive
    from devices.models import DeviceJob
    from devices.services import begin_job, work_on
    from devices.wanted import numbered

    user = User.objects.create(username="bench-jobs", email="bench-jobs@example.com")
    account = Account.objects.create(kind=Account.Kind.ORGANISATION, name="bench/jobs.py")
    Membership.objects.create(user=user, account=account, role="owner")
    start = time.perf_counter()
    job = begin_job(account=account, wanted=numbered("Device {n}", count), by=user)
    begun, worked_before = time.perf_counter(), time.process_time()
    work_on(job_id=job.pk)
    done, worked = time.perf_counter(), time.process_time() - worked_before
    job = DeviceJob.objects.get(pk=job.pk)
    if job.status != DeviceJob.Status.DONE or account.devices.count() != count:
        raise SystemExit(f"the job ended as {job.status}: {job.why}")
    size = len(archive(job, "correct horse battery").content)
    return begun - start, done - begun, worked, time.perf_counter() - done, size


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="Measure a registration of many devices.")
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args()
    servers = ThrowawayServers()
    try:
        set_up(servers)
        logging.getLogger("devices").setLevel(logging.WARNING)  # a line per device would be measured along
        checks, took, worked, archive, size = measure(options.count)
    finally:
        servers.stop()
    print(
        f"{options.count} devices: checks {checks:.2f} s, registered {took:.1f} s ({worked:.1f} s of this process), "
        f"archive {archive:.1f} s, {size / 1e6:.1f} MB; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    )
    sys.exit(0 if took <= LIMIT_S else 1)


if __name__ == "__main__":
    main()
