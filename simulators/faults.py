"""Bad days on purpose: late, lost, doubled, wrong and broken answers, repeatable by a seed. No I/O."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace

from simulators.device import Outgoing

_NUMBER = re.compile(rb'"number": ([0-9]+)')


@dataclass(frozen=True)
class Faults:
    """The dials. Times in milliseconds, the rest are probabilities from 0 to 1 for each message."""

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    duplicate: float = 0.0
    wrong_pin: float = 0.0
    malformed: float = 0.0
    reboot: float = 0.0
    """For each command: the device loses its power in place of answering."""


class FaultInjector:
    """Spoils one device's messages by the dials; the same seed and device id spoil alike in every run."""

    def __init__(self, faults: Faults, *, seed: int, device_id: str) -> None:
        self._faults = faults
        self._idle = faults == Faults()
        # Not for secrets: the point is that a run can be repeated.
        self._random = random.Random(f"{seed}:{device_id}")  # noqa: S311
        self._power = random.Random(f"{seed}:{device_id}:reboot")  # noqa: S311

    def reboots(self) -> bool:
        """Say whether the device loses its power over this command."""
        return self._faults.reboot > 0 and self._power.random() < self._faults.reboot

    def spoil(self, outgoing: list[Outgoing]) -> list[Outgoing]:
        """Return what really leaves in place of `outgoing`."""
        if self._idle:
            return outgoing
        return [spoilt for message in outgoing for spoilt in self._spoil_one(message)]

    def _spoil_one(self, message: Outgoing) -> list[Outgoing]:
        faults = self._faults
        # Every dial draws for every message, so turning one does not change the others' luck.
        jitter, lost, doubled, wrong, broken, how = (self._random.random() for _ in range(6))
        if lost < faults.loss:
            return []
        payload = message.payload
        if wrong < faults.wrong_pin:
            payload = _NUMBER.sub(lambda match: b'"number": %d' % (int(match.group(1)) + 1), payload)
        if broken < faults.malformed:
            payload = _break(payload, how)
        late_s = (faults.delay_ms + jitter * faults.jitter_ms) / 1000
        spoilt = replace(message, payload=payload, after_s=message.after_s + late_s)
        return [spoilt, spoilt] if doubled < faults.duplicate else [spoilt]


def _break(payload: bytes, how: float) -> bytes:
    """Return one of the ways a payload goes wrong; `how` (0 to 1) picks it."""
    ways = (
        payload[: len(payload) // 2],
        payload + b"}",
        b"\xff\xfe" + payload,
        b"[" * 200,
        b"",
        payload.replace(b'"value"', b'"valeu"'),
        b'{"value": {"value": {}}}',
    )
    return ways[int(how * len(ways)) % len(ways)]
