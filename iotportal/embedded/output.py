"""What the processes print: kept in files of bounded size, and what is wrong is also said on the terminal."""

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from circus.stream import FileStream

_MAX_BYTES = 5 * 1024 * 1024
_BACKUPS = 2
_ATTENTION = re.compile(rb"\b(WARNING|ERROR|CRITICAL|FATAL|PANIC)\b|^Traceback |^CommandError")
# Valkey about snapshots, on most systems as they come; PostgreSQL to our own question whether it is up.
_HARMLESS = re.compile(rb"Memory overcommit must be enabled|the database system is starting up")
_COLOURS = (36, 35, 34, 33, 32, 31)
_LINES_PER_BURST = 6
_BURST_S = 30.0


class Terminal:
    """Lines for the person who typed `make run`."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._coloured = self._out.isatty()
        self._colours: dict[str, int] = {}

    def say(self, line: str = "") -> None:
        """Print one line at once; a terminal that has gone away is no reason to stop."""
        try:
            print(line, file=self._out, flush=True)
        except OSError:
            self._out = open("/dev/null", "w")  # noqa: SIM115 - for the rest of the process

    def warn(self, name: str, line: str) -> None:
        """Print a line of process `name`, in a colour of its own."""
        if self._coloured:
            colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
            self.say(f"\033[{colour}m{name} │\033[0m {line}")
        else:
            self.say(f"{name} | {line}")


class ChildLog:
    """The log of one process, as circus feeds it: called with each piece it prints."""

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        path.touch(mode=0o600, exist_ok=True)
        self.path = path
        self._file = FileStream(str(path), max_bytes=_MAX_BYTES, backup_count=_BACKUPS)
        self._warn = warn
        self._rest = b""
        self._burst_ends = 0.0
        self._burst_lines = 0
        self._watched: dict[bytes, Callable[[], None]] = {}

    def when_printed(self, text: bytes, call: Callable[[], None]) -> None:
        """Call once when a line with `text` is printed."""
        self._watched[text] = call

    def __call__(self, piece: dict[str, bytes]) -> None:
        """Take one piece of output."""
        self._file(piece)
        *lines, rest = (self._rest + piece["data"]).split(b"\n")
        self._rest = rest[-4096:]
        for line in lines:
            for text in [text for text in self._watched if text in line]:
                self._watched.pop(text)()
            if _ATTENTION.search(line) and not _HARMLESS.search(line):
                self._show(line)

    def _show(self, line: bytes) -> None:
        """Pass a line on to the terminal; a process that complains all the time is cut short there, not in the file."""
        now = time.monotonic()
        if now > self._burst_ends:
            self._burst_ends, self._burst_lines = now + _BURST_S, 0
        self._burst_lines += 1
        if self._burst_lines <= _LINES_PER_BURST:
            self._warn(line.decode(errors="replace")[:300])
        elif self._burst_lines == _LINES_PER_BURST + 1:
            self._warn(f"… more of this in {self.path}")

    def open(self) -> None:
        """Open the file again after a stop."""
        self._file.open()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def tail(self, lines: int = 15) -> str:
        """Return the last lines, for the terminal."""
        return "\n".join(self.path.read_text(errors="replace").splitlines()[-lines:])
