"""Simulated devices on a broker: `python -m simulators.mqtt --zip greenhouse-pump.zip`."""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import signal
import ssl
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from simulators.console import Console
from simulators.device import Device, Setup, parse_pins
from simulators.faults import FaultInjector, Faults
from simulators.link import Link, LinkOptions, Shared
from simulators.profiles import PROFILES, ProfileProblem, fetch_profile, find_profile
from simulators.settings import PASSWORD_PORT, DeviceSettings, Overrides, SettingsError, from_files, load, load_fleet
from simulators.transport import make_context

EXIT_SETTINGS, EXIT_REFUSED = 2, 3
# More devices than this and their messages would only run past.
SHOW_TRAFFIC_UP_TO = 10
STOP_TIMEOUT_S = 3.0
SUMMARY_EVERY_S = 5.0

CONSOLE_HELP = """\
iot set message "..." recipient "..."      store what a notification says, and to whom
iot send [message "..."] [recipient "..."] raise a notification
iot gpio N enable dir in|out pull none|up|down edge none|rising|falling|both
iot gpio N write 0|1 | iot gpio N disable
pin N 0|1                                  the world outside puts a level on pin N
say API                                    say an event that the profile declares
@NAME line                                 the same for another device of this process
quit"""


@dataclass(frozen=True)
class Options:
    """Everything a fleet is run with, besides its devices."""

    link: LinkOptions = LinkOptions()
    setup: Setup = Setup()
    faults: Faults = Faults()
    seed: int = 0
    once_refused_exit: bool = False


class Fleet:
    """N simulated devices in one event loop and one thread.

    Make it inside the running loop. `all_listening` is set when the broker listens to every device.
    """

    def __init__(self, devices: Sequence[tuple[DeviceSettings, ssl.SSLContext]], options: Options, console: Console) -> None:
        self.shared = Shared(console, options.link)
        self.options = options
        self.exit_code = 0
        self.all_listening = asyncio.Event()
        self.links = [self._make_link(settings, context) for settings, context in devices]
        self._stopping = asyncio.Event()

    def _make_link(self, settings: DeviceSettings, context: ssl.SSLContext) -> Link:
        console = self.shared.console
        device = Device(
            settings.device_id,
            name=settings.name,
            profile=settings.profile,
            setup=self.options.setup,
            on_print=lambda text: console.uart(settings.name, text),
        )
        faults = FaultInjector(self.options.faults, seed=self.options.seed, device_id=settings.device_id)
        link = Link(settings, device, context, self.shared, faults)
        if self.options.once_refused_exit:
            link.on_refused = self._refused
        return link

    async def run(self) -> int:
        """Keep all devices connected until `stop()`; return the exit code."""
        running = [asyncio.ensure_future(link.run()) for link in self.links]
        helpers: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(work) for work in (self._tick(), self._watch(), self._summarise())
        ]
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            first: set[asyncio.Future[Any]] = {stopping, *running}
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            for link in self.links:
                link.stop()
            # Devices in the middle of connecting do not wait for their time-outs.
            _, late = await asyncio.wait(running, timeout=STOP_TIMEOUT_S)
            for unfinished in late:
                unfinished.cancel()
        finally:
            for task in (*helpers, stopping):
                task.cancel()
        outcome: object
        for outcome in await asyncio.gather(*running, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
        return self.exit_code

    def stop(self) -> None:
        """Have all devices say goodbye, and `run()` return."""
        self._stopping.set()

    def type_line(self, line: str) -> None:
        """Obey a line of the terminal; see CONSOLE_HELP."""
        link, line = self._addressed(line.strip())
        words = line.split()
        if not words:
            return
        if words[0] in ("quit", "exit"):
            self.stop()
        elif words[0] == "help":
            print(CONSOLE_HELP, flush=True)
        elif words[0] == "pin" and len(words) == 3 and words[1].isdecimal() and int(words[1]) < 256 and words[2] in ("0", "1"):
            link.send(link.device.drive(int(words[1]), int(words[2])))
        elif words[0] == "say" and len(words) == 2:
            link.send(link.device.say(words[1]))
        else:
            link.type_line(line)

    def _addressed(self, line: str) -> tuple[Link, str]:
        if line.startswith("@"):
            name, _, rest = line[1:].partition(" ")
            for link in self.links:
                if name in (link.device.name, link.settings.device_id):
                    return link, rest.strip()
            self.shared.console.trouble("simulator", f"no device here is named {name}")
            return self.links[0], ""
        return self.links[0], line

    def _refused(self, link: Link) -> None:
        self.shared.console.trouble(link.device.name, str(link.refusal))
        self.exit_code = EXIT_REFUSED
        self.stop()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1)
            for link in self.links:
                link.tick()

    async def _watch(self) -> None:
        began = asyncio.get_running_loop().time()
        for link in self.links:
            await link.listening.wait()
        self.all_listening.set()
        took = asyncio.get_running_loop().time() - began
        if len(self.links) > 1:
            self.shared.console.note(f"all {len(self.links)} devices are connected ({took:.1f} s)")

    async def _summarise(self) -> None:
        """Where messages are not shown one by one: a line of figures now and then, when something happened."""
        if len(self.links) <= SHOW_TRAFFIC_UP_TO:
            return
        before = ""
        while True:
            await asyncio.sleep(SUMMARY_EVERY_S)
            counts = self.shared.counts
            now = ", ".join(f"{getattr(counts, field.name)} {field.name}" for field in fields(counts))
            if now != before:
                self.shared.console.note(now)
            before = now


def main(argv: Sequence[str] | None = None) -> int:
    """Run the devices the command line names; return the exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        options = options_of(arguments)
        devices = _devices(arguments)
    except (SettingsError, ProfileProblem, ValueError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return EXIT_SETTINGS
    if not devices:
        parser.print_usage(sys.stderr)
        print(f"{parser.prog}: name a device: --zip FILE, --fleet FOLDER, or --id with its files", file=sys.stderr)
        return EXIT_SETTINGS
    allow_sockets(len(devices))
    console = Console(quiet=arguments.quiet, traffic=len(devices) <= SHOW_TRAFFIC_UP_TO)
    # Not asyncio.run: Windows' own loop cannot watch sockets that somebody else reads.
    loop = asyncio.SelectorEventLoop()
    try:
        return loop.run_until_complete(_run(devices, options, console, with_terminal=arguments.console or sys.stdin.isatty()))
    except KeyboardInterrupt:
        return 130
    finally:
        loop.close()


async def _run(
    devices: list[tuple[DeviceSettings, ssl.SSLContext]], options: Options, console: Console, *, with_terminal: bool
) -> int:
    fleet = Fleet(devices, options, console)
    loop = asyncio.get_running_loop()
    _on_signals(loop, fleet.stop)
    if with_terminal:
        console.note('type "help" for what the device understands')
        threading.Thread(target=_read_terminal, args=(loop, fleet), daemon=True).start()
    return await fleet.run()


def _on_signals(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))


def _read_terminal(loop: asyncio.AbstractEventLoop, fleet: Fleet) -> None:
    """Hand typed lines to the loop. Reads the descriptor itself: Python's own buffer is locked when the process ends."""
    rest = b""
    while data := os.read(0, 4096):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            try:
                loop.call_soon_threadsafe(fleet.type_line, line.decode("utf-8", "replace"))
            except RuntimeError:  # the loop is closed: the process is ending
                return


def allow_sockets(count: int) -> None:
    """Raise this process's limit of open files, where the system has one and lets us."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 200
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _devices(arguments: argparse.Namespace) -> list[tuple[DeviceSettings, ssl.SSLContext]]:
    """Return the devices with their TLS contexts; what was unpacked from zips is removed again before returning."""
    profile = find_profile(arguments.profile) if arguments.profile else None
    password = _password(arguments.password_file)
    port = arguments.port or (PASSWORD_PORT if password else None)
    overrides = Overrides(arguments.host, port, profile, arguments.ca, arguments.cert, arguments.key, password)
    # mkdtemp makes it 0700: only this user may look in.
    with tempfile.TemporaryDirectory(prefix="device-") as scratch:
        found = [load(path, overrides, Path(scratch)) for path in arguments.zip]
        for folder in arguments.fleet:
            found += load_fleet(folder, overrides, Path(scratch))
        if arguments.id:
            found.append(from_files(arguments.id, arguments.name, overrides))
        if len(found) > 1 and (arguments.cert or arguments.key or password):
            raise SettingsError("--cert, --key and --password-file are one device's: give them with one device only")
        if len({settings.device_id for settings in found}) < len(found):
            raise SettingsError("the same device is given twice; only one connection of a device can be open")
        return [(_as_the_portal_says(settings, arguments), make_context(settings)) for settings in found]


def _password(file: Path | None) -> str | None:
    """Return the password in a file; on the command line everybody on this machine could read it."""
    if file is None:
        return None
    try:
        password = file.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file} cannot be read: {error}") from error
    if not password:
        raise SettingsError(f"{file} is empty: it must hold the password that the portal showed")
    return password


def _as_the_portal_says(settings: DeviceSettings, arguments: argparse.Namespace) -> DeviceSettings:
    """Return the settings with the profile that the portal has now, where it is to be asked."""
    if not arguments.portal:
        return settings
    token = arguments.token or os.environ.get("PORTAL_TOKEN", "")
    return replace(settings, profile=fetch_profile(arguments.portal, token, settings.device_id))


def options_of(arguments: argparse.Namespace) -> Options:
    """Return the options that the command line says. Raises ValueError."""
    return Options(
        link=LinkOptions(
            mqtt31=arguments.protocol == "MQIsdp",
            presence=True if arguments.presence else None,
            keepalive_s=arguments.keepalive_s,
            reboot_s=arguments.reboot_s,
            deaf_s=None if arguments.deaf_ms is None else arguments.deaf_ms / 1000,
        ),
        setup=Setup(
            keyword=arguments.keyword,
            recipient=arguments.recipient,
            message=arguments.message,
            has_rtc=not arguments.no_rtc,
            rtc_offset_s=arguments.rtc_offset_s,
            rtc_drift_s_per_h=arguments.rtc_drift_s_per_h,
            pins=parse_pins(arguments.gpio),
        ),
        faults=Faults(**{field.name: getattr(arguments, field.name) for field in fields(Faults)}),
        seed=arguments.seed,
        once_refused_exit=arguments.once_refused_exit,
    )


def _parser() -> argparse.ArgumentParser:
    program = os.path.basename(sys.argv[0] or "simulators")
    parser = argparse.ArgumentParser(
        prog="python -m simulators.mqtt" if program in ("mqtt.py", "-m") else program,
        description="Simulated devices that speak the portal's protocol over MQTT with mutual TLS.",
    )
    which = parser.add_argument_group("which devices")
    which.add_argument(
        "--zip",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a device's zip from the portal, or the folder it was unpacked to; may be repeated",
    )
    which.add_argument(
        "--fleet", type=Path, action="append", default=[], metavar="FOLDER", help="a folder of such zips and folders"
    )
    which.add_argument("--id", metavar="ID", help="one device by its files: needs --ca, and --cert and --key or --password-file")
    which.add_argument("--name", default="", help="what --id is called on the terminal")
    which.add_argument("--ca", type=Path, metavar="FILE", help="root CA of the portal")
    which.add_argument("--cert", type=Path, metavar="FILE", help="the device's certificate")
    which.add_argument("--key", type=Path, metavar="FILE", help="the device's private key")
    which.add_argument(
        "--password-file", type=Path, metavar="FILE", help="the device's password, in place of --cert and --key; port 8884"
    )
    which.add_argument("--host", help="broker, in place of the one in config.json")
    which.add_argument("--port", type=_port, help="broker's port (8883)")
    add_device_options(parser.add_argument_group("what the device is like"))
    add_fault_options(parser.add_argument_group("bad days (probabilities are 0 to 1, for each message)"))
    parser.add_argument("-q", "--quiet", action="store_true", help="show troubles only")
    parser.add_argument(
        "--console", action="store_true", help="read the device's UART lines from stdin even when it is no terminal"
    )
    parser.add_argument(
        "--once-refused-exit", action="store_true", help=f"exit with code {EXIT_REFUSED} when the broker refuses the device"
    )
    return parser


def add_device_options(group: argparse._ArgumentGroup) -> None:
    """Add what devices are like."""
    kinds = f"{', '.join(sorted(PROFILES))}, or the file of another"
    group.add_argument("--profile", metavar="SLUG|FILE", help=f"kind of device, in place of the one in its zip: {kinds}")
    group.add_argument("--portal", metavar="URL", help="ask the portal for each device's profile as it is now")
    group.add_argument("--token", metavar="TOKEN", help="an API token for --portal; better in the variable PORTAL_TOKEN")
    group.add_argument("--gpio", action="append", default=[], metavar="N=in|out[:NAME]", help="a wired pin; may be repeated")
    group.add_argument("--no-rtc", action="store_true", help="a board without a clock: never answers get_rtc and set_rtc")
    group.add_argument("--rtc-offset-s", type=_number, default=0.0, metavar="S", help="how wrong its clock is at first")
    group.add_argument(
        "--rtc-drift-s-per-h",
        type=_number,
        metavar="S",
        help="seconds that its clock gains an hour; below 0: loses",
    )
    group.add_argument("--keyword", default=Setup.keyword, help="text on the UART that raises a notification (%(default)s)")
    group.add_argument("--recipient", default=Setup.recipient, help="stored recipient of notifications")
    group.add_argument("--message", default=Setup.message, help="stored message of notifications")
    group.add_argument("--presence", action="store_true", help="last will and presence also for a profile without them")
    group.add_argument(
        "--protocol",
        choices=("MQTT", "MQIsdp"),
        help="MQTT (3.1.1), or MQIsdp (3.1) as old clients connect (%(default)s)",
        default="MQTT",
    )
    group.add_argument("--mqtt31", action="store_const", dest="protocol", const="MQIsdp", help="the same as --protocol MQIsdp")
    group.add_argument("--keepalive-s", type=_keepalive, default=60, metavar="S", help="MQTT keepalive (%(default)s)")
    group.add_argument("--reboot-s", type=not_negative, default=2.0, metavar="S", help="how long a restart takes (%(default)s)")
    group.add_argument(
        "--deaf-ms", type=not_negative, metavar="MS", help="ft900: how long it stays deaf after an answer (a fifth of settle_s)"
    )


def add_fault_options(group: argparse._ArgumentGroup) -> None:
    """Add the fault dials."""
    group.add_argument("--delay-ms", type=not_negative, default=0.0, metavar="MS", help="answer so much later")
    group.add_argument("--jitter-ms", type=not_negative, default=0.0, metavar="MS", help="and up to so much later still")
    group.add_argument("--loss", type=probability, default=0.0, metavar="P", help="do not answer")
    group.add_argument("--duplicate", type=probability, default=0.0, metavar="P", help="answer twice")
    group.add_argument("--wrong-pin", type=probability, default=0.0, metavar="P", help="answer for the next pin")
    group.add_argument("--malformed", type=probability, default=0.0, metavar="P", help="answer with broken JSON")
    group.add_argument(
        "--reboot", type=probability, default=0.0, metavar="P", help="lose power in place of answering, each command"
    )
    group.add_argument("--seed", type=int, default=0, help="repeats the same luck (%(default)s)")


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError("a port is 1 to 65535")
    return int(text)


def _keepalive(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError("a keepalive is 1 to 65535 seconds")
    return int(text)


def _number(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise argparse.ArgumentTypeError("must be a finite number")
    return number


def not_negative(text: str) -> float:
    """Return the number in `text`. Raises ArgumentTypeError."""
    if (number := _number(text)) < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return number


def probability(text: str) -> float:
    """Return the probability in `text`. Raises ArgumentTypeError."""
    if not 0 <= (number := _number(text)) <= 1:
        raise argparse.ArgumentTypeError("a probability is 0 to 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
