"""The chart of what was used, as the template draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from billing.services.usage import Day, month_days

WIDTH, HEIGHT = 720, 150
_TOP, _BASE = 25, 149  # the line with the number, and the axis


@dataclass(frozen=True, slots=True)
class Bar:
    """One day."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class UsageChart:
    """Bars from the axis up; `grid` is the number at the upper line, `labels` the days below."""

    bars: list[Bar]
    grid: int
    labels: list[str]
    finding: str


def usage_chart(days: Sequence[Day]) -> UsageChart:
    """Return the chart of a month so far."""
    most = max(days, key=lambda one: one.messages)
    grid = _round(most.messages)
    last = month_days(days[-1].day)
    step = WIDTH / last
    bars = []
    for number, one in enumerate(days):
        if one.messages:
            height = max(1.5, (_BASE - _TOP) * one.messages / grid)
            bars.append(Bar(round(number * step + 2, 1), round(_BASE - height, 1), round(step - 4, 1), round(height, 1)))
    labels = [f"{number} {days[0].day:%b}" for number in (1, 8, 15, 22, last)]
    total = sum(one.messages for one in days)
    said = f"; most on {most.day:%-d %B}: {most.messages:,}" if total else ""
    return UsageChart(bars, grid, labels, f"{total:,} messages this month{said}")


def _round(most: int) -> int:
    """Return the next number that is good to read: 1, 2 or 5 and zeros."""
    size = int(10 ** (len(str(max(most, 10))) - 1))
    return next(size * factor for factor in (1, 2, 5, 10) if size * factor >= most)
