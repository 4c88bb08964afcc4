"""One running stack per state folder, and what it is."""

import fcntl
import json
import os
from pathlib import Path
from typing import Self

from iotportal.embedded.state import State, read_json


class AlreadyRunning(Exception):
    """Another process runs the stack of this state folder."""

    def __init__(self, pid: int, url: str) -> None:
        super().__init__(f"already running as process {pid} at {url}")
        self.pid = pid
        self.url = url


class RunLock:
    """A lock that the kernel releases when its holder ends, however it ends."""

    def __init__(self, state: State) -> None:
        self._path: Path = state.run / "lock"
        self._handle = -1

    def take(self, url: str) -> Self:
        """Take the lock and leave word of us in it.

        Raises:
            AlreadyRunning: somebody holds it.
        """
        # Never truncated on opening: what is in there may be the holder's word. Closed on exec, so no child keeps it.
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise self.holder() from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps({"pid": os.getpid(), "url": url}).encode(), 0)
        self._handle = handle
        return self

    def release(self) -> None:
        """Let go."""
        if self._handle != -1:
            os.ftruncate(self._handle, 0)
            os.close(self._handle)
            self._handle = -1

    def holder(self) -> AlreadyRunning:
        """Return who holds the lock, as far as it has said so."""
        word = read_json(self._path)
        pid, url = word.get("pid"), word.get("url")
        return AlreadyRunning(pid if isinstance(pid, int) else 0, url if isinstance(url, str) else "an address not known yet")

    def is_taken(self) -> bool:
        """Whether somebody holds the lock right now."""
        try:
            self.take("")
        except AlreadyRunning:
            return True
        self.release()
        return False
