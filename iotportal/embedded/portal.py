"""`make run` and `make run-full` from its first line to its last."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from iotportal.embedded import config as configuration
from iotportal.embedded import full, postgres, stack
from iotportal.embedded.config import Config
from iotportal.embedded.errors import StartError
from iotportal.embedded.lock import RunLock
from iotportal.embedded.output import Terminal
from iotportal.embedded.recorded import Recorded
from iotportal.embedded.stack import Secrets, Stack
from iotportal.embedded.state import State, write_private
from iotportal.embedded.supervisor import Supervisor

logger = logging.getLogger(__name__)

_DEMO_USER = "demo"


C = TypeVar("C", bound=Config)


@dataclass(frozen=True, slots=True)
class Edition(Generic[C]):
    """What `make run` and `make run-full` differ in; `told` are lines of the banner."""

    read: Callable[[State, Mapping[str, str]], C]
    environment: Callable[[State, C, Mapping[str, str]], dict[str, str]]
    build: Callable[[State, C, Secrets, postgres.Place, Mapping[str, str]], Stack]
    told: Callable[[C], list[str]]


DESK = Edition(
    configuration.read,
    stack.environment,
    stack.build,
    lambda config: [
        f"  PayPal        {config.paypal_url}/   (nobody pays there: it is for trying out)",
        f"  Devices       {config.addresses.public} port {config.mqtt}, MQTT over TLS with the device's certificate",
    ],
)
FULL = Edition(
    full.read,
    full.environment,
    full.build,
    lambda config: [
        f"  Devices       {config.addresses.public} port {config.mqtt} (MQTT) or {config.amqps} (AMQP), TLS with certificates",
    ],
)


async def run(state: State, edition: Edition[C]) -> int:
    """Start everything, stay until SIGINT, SIGTERM or SIGHUP, stop everything; returns the exit code.

    Raises:
        StartError: it cannot be started; whatever ran is stopped again.
        AlreadyRunning: it runs already.
    """
    terminal = Terminal()
    began = time.monotonic()
    config = edition.read(state, os.environ)
    lock = RunLock(state).take(config.url)
    try:
        return await _run_locked(state, edition, terminal, began)
    finally:
        lock.release()


async def _run_locked(state: State, edition: Edition[C], terminal: Terminal, began: float) -> int:
    recorded = Recorded(state)
    leftovers = recorded.end_leftovers()
    if leftovers:
        terminal.say(f"Ended what an earlier run had left behind: {', '.join(leftovers)}.")
    config = edition.read(state, os.environ)  # again: the leftovers may have held the ports that are kept
    configuration.require_free_ports(config)
    configuration.keep_ports(state, config)
    kept = stack.make_secrets(state, config)
    env = edition.environment(state, config, os.environ)
    where = postgres.place(state)
    if not (where.data / "PG_VERSION").exists():
        terminal.say("First start: making the database, the certificate authority and the demo devices.")
    if where.data != state.postgres:
        terminal.say(f"PostgreSQL's user cannot reach this folder: its data is in {where.data}")
    postgres.prepare(where, kept.postgres_superuser)
    everything = edition.build(state, config, kept, where, env)
    _keep_environment(state, env)

    supervisor = Supervisor(state, everything.groups(), terminal, recorded)
    await supervisor.begin()
    stop = _stop_signal()
    try:
        if await _unless(stop, _start(supervisor, everything, config, kept, terminal, began)):
            terminal.say(_banner(state, config, kept, edition.told(config)))
            if await _unless(stop, _start_workers(supervisor, everything)):
                logger.info("everything runs after %.1f s", time.monotonic() - began)
                await stop.wait()
    finally:
        terminal.say("\nStopping …")
        ending = time.monotonic()
        await supervisor.stop()
        terminal.say(f"Stopped in {time.monotonic() - ending:.1f} s.")
    return 0


async def _start(
    supervisor: Supervisor, everything: Stack, config: Config, kept: Secrets, terminal: Terminal, began: float
) -> None:
    """Bring the stack to where its first page answers."""

    def progress(what: str) -> None:
        terminal.say(f"  {time.monotonic() - began:5.1f} s  {what}")

    await supervisor.start(everything.databases)
    await asyncio.to_thread(postgres.make_database, config.postgres, kept.postgres_superuser, kept.postgres_portal)
    progress("PostgreSQL and Valkey answer")
    await supervisor.run_once(everything.first_run.name)
    progress("migrations, certificates and demo are up to date")
    await supervisor.start(everything.servers)
    progress("broker and mail catcher answer")
    await supervisor.start(everything.web)
    progress("the first page answers")


async def _start_workers(supervisor: Supervisor, everything: Stack) -> None:
    await supervisor.start(everything.workers)
    await supervisor.start(everything.devices)


def _stop_signal() -> asyncio.Event:
    """Return an event that is set when somebody asks us to end. Replaces circus' own handlers, which would stop it under us."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(name, stop.set)
    return stop


async def _unless(stop: asyncio.Event, work: Awaitable[None]) -> bool:
    """Do `work` unless `stop` comes first; whether it was done."""
    doing, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if doing.done():
        doing.result()
        return True
    doing.cancel()
    with contextlib.suppress(asyncio.CancelledError, StartError):
        await doing
    return False


def _keep_environment(state: State, env: dict[str, str]) -> None:
    """Keep what the processes are told, for `make manage`: of the rest of the shell's environment nothing is written down."""
    told = ("PORTAL_", "MQTT_", "TWILIO_", "AMQP_", "RABBITMQ_", "DATABASE_", "VALKEY_", "DJANGO_")
    ours = {name: value for name, value in env.items() if name.startswith(told)}
    write_private(stack.environment_file(state), json.dumps(ours, indent=1) + "\n")


def _banner(state: State, config: Config, kept: Secrets, told: list[str]) -> str:
    lines = [
        "",
        f"  The portal    {config.url}",
        f"  Sign in       {_DEMO_USER}   password {kept.demo_password}",
        f"  Caught mail   {config.mail_url}   (with SMS and pushes; as JSON: {config.mail_url}messages.json)",
        *told,
        f"  Logs          {state.log}",
        "  Stop          Ctrl-C, or `make stop` in another terminal",
        "",
    ]
    return "\n".join(lines)
