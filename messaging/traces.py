"""A command's timeline as a drawing: x is its time, to scale; each step one line lower."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from devices.models import Device
from iotportal.words import ms
from messaging.models import Command, Outcome

RAIL = 10  # commands beside the tiles
_MINI_WIDTH, _WIDE = 70.0, 384.0
_LINES = (16, 48, 80, 112, 144)  # of the wide drawing, 160 high


_ENDINGS: dict[str, str] = {
    Outcome.ABANDONED: "The caller went away before an answer came.",
    Outcome.DISCONNECTED: "The portal lost its connection to the broker.",
    Outcome.DEVICE_ERROR: "The device reported an error.",
    Outcome.MALFORMED: "The answer could not be read. It is kept in the history.",
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """SVG paths: `to` until the broker took it, `from_` until the device answered, `done` until delivered; `gone`: no answer."""

    to: str
    from_: str = ""
    done: str = ""
    gone: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the wide timeline."""

    name: str
    at: str


@dataclass(frozen=True, slots=True)
class Trace:
    """A command as the rail shows it."""

    command: Command
    mini: Drawing
    wide: Drawing
    took: str
    silent: bool

    @property
    def short(self) -> str:
        """The command in few words: "set_gpio 10 → 1"."""
        return short(self.command.api, self.command.payload)

    @property
    def steps(self) -> list[Step]:
        """Its five moments, in ms after it was accepted."""
        c = self.command
        times = {"Accepted": 0.0, "Sent": c.sent_ms, "Broker took it": c.broker_ms, "Device answered": c.answered_ms}
        times |= {"Gave up": c.delivered_ms or c.timeout_s * 1000} if self.silent else {"Delivered": c.delivered_ms}
        return [Step(name, "–" if at is None else f"{at:,.0f}" if at >= 1000 else f"{at:,.1f}") for name, at in times.items()]

    @property
    def finding(self) -> str:
        """Where the time went, in one sentence."""
        c = self.command
        if c.late_ms is not None:
            return f"Answered after {ms(c.late_ms)}, too late for the command. Recorded."
        if c.outcome != Outcome.ANSWERED or c.delivered_ms is None or c.answered_ms is None or not c.delivered_ms:
            return f"No answer within {c.timeout_s:g} s." if c.outcome == Outcome.TIMEOUT else _ENDINGS.get(c.outcome, "")
        # Not counted from "broker took it": a broker may acknowledge after it has passed the command on.
        away = max(0.0, c.answered_ms - (c.sent_ms or 0.0))
        retried = f" It was asked {c.attempts} times." if c.attempts > 1 else ""
        if c.sent_ms and c.sent_ms > max(5.0, 0.25 * c.delivered_ms):
            retried = f" It waited {ms(c.sent_ms)} for its turn.{retried}"
        return (
            f"Broker, network and device took {away / c.delivered_ms:.0%} of the time; "
            f"the portal took {ms(c.delivered_ms - away)}.{retried}"
        ).replace("%", " %")


def short(api: str, payload: str) -> str:
    """Say a command in few words."""
    try:
        body = json.loads(payload)
    except (ValueError, RecursionError):
        return api
    if not isinstance(body, dict) or "number" not in body:
        return api
    return f"{api} {body['number']}" + (f" → {body['value']}" if "value" in body else "")


def trace(command: Command) -> Trace:
    """Draw a command."""
    silent = command.outcome in {Outcome.TIMEOUT, Outcome.DISCONNECTED, Outcome.ABANDONED}
    end = command.delivered_ms or command.answered_ms or command.timeout_s * 1000
    took = command.get_outcome_display() if silent else ms(end)
    return Trace(command, _mini(command, end, silent), _wide(command, end, silent), took, silent)


def _mini(c: Command, end: float, silent: bool) -> Drawing:
    """Draw into 72 x 18."""
    broker, answered, delivered = (
        1 + _MINI_WIDTH * min(1.0, (at or 0.0) / (end or 1)) for at in (c.broker_ms or c.sent_ms, c.answered_ms or end, end)
    )
    broker = max(broker, 2.5)  # so that it is seen at all
    to = f"M1 3H{broker:.1f}V9"
    if silent:
        return Drawing(to, gone=f"M{broker:.1f} 9H71")
    return Drawing(to, f"M{broker:.1f} 9H{answered:.1f}V15", f"M{answered:.1f} 15H{max(delivered, answered + 1.5):.1f}")


def _wide(c: Command, end: float, silent: bool) -> Drawing:
    """Draw into 384 x 160."""
    times = (c.sent_ms, c.broker_ms or c.sent_ms, c.answered_ms or end)
    sent, broker, answered = (_WIDE * min(1.0, (at or 0.0) / (end or 1)) for at in times)
    to = f"M0 {_LINES[0]}H{sent:.1f}V{_LINES[1]}H{broker:.1f}V{_LINES[2]}"
    if silent:
        return Drawing(to, gone=f"M{broker:.1f} {_LINES[2]}H{_WIDE:.0f}")
    return Drawing(
        to, f"M{broker:.1f} {_LINES[2]}H{answered:.1f}V{_LINES[3]}", f"M{answered:.1f} {_LINES[3]}H{_WIDE:.0f}V{_LINES[4]}"
    )


def rail(device: Device, first: Sequence[Command] = ()) -> list[Trace]:
    """Return the device's last commands in its account, newest first.

    `first` are those that the bridge may not have written yet. What was sent before the device was claimed is another's.
    """
    sql = "SELECT * FROM messaging_command WHERE device_id = %s AND account_id = %s ORDER BY time DESC, id DESC LIMIT %s"
    stored = Command.objects.raw(sql, [device.pk, device.account_id, RAIL])
    known: dict[UUID, Command] = {command.pk: command for command in [*first, *stored]}
    return [trace(command) for command in sorted(known.values(), key=lambda one: (one.time, one.pk), reverse=True)[:RAIL]]
