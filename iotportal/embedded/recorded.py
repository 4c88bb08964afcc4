"""Which processes we started, kept on disk, so that the next start can end what a killed one left behind.

On Linux the kernel ends them by itself (see launch.py) and this only waits for them; elsewhere this is what ends them. A pid
alone may long be some other program's, so the time the process was created is kept with it.
"""

import contextlib
import json
import logging
import signal
import time
from pathlib import Path

import psutil

from iotportal.embedded.state import State, read_json, write_private

logger = logging.getLogger(__name__)

_SAME_S = 2.0  # the system's clock may be set between two readings of one process's creation time
_PATIENCE_S = 10.0


class Recorded:
    """The processes of one state folder: name → pid and creation time."""

    def __init__(self, state: State) -> None:
        self._path: Path = state.run / "processes.json"
        self._known: dict[str, dict[str, float]] = {}

    def add(self, name: str, pid: int, stop_signal: signal.Signals) -> None:
        """Note that `name` runs as `pid`."""
        try:
            created = psutil.Process(pid).create_time()
        except psutil.Error:
            return  # gone already
        self._known[name] = {"pid": pid, "created": created, "signal": int(stop_signal)}
        self._write()

    def remove(self, name: str) -> None:
        """Note that `name` has ended."""
        if self._known.pop(name, None) is not None:
            self._write()

    def end_leftovers(self) -> list[str]:
        """End what an earlier run left behind, in order first, by force after ten seconds; returns the names."""
        left: dict[str, psutil.Process] = {}
        for name, entry in read_json(self._path).items():
            process = _same_process(entry)
            if process is not None:
                left[name] = process
                with contextlib.suppress(psutil.Error):
                    process.send_signal(int(entry["signal"]))  # type: ignore[index]  # _same_process looked at its shape
        for name, process in _outlast(left, _PATIENCE_S).items():
            logger.warning("%s (process %d) of an earlier run does not end; killing it", name, process.pid)
            with contextlib.suppress(psutil.Error):
                process.kill()
        _outlast(left, _PATIENCE_S)
        self._write()
        return sorted(left)

    def _write(self) -> None:
        write_private(self._path, json.dumps(self._known) + "\n")


def _outlast(processes: dict[str, psutil.Process], seconds: float) -> dict[str, psutil.Process]:
    """Wait for processes that are not our children to end; returns those that did not."""
    deadline = time.monotonic() + seconds
    while left := {name: process for name, process in processes.items() if _lives(process)}:
        if time.monotonic() > deadline:
            return left
        time.sleep(0.05)
    return {}


def _lives(process: psutil.Process) -> bool:
    """Whether it still does anything; in a container nobody may ever take a zombie away."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _same_process(entry: object) -> psutil.Process | None:
    """Return the recorded process if it still runs and is the same one."""
    if not isinstance(entry, dict):
        return None
    pid, created = entry.get("pid"), entry.get("created")
    if not isinstance(pid, int) or not isinstance(created, float) or not isinstance(entry.get("signal"), int):
        return None
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - created) < _SAME_S
    except psutil.Error:
        return None
    return process if same and _lives(process) else None
