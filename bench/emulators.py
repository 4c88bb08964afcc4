"""What many idle emulators cost.

    .venv/bin/python -m bench.emulators [--count 200] [--seconds 60]

Real PostgreSQL, Valkey and broker; one process of emulators. Printed: how long it takes until all are connected, the share of one
core that the process then needs while nobody uses them, and its memory.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import timedelta

import psutil

from bench.portal import Portal, wait_until


def fill(count: int) -> None:
    """Make so many people of one account, each with an emulator that is to run."""
    from django.utils import timezone

    from accounts.models import Membership, Role, User
    from accounts.services import create_user, personal_account
    from devices.services import register_device
    from messaging.models import Emulator

    owner = create_user(username="owner", email="owner@example.org", password="x", first_name="O", last_name="W")
    account, now = personal_account(owner), timezone.now()
    for number in range(count):
        user = User.objects.create(username=f"person{number}", email=f"person{number}@example.org")
        Membership.objects.create(user=user, account=account, role=Role.ADMIN)
        device = register_device(account=account, name=f"Device {number}", profile="modern").device
        Emulator.objects.create(user=user, device=device, started_at=now, used_at=now + timedelta(hours=1))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with Portal() as portal:
        from messaging.models import Emulator

        fill(options.count)
        began = time.monotonic()
        process = psutil.Process(portal.start_emulators())
        running = Emulator.objects.filter(state="running")
        wait_until(lambda: running.count() == options.count, "all being connected", deadline_s=300, every_s=0.2)
        connected_s = time.monotonic() - began
        time.sleep(5)  # what connecting left to do
        before, since = process.cpu_times(), time.monotonic()
        time.sleep(options.seconds)
        after, took = process.cpu_times(), time.monotonic() - since
        used = after.user + after.system - before.user - before.system
        still = running.count()
        found = {
            "emulators": options.count,
            "connected_s": round(connected_s, 1),
            "percent_of_a_core": round(100 * used / took, 2),
            "megabytes": round(process.memory_info().rss / 1e6),
            "still_connected": still,
        }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
