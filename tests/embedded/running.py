"""The supervisor as a process, for tests of a whole stack."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

from iotportal.embedded.ports import free_port
from iotportal.embedded.state import CHECKOUT
from tests.embedded.helpers import clean_environment, wait_for

_START_S = 240.0  # on a machine that has much else to do


class Run:
    """One `python -m iotportal.embedded run` (or another command) on a state folder, with what it has printed so far."""

    def __init__(self, state: Path, command: str = "run", **variables: str) -> None:
        self.state = state
        self.process = subprocess.Popen(
            [sys.executable, "-m", "iotportal.embedded", command],
            cwd=CHECKOUT,
            env=clean_environment(PORTAL_STATE_DIR=str(state), **variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._said: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.append(line)

    @property
    def said(self) -> str:
        return "".join(self._said)

    def ready(self) -> Self:
        """Wait until it has printed where the portal is."""
        wait_for(lambda: "Sign in" in self.said or self.process.poll() is not None, f"the start: {self.said}", seconds=_START_S)
        assert "Sign in" in self.said, self.said
        return self

    def complete(self, last: str = "devices") -> Self:
        """Wait until the last process, the simulated devices, has been started too."""
        wait_for(lambda: last in self.pids(), "the simulated devices", seconds=_START_S)
        return self

    def pids(self) -> dict[str, int]:
        """Return the processes by name."""
        known = json.loads((self.state / "run/processes.json").read_text())
        return {name: entry["pid"] for name, entry in known.items()}


def ports(*more: str) -> dict[str, str]:
    return {name: str(free_port()) for name in ("PORT", "MQTT_PORT", "MAIL_PORT", "MAIL_PAGE_PORT", "PAYPAL_PORT", *more)}
