"""Do the books balance after a storm? Purchases, notices, returns, refunds, gifts, promo codes, corrections, spends, metering.

    .venv/bin/python -m bench.billing [--operations 10000] [--threads 8] [--cut-every 40] [--seed 1]

A real PostgreSQL with fsync, a real Valkey, and the PayPal of `simulators`, which says things late, twice, out of order and
forged. Connections are cut (pg_terminate_backend) in the middle of transactions; whoever was cut asks again. At the end every
balance, order, receipt, promo code and meter is held against a journal that was kept beside the ledger. Exit status 1 if
anything differs.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter
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
    from simulators.paypal.world import IDENTITY_TOKEN

    chosen: Any = settings
    chosen.FREE_MESSAGES_PER_MONTH = 0
    if not Price.objects.filter(item="message", starts_at__lte=Now()).exists():
        Price.objects.create(item="message", credits=2, per=10, starts_at=Now())
    owners = [make_account(f"owner{number}") for number in range(options.owners)]
    with paypal.sandbox() as pay_pal:
        paypal.use(chosen, pay_pal.url)
        chosen.PAYPAL_PDT_TOKEN = IDENTITY_TOKEN
        one = Storm(owners, pay_pal, seed=options.seed, cut_every=options.cut_every)
        began = time.monotonic()
        one.blow(options.operations, options.threads)
        took = time.monotonic() - began
        wrong = one.faults()
    parts = {
        f"operations in {took:.0f} s": one.did,
        "faults": Counter({"connections cut": one.cuts, "times asked again": one.asked_again}),
        "ledger entries": Counter(Entry.objects.values_list("cause", flat=True)),
        "IPNs": Counter(PaymentNotice.objects.filter(kind="notice").values_list("outcome", flat=True)),
        "buyers' returns": Counter(PaymentNotice.objects.filter(kind="return").values_list("outcome", flat=True)),
        "held against the journal": one.checked(),
        "wrong": Counter({"things": len(wrong)}),
    }
    print_table(parts)
    return wrong


def print_table(parts: dict[str, Counter[str]]) -> None:
    """Print each part with its total, and what it is made of, the most first."""
    for title, counts in parts.items():
        print(f"{title:<28}{counts.total():>9,}")
        if len(counts) > 1:
            for what, count in counts.most_common():
                print(f"    {what:<24}{count:>9,}")


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
