"""Builds the firmware with the machine's own C compiler."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

FIRMWARE = Path(__file__).parent.parent
needs_compiler = pytest.mark.skipif(
    not (shutil.which("cc") and shutil.which("make")),
    reason="LEFT OUT: the firmware's tests. There is no C compiler here (Debian: apt install gcc make libc6-dev)",
)
needs_mosquitto = pytest.mark.skipif(
    not Path("/usr/include/mosquitto.h").is_file() or not Path("/usr/include/openssl/ssl.h").is_file(),
    reason="LEFT OUT: the firmware's Linux port. Debian: apt install libmosquitto-dev libssl-dev",
)


def make(folder: Path, *words: str) -> str:
    """Return what `make` in firmware/ printed, everything being built below `folder`; fails the test if make does."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    run = subprocess.run(
        ["make", "-C", FIRMWARE, f"BUILD={folder}", *words],
        capture_output=True, text=True, timeout=120, env=environment,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout
