"""Runs the stack: starts it in order, restarts what crashes, stops it in the reverse order.

circus, used as a library, does the supervising; this module adds what it has no setting for: starting one group when the
group before is ready, waiting longer from crash to crash, and stopping group by group.
"""

import asyncio
import contextlib
import logging
import os
import shlex
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from types import SimpleNamespace
from typing import Any

import circus.arbiter
import zmq
from circus.arbiter import Arbiter
from circus.exc import ConflictError
from circus.watcher import Watcher
from tornado import gen
from tornado.ioloop import IOLoop

from iotportal.embedded.children import Child, launch_argv
from iotportal.embedded.errors import StartError
from iotportal.embedded.output import ChildLog, Terminal
from iotportal.embedded.recorded import Recorded
from iotportal.embedded.stack import Service
from iotportal.embedded.state import CHECKOUT, State

logger = logging.getLogger(__name__)

_CHECK_S = 0.25  # how soon a crash is seen
_POLL_S = 0.05  # how often a starting process is asked whether it is ready
_FIRST_REST_S = 0.5
_LONGEST_REST_S = 30.0
_STEADY_S = 30.0  # who ran this long before crashing starts again without a long rest


class ChildWatcher(Watcher):  # type: ignore[misc]  # circus has no types
    """circus' watcher of one process, with a rest between a crash and the next start that doubles from crash to crash."""

    def __init__(self, child: Child, log: ChildLog, recorded: Recorded, terminal: Terminal, **options: Any) -> None:
        stream = {"stream": log}
        hooks: dict[str, Any] = {
            "after_spawn": (self._spawned, True),
            "before_reap": (self._dying, True),
            "after_reap": (self._ended, True),
        }
        argv = launch_argv(child)
        super().__init__(
            child.name,
            shlex.quote(argv[0]),
            args=argv[1:],
            env=dict(child.env),
            working_dir=str(CHECKOUT),
            stop_signal=child.stop_signal,
            graceful_timeout=child.grace_s,
            stdout_stream=stream,
            stderr_stream=stream,
            autostart=False,
            singleton=True,
            hooks=hooks,
            **options,
        )
        self.child = child
        self.log = log
        self.exit_code: int | None = None
        self.crashes = 0
        self._recorded = recorded
        self._terminal = terminal
        self._rest_s = 0.0
        self._rests_until = 0.0
        self._lived_s = 0.0

    @gen.coroutine
    def manage_processes(self) -> Iterator[Any]:
        """Start again what has ended, once it has rested."""
        if self.processes or time.monotonic() >= self._rests_until:
            yield super().manage_processes()

    async def ended(self) -> int:
        """Wait for the process to end; returns its exit code."""
        while self.exit_code is None:
            await asyncio.sleep(_POLL_S)
        return self.exit_code

    def _spawned(self, pid: int, **_: object) -> bool:
        self._recorded.add(self.name, pid, self.child.stop_signal)
        return True

    def _dying(self, process_pid: int, **_: object) -> bool:
        self._lived_s = self.processes[process_pid].age()
        return True

    def _ended(self, exit_code: int | None, process_pid: int, **_: object) -> bool:
        self.exit_code = exit_code
        # What it leaves behind when it is killed (nginx its workers, which would hold the ports) is in the session it began.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process_pid, signal.SIGKILL)
        self._recorded.remove(self.name)
        if self.is_stopping() or not self.respawn:
            return True
        self.crashes += 1
        if self._lived_s >= _STEADY_S or self._rest_s == 0:
            self._rest_s = _FIRST_REST_S
        else:
            self._rest_s = min(self._rest_s * 2, _LONGEST_REST_S)
        self._rests_until = time.monotonic() + self._rest_s
        logger.warning(
            "%s ended with %s after %.1f s; starting it again in %.1f s", self.name, exit_code, self._lived_s, self._rest_s
        )
        self._terminal.warn(
            self.name, f"ended ({_how(exit_code)}); starting it again in {self._rest_s:g} s. What it said is in {self.log.path}"
        )
        return True


class OrderedArbiter(Arbiter):  # type: ignore[misc]  # circus has no types
    """circus' arbiter, stopping one priority after the other instead of all at once."""

    def __init__(self, watchers: Sequence[ChildWatcher]) -> None:
        # It asks the resolver for this machine's full name, which takes seconds on a desk without a network, for a cluster
        # feature that is not used here.
        circus.arbiter.socket = SimpleNamespace(getfqdn=socket.gethostname, gethostname=socket.gethostname)
        super().__init__(
            list(watchers),
            # Inside the process: circus' control socket lets whoever reaches it run any command.
            "inproc://portal-control",
            "inproc://portal-events",
            check_delay=_CHECK_S,
            context=zmq.Context(),
            loop=IOLoop.current(),
            proc_name="iotportal",
        )

    @gen.coroutine
    def manage_watchers(self) -> Iterator[Any]:
        """Look after the processes, unless a start or stop is under way: circus would complain of the conflict in the log."""
        if self._exclusive_running_command is None:
            yield super().manage_watchers()

    @gen.coroutine
    def _stop_watchers(self, close_output_streams: bool = False, watcher_iter_func: Any = None) -> Iterator[Any]:
        for _, group in groupby(self.iter_watchers(reverse=False), key=lambda watcher: watcher.priority):
            yield [watcher._stop(close_output_streams) for watcher in group]


class Supervisor:
    """The running stack. Everything here runs in one event loop, which must be the running one when this is made."""

    def __init__(self, state: State, groups: Sequence[Sequence[Child]], terminal: Terminal, recorded: Recorded) -> None:
        self._terminal = terminal
        self._watchers: dict[str, ChildWatcher] = {}
        for position, group in enumerate(groups):
            for child in group:
                log = ChildLog(state.log / f"{child.name}.log", partial(terminal.warn, child.name))
                self._watchers[child.name] = ChildWatcher(child, log, recorded, terminal, priority=-position)
        self._arbiter = OrderedArbiter(list(self._watchers.values()))

    async def begin(self) -> None:
        """Begin watching; nothing is started yet."""
        await self._arbiter.start()

    async def run_once(self, name: str) -> None:
        """Start a process and wait for its end.

        Raises:
            StartError: it ended with another code than 0.
        """
        watcher = self._watchers[name]
        watcher.respawn, watcher.exit_code = False, None
        await self._start(watcher)
        code = await watcher.ended()
        if code != 0:
            raise StartError(f"{name} failed ({_how(code)}). Its last words:\n{watcher.log.tail()}")

    async def start(self, services: Sequence[Service]) -> None:
        """Start a group together and wait until each is ready.

        Raises:
            StartError: one is not ready in time, or keeps crashing.
        """
        services = [service for service in services if service.wanted()]
        printed = {service.child.name: self._watch_for_line(service) for service in services}
        for service in services:
            await self._start(self._watchers[service.child.name])
        await asyncio.gather(*(self._ready(service, printed[service.child.name]) for service in services))

    def _watch_for_line(self, service: Service) -> asyncio.Event:
        event = asyncio.Event()
        if service.ready_line is None:
            event.set()
        else:
            self._watchers[service.child.name].log.when_printed(service.ready_line, event.set)
        return event

    async def _ready(self, service: Service, printed: asyncio.Event) -> None:
        watcher = self._watchers[service.child.name]
        deadline = time.monotonic() + service.start_s
        while not (printed.is_set() and await _asked(service.ready)):
            if watcher.crashes >= 3 or time.monotonic() > deadline:
                how = "keeps ending" if watcher.crashes else f"is not ready after {service.start_s:g} s"
                raise StartError(f"{watcher.name} {how}. Its last words:\n{watcher.log.tail()}")
            await asyncio.sleep(_POLL_S)

    async def _start(self, watcher: ChildWatcher) -> None:
        logger.info("starting %s", watcher.name)
        await _when_idle(watcher.start)

    async def stop(self) -> None:
        """Stop everything, last group first."""
        await _when_idle(self._arbiter.stop)
        while self._arbiter.running:  # circus closes its sockets a moment later
            await asyncio.sleep(0.01)


async def _asked(ready: Callable[[], bool] | None) -> bool:
    return ready is None or await asyncio.to_thread(ready)


async def _when_idle(call: Callable[[], Any]) -> None:
    """Call one of circus' exclusive operations as soon as none is under way (its own check may be just now)."""
    while True:
        with contextlib.suppress(ConflictError):
            await call()
            return
        await asyncio.sleep(0.01)


def _how(exit_code: int | None) -> str:
    """Return an exit code in words."""
    if exit_code is not None and exit_code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-exit_code).name
    return f"exit code {exit_code}"
