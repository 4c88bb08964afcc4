"""`python -m iotportal.embedded run|run-full|stop|manage|restore`: what `make run`, `make run-full`, `make stop` … do."""

import argparse
import asyncio
import logging
import logging.handlers
import os
import signal
import sys
import time
from collections.abc import Sequence

from iotportal.embedded.errors import StartError
from iotportal.embedded.lock import AlreadyRunning, RunLock
from iotportal.embedded.state import CHECKOUT, State, default_state, full_state, read_json

_STOP_S = 30.0


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m iotportal.embedded", description="The portal with all its servers.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="start everything and stay until Ctrl-C")
    commands.add_parser("run-full", help="the same with RabbitMQ, nginx and several processes of each kind, as in production")
    commands.add_parser("stop", help="stop what runs from this checkout")
    manage = commands.add_parser("manage", help="run a management command with the running stack's settings")
    manage.add_argument("words", nargs=argparse.REMAINDER)
    restore = commands.add_parser("restore", help="make the portal of this checkout that of a backup, while it is stopped")
    restore.add_argument("file")
    options = parser.parse_args(argv)
    state = default_state()
    try:
        if options.command == "run":
            return _run(state, full=False)
        if options.command == "run-full":
            return _run(full_state(), full=True)
        if options.command == "stop":
            return _stop()
        if options.command == "restore":
            return _restore(state, options.file)
        return _manage(state, options.words)
    except StartError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


def _run(state: State, *, full: bool) -> int:
    os.umask(0o077)  # logs, keys and data are for this user alone
    state.make()
    _log_to(state)
    from iotportal.embedded import portal  # here, because circus sets up logging as soon as it is imported

    try:
        return asyncio.run(portal.run(state, portal.FULL) if full else portal.run(state, portal.DESK))
    except AlreadyRunning as other:
        print(
            f"The portal of this checkout is already running (process {other.pid}): {other.url}\nStop it with: make stop",
            file=sys.stderr,
        )
        return 1


def _restore(state: State, file: str) -> int:
    os.umask(0o077)
    state.make()
    from iotportal.embedded import restoring

    try:
        return restoring.restore(state, file)
    except AlreadyRunning as other:
        raise StartError(f"The portal runs (process {other.pid}). Stop it first: make stop") from other


def _log_to(state: State) -> None:
    """Keep what the supervisor itself says beside the logs of its processes."""
    handler = logging.handlers.RotatingFileHandler(state.log / "supervisor.log", maxBytes=2_000_000, backupCount=1)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _stop() -> int:
    """Stop what runs from this checkout: `make run`, `make run-full`, or both."""
    running = [state for state in dict.fromkeys((default_state(), full_state())) if _is_running(state)]
    for state in running:
        _stop_one(state)
    print("Stopped." if running else "Nothing of this checkout is running.")
    return 0


def _is_running(state: State) -> bool:
    return state.run.is_dir() and RunLock(state).is_taken()


def _stop_one(state: State) -> None:
    lock = RunLock(state)
    pid = lock.holder().pid
    try:
        os.kill(pid, signal.SIGTERM)
    except (ProcessLookupError, PermissionError) as error:
        raise StartError(f"Process {pid}, which runs the portal, cannot be stopped from here: {error.strerror}.") from error
    deadline = time.monotonic() + _STOP_S
    while lock.is_taken():
        if time.monotonic() > deadline:
            raise StartError(f"Process {pid} has not stopped within {_STOP_S:g} s. See {state.log}/supervisor.log")
        time.sleep(0.1)


def _manage(state: State, words: list[str]) -> int:
    """Become manage.py with the environment that the last `make run` wrote down."""
    kept = read_json(state.run / "environment.json")
    if not kept:
        raise StartError("There is nothing to manage yet: start the portal with make run first.")
    os.chdir(CHECKOUT)
    env = {**os.environ, **{name: str(value) for name, value in kept.items()}}
    for name in kept:
        env.pop(name.removesuffix("_FILE") if name.endswith("_FILE") else "", None)
    os.execve(sys.executable, [sys.executable, "manage.py", *words], env)  # noqa: S606 - becoming it is the point


if __name__ == "__main__":
    sys.exit(main())
