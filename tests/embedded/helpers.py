"""Small helpers of these tests: waiting with a deadline, processes, free ports."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

T = TypeVar("T")


def wait_for(ask: Callable[[], T], what: str, *, seconds: float = 15.0) -> T:
    """Return what `ask` says as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (said := ask()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for: {what}"
        time.sleep(0.02)
    return said


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def clean_environment(**more: str) -> dict[str, str]:
    """Return an environment in which nothing of the tests' own portal is set."""
    ours = ("PORTAL_", "DATABASE_", "VALKEY_", "DJANGO_", "CELERY_", "MQTT_", "PYTEST_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | more


def lines(path: Path) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().splitlines()
    return []
