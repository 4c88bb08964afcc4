"""Thousands of simulated devices in a few processes, coming and going as devices do: `python -m simulators.fleet devices/`.

Each device stays connected for a while, then leaves, with a goodbye or without a word, and comes back. How long is drawn anew
each time (exponentially, so that there is no rhythm in it), repeatably by a seed.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import multiprocessing
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from simulators import mqtt
from simulators.console import Console
from simulators.link import Counts, Link
from simulators.mqtt import Fleet, Options
from simulators.settings import DeviceSettings, Overrides, SettingsError, fleet_members, load
from simulators.transport import make_context

DEVICES_A_PROCESS = 2_500
SUMMARY_EVERY_S = 5.0
_COUNTS = [field.name for field in fields(Counts)]
_spawn = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Churn:
    """How devices come and go. Times are means in seconds; `session_s` 0: they stay. `vanish`: 0 to 1, how often without goodbye.

    `ramp_s`: over how long the first connections are spread.
    """

    session_s: float = 0.0
    away_s: float = 30.0
    vanish: float = 0.5
    ramp_s: float = 0.0


def drawn(chance: random.Random, mean_s: float) -> float:
    """Return a time of that mean, exponentially distributed; 0 of a mean of 0."""
    return chance.expovariate(1 / mean_s) if mean_s else 0.0


class ChurningFleet(Fleet):
    """A fleet whose devices come and go."""

    def __init__(self, devices: Sequence[DeviceSettings], options: Options, console: Console, churn: Churn) -> None:
        super().__init__([(settings, make_context(settings)) for settings in devices], options, console)
        self._churn = churn

    async def run(self) -> int:
        """Keep devices coming and going until `stop()`; return the exit code."""
        lives = [asyncio.ensure_future(self._live(link)) for link in self.links]
        try:
            return await super().run()
        finally:
            for life in lives:
                life.cancel()

    async def _live(self, link: Link) -> None:
        churn = self._churn
        chance = random.Random(f"{self.options.seed}:{link.settings.device_id}:churn")  # noqa: S311 - luck, no secret
        if churn.ramp_s:
            link.go_away(chance.uniform(0, churn.ramp_s), goodbye=False)
        while churn.session_s:
            await link.listening.wait()
            await asyncio.sleep(drawn(chance, churn.session_s))
            if not link.listening.is_set():
                continue  # lost meanwhile
            link.go_away(drawn(chance, churn.away_s), goodbye=chance.random() >= churn.vanish)


def run_part(folders: list[Path], overrides: Overrides, options: Options, churn: Churn, shown: Any, stop: Any) -> None:
    """Be the devices of `folders`, in a process of their own; `shown` gets the counts, `stop.value` ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C: the parent says when
    mqtt.allow_sockets(len(folders))
    with tempfile.TemporaryDirectory(prefix="device-") as scratch:
        devices = [load(folder, overrides, Path(scratch)) for folder in folders]
        asyncio.run(_run_part(ChurningFleet(devices, options, Console(quiet=True), churn), shown, stop))


async def _run_part(fleet: ChurningFleet, shown: Any, stop: Any) -> None:
    running, parent = asyncio.ensure_future(fleet.run()), multiprocessing.parent_process()
    while not running.done():
        for index, name in enumerate(_COUNTS):
            shown[index] = getattr(fleet.shared.counts, name)
        # A parent that was killed cannot set it.
        if stop.value or parent is None or not parent.is_alive():
            fleet.stop()
        await asyncio.wait({running}, timeout=0.2)
    running.result()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the fleet of the command line until told to stop; return the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        options = mqtt.options_of(arguments)
        folders = [member for folder in arguments.folder for member in fleet_members(folder)]
    except (SettingsError, OSError, ValueError) as error:
        print(f"simulators.fleet: {error}", file=sys.stderr)
        return mqtt.EXIT_SETTINGS
    churn = Churn(arguments.session_s, arguments.away_s, arguments.vanish, arguments.ramp_s)
    overrides = Overrides(host=arguments.host, port=arguments.port)
    count = arguments.processes or -(-len(folders) // DEVICES_A_PROCESS)
    # No lock in it, unlike an Event: a signal sets it, in the middle of whatever looks at it.
    stop = _spawn.Value(ctypes.c_bool, False, lock=False)
    counts = [_spawn.Array(ctypes.c_long, len(_COUNTS), lock=False) for _ in range(count)]
    parts = [
        _spawn.Process(target=run_part, args=(folders[number::count], overrides, options, churn, counts[number], stop))
        for number in range(count)
    ]
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: _set(stop))
    for part in parts:
        part.start()
    _watch(parts, counts, stop, len(folders), quiet=arguments.quiet)
    for part in parts:
        part.join()
    return max((part.exitcode or 0 for part in parts), default=0)


def _set(stop: Any) -> None:
    stop.value = True


def _watch(parts: list[Any], counts: list[Any], stop: Any, devices: int, *, quiet: bool) -> None:
    """Show what goes through all processes, until they are to end or one of them has."""
    console, before, shown_at = Console(quiet=quiet), "", time.monotonic()
    console.note(f"{devices} devices in {len(parts)} processes")
    while not stop.value:
        time.sleep(0.2)
        if not all(part.is_alive() for part in parts):
            _set(stop)
        if time.monotonic() - shown_at < SUMMARY_EVERY_S:
            continue
        shown_at = time.monotonic()
        now = ", ".join(f"{sum(one[index] for one in counts)} {name}" for index, name in enumerate(_COUNTS))
        if now != before:
            console.note(now)
        before = now


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulators.fleet", description="Thousands of simulated devices in a few processes, that come and go."
    )
    parser.add_argument("folder", type=Path, nargs="+", help="a folder of devices' zips and folders")
    parser.add_argument("--processes", type=int, default=0, metavar="N", help=f"one for {DEVICES_A_PROCESS} devices unless given")
    parser.add_argument("--host", help="broker, in place of the one in config.json")
    parser.add_argument("--port", type=int, help="broker's port")
    group = parser.add_argument_group("coming and going (means; each time is drawn anew)")
    number = mqtt.not_negative
    group.add_argument("--session-s", type=number, default=0.0, metavar="S", help="how long one stays connected (0: for good)")
    group.add_argument("--away-s", type=number, default=30.0, metavar="S", help="how long it then stays away (%(default)s)")
    group.add_argument("--vanish", type=mqtt.probability, default=0.5, metavar="P", help="how often it goes without a goodbye")
    group.add_argument("--ramp-s", type=number, default=0.0, metavar="S", help="spread the first connections over this time")
    mqtt.add_device_options(parser.add_argument_group("what the devices are like"))
    mqtt.add_fault_options(parser.add_argument_group("bad days (probabilities are 0 to 1, for each message)"))
    parser.add_argument("-q", "--quiet", action="store_true", help="show troubles only")
    parser.set_defaults(once_refused_exit=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
