"""Do the books balance after a storm? Random purchases, notices, refunds, chargebacks, gifts, corrections, spends and metering.

    .venv/bin/python -m bench.billing [--operations 10000] [--threads 8] [--cut-every 40] [--seed 1]

A real PostgreSQL with fsync, a real Valkey, and the PayPal of `simulators`, which says things late, twice, out of order and
forged. Connections are cut (pg_terminate_backend) in the middle of transactions; whoever was cut asks again. At the end every
balance, order, receipt and meter is held against a journal that was kept beside the ledger. Exit status 1 if anything differs.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from typing import Any

from bench.portal import Portal


def storm(options: argparse.Namespace) -> list[str]:
    """Run it and print what was done; returns what is wrong afterwards."""
    from django.conf import settings
    from django.db.models.functions import Now

    from billing.models import Entry, PaymentNotice, Price
    from billing.tests import paypal
    from billing.tests.conftest import make_account
    from billing.tests.storm import Storm

    chosen: Any = settings
    chosen.FREE_MESSAGES_PER_MONTH = 0
    if not Price.objects.filter(item="message", starts_at__lte=Now()).exists():
        Price.objects.create(item="message", credits=2, per=10, starts_at=Now())
    owners = [make_account(f"owner{number}") for number in range(options.owners)]
    with paypal.sandbox() as pay_pal:
        paypal.use(chosen, pay_pal.url)
        one = Storm(owners, pay_pal, seed=options.seed, cut_every=options.cut_every)
        began = time.monotonic()
        one.blow(options.operations, options.threads)
        took = time.monotonic() - began
        wrong = one.faults()
    print(
        f"{one.did.total():,} operations in {took:.0f} s: "
        + ", ".join(f"{count:,} {what}" for what, count in one.did.most_common())
    )
    print(f"{one.cuts:,} connections cut, {one.asked_again:,} times asked again")
    outcomes = {str(name): PaymentNotice.objects.filter(outcome=name).count() for name in PaymentNotice.Outcome}
    print(f"{Entry.objects.count():,} entries; notices: " + ", ".join(f"{count:,} {name}" for name, count in outcomes.items()))
    return wrong


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--owners", type=int, default=5)
    parser.add_argument("--cut-every", type=int, default=40, help="operations")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with Portal():
        logging.disable(logging.CRITICAL)  # each cut is a page of tracebacks
        wrong = storm(options)
    for line in wrong:
        print(f"WRONG: {line}")
    print("the books do not balance" if wrong else "the books balance: nothing lost, nothing twice")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
