"""Notices that come at once, and a process that is killed in the middle of one: credits move once all the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.utils import timezone

from accounts.tests.helpers import at_once
from billing.models import PaymentNotice, PaymentTransaction, Receipt
from billing.services import balance, verify_ledger
from billing.services.notices import process_open_notices, receive_notice
from billing.tests.conftest import make_account
from billing.tests.paypal import Sandbox, order_of

ROOT = Path(__file__).resolve().parents[2]
# Receives a notice; dies where the environment says, between its receipt and the commit of what it brings.
_RECEIVER = """
import os, signal, sys
from django.conf import settings
import django
django.setup()
settings.PAYMENTS, settings.PAYPAL_URL, settings.PAYPAL_RECEIVER = "paypal_standard", sys.argv[1], "seller@example.com"
from billing.services import notices, payments
die = lambda *args, **named: os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "unverified":
    notices.providers.provider_named("paypal_standard").__class__.verify = die
else:  # the entry is written, and not committed
    payments.hooks.order_changed.register(die)
notices.receive_notice(provider="paypal_standard", body=sys.stdin.buffer.read(), headers={}, address=None)
"""


@pytest.mark.usefixtures("committed")
def test_of_many_equal_notices_at_once_one_brings_the_credits(pay_pal: Sandbox) -> None:
    alice = make_account("alice")
    order = order_of(alice)
    body = pay_pal.world.payment(pay_pal.sale(order))

    def receive() -> str:
        return receive_notice(provider="paypal_standard", body=body, headers={}, address=None).outcome

    assert Counter(at_once(12, receive)) == {"applied": 1, "repeated": 11}
    assert (balance(alice), PaymentTransaction.objects.count(), Receipt.objects.count()) == (500, 1, 1)
    assert verify_ledger() == []


@pytest.mark.usefixtures("committed")
def test_receipts_of_orders_that_are_paid_at_once_have_numbers_without_a_gap(pay_pal: Sandbox) -> None:
    owners = [make_account(name) for name in ("alice", "bob")]
    bodies = iter([pay_pal.world.payment(pay_pal.sale(order_of(owners[number % 2]))) for number in range(8)])
    refused = pay_pal.world.payment(pay_pal.sale(order_of(owners[0])), mc_gross="1.00")
    results = at_once(8, lambda: receive_notice(provider="paypal_standard", body=next(bodies), headers={}, address=None).outcome)
    receive_notice(provider="paypal_standard", body=refused, headers={}, address=None)
    assert results == ["applied"] * 8
    assert sorted(Receipt.objects.values_list("number", flat=True)) == list(range(1, 9))
    assert [balance(one) for one in owners] == [2000, 2000]


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize("when", ["unverified", "uncommitted"])
def test_a_process_killed_between_receipt_and_commit_loses_and_doubles_nothing(pay_pal: Sandbox, when: str) -> None:
    alice = make_account("alice")
    body = pay_pal.world.payment(pay_pal.sale(order_of(alice)))
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "iotportal.settings", "DATABASE_URL": database}
    words = [sys.executable, "-c", _RECEIVER, pay_pal.url, when]
    killed = subprocess.run(words, input=body, cwd=ROOT, env=environment, timeout=60, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    left = PaymentNotice.objects.get()
    assert (bytes(left.body), left.outcome, balance(alice)) == (body, "open", 0)

    PaymentNotice.objects.update(received_at=timezone.now() - timedelta(minutes=1))
    assert process_open_notices() == 1  # our own second look
    assert receive_notice(provider="paypal_standard", body=body, headers={}, address=None).outcome == "repeated"  # PayPal's
    assert balance(alice) == 500
    assert verify_ledger() == []
