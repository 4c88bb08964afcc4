"""What main.py uses of MicroPython's `machine`, with pins in memory."""

import sys


class Pin:
    """A pin; the board has forty."""

    OUT = 1
    levels: dict[int, int] = {}

    def __init__(self, number: int, mode: int = 0) -> None:
        if number >= 40:
            raise ValueError("invalid pin")
        self._number = number

    def value(self, level: int | None = None) -> int:
        """Set it, or return what it is."""
        if level is not None:
            self.levels[self._number] = level
        return self.levels.get(self._number, 0)


def reset() -> None:
    """End: there is nothing to reset."""
    sys.exit(0)
