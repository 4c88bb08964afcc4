"""How each process of the portal is started: one table for the supervisor, for containers and for a host's own services.

    python -m iotportal.processes web --host 0.0.0.0 --port 8000

becomes that process; what follows its name is passed on to it. Settings come from the environment as ever.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# What notifications hold at most (their `lanes`: 14, waiting for others most of the time), and four for all else. A thread begins
# when it is first needed.
_THREADS = "18"
_WORKER = ("-m", "celery", "-A", "iotportal", "worker", "-P", "threads", "--without-mingle", "--without-gossip", "-l", "INFO")


@dataclass(frozen=True, slots=True)
class Process:
    """What Python is started with, and what the environment says besides the settings."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


PROCESSES = {
    "web": Process(("-m", "iotportal.web")),
    "broker": Process(("manage.py", "run_broker")),
    "broker-auth": Process(("manage.py", "run_broker_auth")),  # with RabbitMQ in the place of `broker`
    # Bridge and tasks in one; where there are more of them, each on its own.
    "worker": Process((*_WORKER, "-c", _THREADS, "-Q", "celery,bridge", "-n", "portal@%h"), {"PORTAL_BRIDGE": "1"}),
    "bridge": Process((*_WORKER, "-c", "1", "-Q", "bridge", "-n", "bridge@%h"), {"PORTAL_BRIDGE": "1"}),
    "tasks": Process((*_WORKER, "-c", _THREADS, "-Q", "celery", "-n", "tasks@%h")),
    "emulators": Process(("manage.py", "run_emulators")),
    "beat": Process(("-m", "celery", "-A", "iotportal", "beat", "--pidfile=", "-l", "INFO")),
}


def command(name: str, *more: str) -> tuple[str, ...]:
    """Return the command line of process `name`, with `more` behind it. Raises KeyError."""
    return (sys.executable, *PROCESSES[name].argv, *more)


def main(argv: Sequence[str]) -> int:
    """Become the process that the command line names; returns only where there is none."""
    if not argv or argv[0] not in PROCESSES:
        print(f"python -m iotportal.processes {'|'.join(PROCESSES)} [option …]", file=sys.stderr)
        return 2
    line = command(argv[0], *argv[1:])
    os.execve(line[0], line, {**os.environ, **PROCESSES[argv[0]].env})  # noqa: S606 - becoming it is the point


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
