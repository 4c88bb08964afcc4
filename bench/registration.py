"""How long a registration takes in the service: key, certificate, sealing, rows, commit.

    python bench/registration.py [--count 100] [--algorithm ec]

Runs against the database and PKI of the environment (the same variables as the portal), in an account of its own that it removes.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import sys
import time
from pathlib import Path

import django

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iotportal.settings")


def measure(count: int, algorithm: str) -> tuple[list[float], float]:
    """Register `count` devices one after the other; return the milliseconds of each, and those of our CPU time a device."""
    from accounts.models import Account
    from devices.services import register_device

    account = Account.objects.create(kind=Account.Kind.ORGANISATION, name="bench/registration.py")
    try:
        taken, cpu = [], time.process_time()
        for number in range(count):
            begin = time.perf_counter()
            register_device(account=account, name=f"Device {number}", key_algorithm=algorithm)
            taken.append(1000 * (time.perf_counter() - begin))
        return taken, 1000 * (time.process_time() - cpu) / count
    finally:
        account.devices.all().delete()
        account.delete()


def main() -> None:
    """Print the median, the 99th percentile and the slowest."""
    parser = argparse.ArgumentParser(description="Measure registrations.")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--algorithm", default="ec", choices=["ec", "rsa"])
    options = parser.parse_args()
    django.setup()
    logging.getLogger("devices").setLevel(logging.WARNING)  # a line per device would be measured along
    taken, cpu = measure(options.count, options.algorithm)
    p99 = statistics.quantiles(taken, n=100, method="inclusive")[98] if len(taken) > 1 else taken[0]
    print(f"{'registrations':>14} {'median ms':>10} {'p99 ms':>8} {'max ms':>8} {'first ms':>9} {'CPU ms each':>12} {'per s':>8}")
    print(
        f"{len(taken):>14} {statistics.median(taken):>10.2f} {p99:>8.2f} {max(taken):>8.2f} {taken[0]:>9.2f} {cpu:>12.2f}"
        f" {1000 * len(taken) / sum(taken):>8.0f}"
    )


if __name__ == "__main__":
    main()
