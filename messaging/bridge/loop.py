"""An event loop in a thread of its own, for a source whose other methods are called from the runner's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import TypeVar, TypeVarTuple

import uvloop

T = TypeVar("T")
Given = TypeVarTuple("Given")


class LoopThread:
    """Runs from its making until `end`."""

    def __init__(self, name: str) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[object, object, T], timeout_s: float) -> T:
        """Run `work` on the loop and return what it returns. Raises what it raises, and TimeoutError where it takes longer."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout_s)
        except TimeoutError:
            future.cancel()
            raise

    def call(self, work: Callable[[*Given], object], *args: *Given) -> None:
        """Have `work` called on the loop. Raises RuntimeError once the loop has ended."""
        self._loop.call_soon_threadsafe(work, *args)

    def end(self, timeout_s: float) -> None:
        """Stop, once what is under way on the loop is done."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout_s)
        if not self._thread.is_alive():
            self._loop.close()
