"""SMS through the APIs of carriers, each by its own SDK."""

from __future__ import annotations

TIMEOUT_S = 10
CHARACTERS = 459  # three parts of an SMS
