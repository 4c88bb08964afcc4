"""The bridge as a part of a Celery worker: real processes, killed while devices talk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from iotportal.celery import app
from messaging.bridge.step import BridgeStep

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("wanted", [True, False])
def test_it_runs_where_the_setting_says_so(settings: Any, wanted: bool) -> None:
    settings.BRIDGE = wanted
    assert BridgeStep in app.steps["worker"]
    assert BridgeStep(None).include_if(None) is wanted


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_when_processes_are_killed() -> None:
    faults = ["worker", "postgres", "takeover", "stop_worker:solo"]
    arguments = ["--messages", "1500", "--devices", "5", "--rate", "700", "--kills", "2", "--only", ",".join(faults)]
    # Its own servers and settings: nothing of this test run's.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PORTAL_", "DATABASE_", "VALKEY_"))}
    command = [sys.executable, "-m", "bench.faults", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.strip()}
    for fault in faults:
        assert rows[fault][3:5] == rows[fault][7:9] == ["0", "0"], fault
