"""Rows of a statement that is always the same, without what the ORM does for each: building it, and making models of what comes.

For reads that every page makes, or that have many rows; all else is better said to the ORM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from django.db import connection

Row = TypeVar("Row")


def rows(kind: Callable[..., Row], sql: str, params: Sequence[Any] | Mapping[str, Any]) -> list[Row]:
    """Return the rows of `sql`, each made by `kind` of its columns in their order: a NamedTuple, as a rule."""
    with connection.cursor() as db:
        db.execute(sql, params)
        return [kind(*row) for row in db.fetchall()]
