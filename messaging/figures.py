"""The figures of a range of the history: how much passed, and how long answers took, in all and step by step.

However busy a portal is, a range is counted over its newest `COUNT` messages at most: then it begins where they do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from accounts.models import User
from messaging.models import Command, Message
from messaging.selectors import COUNT, Count, MessageFilter, Scope, scopes


@dataclass(frozen=True, slots=True)
class Bucket:
    """What happened in one step of a chart; times in ms."""

    to: int = 0
    from_: int = 0
    silent: int = 0
    p50: float | None = None
    p95: float | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of [since, until): in all, and in equal steps of `step`. `cut`: only the newest messages were counted."""

    since: datetime
    until: datetime
    step: timedelta
    buckets: list[Bucket]
    messages: int
    p50: float | None
    p95: float | None
    silent: int
    cut: bool

    @property
    def count(self) -> Count:
        """How many messages the range has."""
        return Count(self.messages, at_least=self.cut)


@dataclass(frozen=True, slots=True)
class _Traffic:
    """The messages to and from devices in each step of a range, which begins where they were looked at from."""

    since: datetime
    step: timedelta
    cut: bool = False
    steps: dict[int, tuple[int, int]] = field(default_factory=dict)


_Trips = tuple[int, float | None, float | None]  # without an answer, p50 and p95

# Steps that people can read off an axis, in seconds; a range has `_STEPS` at most.
_NICE_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800]
_STEPS = 72


def figures(user: User, wanted: MessageFilter, *, since: datetime, until: datetime) -> Figures:
    """Count messages and round trips of [since, until) in readable steps, or of its newest `COUNT` messages if it has more.

    Where no message passed no round trips are looked for.
    """
    asked = replace(wanted, since=since, until=until)
    traffic = _traffic(scopes(Message, user, asked), since, until)
    since, step = traffic.since, traffic.step
    commands = scopes(Command, user, replace(asked, since=since)) if traffic.steps else []
    trips, (silent, p50, p95) = _trips(commands, since, step)
    numbers = range(max(1, math.ceil((until - since) / step)))
    buckets = [_bucket(traffic.steps.get(number), trips.get(number)) for number in numbers]
    total = sum(to + from_ for to, from_ in traffic.steps.values())
    return Figures(since, until, step, buckets, total, p50, p95, silent, traffic.cut)


def _bucket(traffic: tuple[int, int] | None, trips: _Trips | None) -> Bucket:
    to, from_ = traffic or (0, 0)
    silent, p50, p95 = trips or (0, None, None)
    return Bucket(to, from_, silent, p50, p95)


def _traffic(looked_at: list[Scope], since: datetime, until: datetime) -> _Traffic:
    """Count messages. Where the range begins, and so its step, comes out of the same statement: from the index alone."""
    if not looked_at:
        return _Traffic(since, until - since)
    ends = [scope.place("DESC", COUNT) for scope in looked_at]
    newest = [scope.inner("DESC", COUNT) for scope in looked_at]
    counted = [f"SELECT * FROM ({sql}) m WHERE {scope.outer}" for scope, (sql, _) in zip(looked_at, newest, strict=True)]  # noqa: S608  # constants
    sql = f"""
        WITH looked AS MATERIALIZED ({" UNION ALL ".join(f"(SELECT time AS first FROM ({sql}) m)" for sql, _ in ends)}),
        span AS (SELECT coalesce(max(first), %s) AS since, count(*) > 0 AS cut FROM looked),
        least AS (SELECT *, extract(epoch FROM %s - since) / {_STEPS} AS least FROM span),
        steps AS MATERIALIZED (
            SELECT since, cut, coalesce(
                (SELECT min(nice) FROM unnest(%s) nice WHERE nice >= least), ceil(least / 604800)::int * 604800
            ) * interval '1 second' AS step FROM least
        )
        SELECT since, step, cut, date_bin(step, time, since),
               count(*) FILTER (WHERE direction = 'to'), count(*) FILTER (WHERE direction = 'from')
        FROM steps LEFT JOIN ({" UNION ALL ".join(counted)}) newest ON time >= since GROUP BY 1, 2, 3, 4
    """  # noqa: S608  # made of constants
    params: list[Any] = [one for _, of_end in ends for one in of_end]
    params += [since, until, _NICE_STEPS]
    for scope, (_, inner) in zip(looked_at, newest, strict=True):
        params += [*inner, *scope.outer_params]
    with connection.cursor() as db:
        db.execute(sql, params)
        rows = db.fetchall()
    since, step, cut = rows[0][:3]
    return _Traffic(since, step, cut, {(begins - since) // step: (to, from_) for *_, begins, to, from_ in rows if begins})


def _trips(looked_at: list[Scope], since: datetime, step: timedelta) -> tuple[dict[int, _Trips], _Trips]:
    """Return silent, p50 and p95 of each step and of all."""
    if not looked_at:
        return {}, (0, None, None)
    parts: list[str] = []
    params: list[Any] = []
    for scope in looked_at:
        sql, inner_params = scope.inner("DESC", COUNT)
        timed = f"({sql}) m WHERE {scope.outer}"
        parts.append(f"(SELECT time, outcome, coalesce(delivered_ms, answered_ms) AS ms FROM {timed})")  # noqa: S608  # constants
        params += [*inner_params, *scope.outer_params]
    sql = f"""
        SELECT date_bin(%s, time, %s), count(*) FILTER (WHERE outcome = 'timeout'),
               percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY ms) FILTER (WHERE outcome = 'answered')
        FROM ({" UNION ALL ".join(parts)}) c GROUP BY GROUPING SETS ((1), ())
    """  # noqa: S608  # made of constants
    every: list[Any] = [step, since]
    with connection.cursor() as db:
        db.execute(sql, [*every, *params])
        rows = db.fetchall()
    found = {begins and (begins - since) // step: (silent, *(times or (None, None))) for begins, silent, times in rows}
    whole = found.pop(None, (0, None, None))
    return found, whole
