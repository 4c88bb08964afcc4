"""What a simulator shows on the terminal."""

from __future__ import annotations

import sys
import time
from typing import TextIO

SHOWN_BYTES = 300


class Console:
    """One line for each thing that happened. `traffic` False leaves the messages out (a fleet), `quiet` all but troubles."""

    def __init__(
        self, *, quiet: bool = False, traffic: bool = True, out: TextIO | None = None, err: TextIO | None = None
    ) -> None:
        self._quiet = quiet
        self._traffic = traffic and not quiet
        self._out = out or sys.stdout
        self._err = err or sys.stderr

    def came(self, name: str, api: str, payload: bytes) -> None:
        """Show a command."""
        if self._traffic:
            self._line(self._out, name, f"<- {api} {printable(payload)}")

    def went(self, name: str, api: str, payload: bytes) -> None:
        """Show an answer, or what the device raised by itself."""
        if self._traffic:
            self._line(self._out, name, f"-> {api} {printable(payload)}")

    def uart(self, name: str, text: str) -> None:
        """Show what the device prints on its UART."""
        if self._traffic:
            self._line(self._out, name, f"UART {printable(text.encode('utf-8', 'surrogatepass'))}")

    def event(self, name: str, text: str) -> None:
        """Show what happened to the device."""
        if self._traffic:
            self._line(self._out, name, text)

    def note(self, text: str) -> None:
        """Show a line about the whole process."""
        if not self._quiet:
            self._line(self._out, "simulator", text)

    def trouble(self, name: str, text: str) -> None:
        """Show what is wrong; also when quiet."""
        self._line(self._err, name, text)

    @staticmethod
    def _line(stream: TextIO, name: str, text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {name}: {text}", file=stream, flush=True)


def printable(payload: bytes) -> str:
    """Return payload as one safe line: what a device was sent must not steer the terminal."""
    text = payload[:SHOWN_BYTES].decode("utf-8", "replace")
    safe = "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text)
    return f"{safe}..." if len(payload) > SHOWN_BYTES else safe
