"""`make restore`: PostgreSQL alone is started, and `manage.py restore` does the rest."""

import os
import shutil
import subprocess
import sys
import time

from iotportal.embedded import children, postgres, stack
from iotportal.embedded import config as configuration
from iotportal.embedded.errors import StartError
from iotportal.embedded.lock import RunLock
from iotportal.embedded.recorded import Recorded
from iotportal.embedded.state import CHECKOUT, State

_START_S = 30.0


def restore(state: State, file: str) -> int:
    """Replace what this checkout holds by a backup; returns the exit code.

    Raises:
        StartError: PostgreSQL cannot be started; nothing was changed.
        AlreadyRunning: the portal runs.
    """
    lock = RunLock(state).take("a restore")
    try:
        Recorded(state).end_leftovers()
        config = configuration.read(state, os.environ)
        configuration.keep_ports(state, config)
        kept = stack.make_secrets(state, config)
        where = postgres.place(state)
        postgres.prepare(where, kept.postgres_superuser)
        child = postgres.child(where, config.postgres)
        with (state.log / "postgres.log").open("ab") as log:
            process = children.spawn(child, log)
        try:
            deadline = time.monotonic() + _START_S
            while not postgres.answers(config.postgres, kept.postgres_superuser):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise StartError(f"PostgreSQL did not start: see {state.log / 'postgres.log'}")
                time.sleep(0.05)
            postgres.make_database(config.postgres, kept.postgres_superuser, kept.postgres_portal)
            command = [sys.executable, "manage.py", "restore", "--replace", file]
            done = subprocess.run(command, cwd=CHECKOUT, env=stack.environment(state, config, os.environ), check=False)  # noqa: S603 - ours
        finally:
            children.stop(process, child)
        if done.returncode == 0:
            shutil.rmtree(state.valkey)  # sessions and caches of what was there before
            state.valkey.mkdir(mode=0o700)
        return done.returncode
    finally:
        lock.release()
