"""How an app reacts to one on its left: it registers a handler in `AppConfig.ready`, the other calls the hook.

Handlers run inside the caller's transaction; what leaves the database (messages, cuts) they put behind `on_commit`.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Hook(Generic[T]):
    """A list of handlers, called in the order they were added."""

    def __init__(self) -> None:
        self._handlers: list[Callable[[T], None]] = []

    def register(self, handler: Callable[[T], None]) -> None:
        """Add `handler`; adding it twice changes nothing."""
        if handler not in self._handlers:
            self._handlers.append(handler)

    def __call__(self, subject: T) -> None:
        """Tell every handler about `subject`."""
        for handler in self._handlers:
            handler(subject)
