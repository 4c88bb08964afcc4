"""A process to run, and the plain way to run one: as a direct child that dies with us."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

_LAUNCHER = Path(__file__).with_name("launch.py")


@dataclass(frozen=True, slots=True)
class Child:
    """One process of the stack.

    `stop_signal` asks it to end in order, `grace_s` later it is killed; the same signal reaches it when the supervisor dies.
    `uid` and `gid` are -1 to run as the current user.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 3.0
    uid: int = -1
    gid: int = -1


def launch_argv(child: Child) -> list[str]:
    """Return the command that turns a child of this process into `child` (see launch.py)."""
    return [
        sys.executable,
        "-I",
        "-S",
        str(_LAUNCHER),
        str(os.getpid()),
        str(int(child.stop_signal)),
        str(child.uid),
        str(child.gid),
        *child.argv,
    ]


def spawn(child: Child, output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start `child` with all it prints going to `output`."""
    return subprocess.Popen(  # noqa: S603 - the command is ours
        launch_argv(child),
        env=dict(child.env),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def stop(process: subprocess.Popen[bytes], child: Child) -> None:
    """End a spawned child in order, or by force once its grace is over."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(child.stop_signal)
    try:
        process.wait(child.grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
