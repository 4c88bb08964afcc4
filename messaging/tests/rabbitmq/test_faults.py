"""The production stack as a whole while its parts are killed: the short version of bench/faults/rabbitmq.py."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.faults.rabbitmq import SHORT
from iotportal.embedded import nginx, rabbitmq
from iotportal.embedded.state import CHECKOUT
from tests.embedded.helpers import clean_environment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(rabbitmq.program() is None or nginx.program() is None, reason="RabbitMQ or nginx is not installed here"),
]


def test_whatever_is_killed_nothing_acknowledged_is_lost_or_doubled_and_every_caller_is_answered() -> None:
    command = [sys.executable, "-m", "bench.faults.rabbitmq", "--short"]
    done = subprocess.run(
        command, cwd=CHECKOUT, env=clean_environment(), capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout[-9000:] + done.stderr[-3000:]
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("each ")]
    killed, commands, messages = (part.split() for part in row.split(" | ")[:3])
    assert int(killed[1]) == len(str(SHORT["only"]).split(",")) == 5
    answered, _errors, wrong, silent, lost, doubled, _slowest_s = commands
    assert int(answered) > 50
    assert (wrong, silent, lost, doubled) == ("0", "0", "0", "0")
    acknowledged, lost, doubled = messages
    assert int(acknowledged) > 200
    assert (lost, doubled) == ("0", "0")
