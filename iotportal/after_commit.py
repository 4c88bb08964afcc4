"""What leaves the database once a transaction is in."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

from django.db import transaction

P = ParamSpec("P")


def after_commit(work: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Call `work` once the transaction is in, at once outside of one; what it raises is logged and undoes nothing.

    Not a `functools.partial`: Django names what failed by its __qualname__, which a partial has not, and so it would fail itself.
    """

    def call() -> None:
        work(*args, **kwargs)

    call.__qualname__ = getattr(work, "__qualname__", repr(work))
    transaction.on_commit(call, robust=True)
