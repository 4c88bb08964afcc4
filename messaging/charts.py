"""Drawings as numbers: the geometry of sparklines, charts and traces. Templates only put them into SVG attributes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from django.utils import timezone
from django.utils.formats import date_format

from iotportal.words import ms, seconds
from messaging.figures import Bucket, Figures
from messaging.models import PresenceState
from messaging.presence import DAY, WEEK, Report, Span, Uptime
from messaging.selectors import RECENT_POINTS, RoundTrips

SPARK_WIDTH, SPARK_HEIGHT = 152, 30


@dataclass(frozen=True, slots=True)
class Spark:
    """The last round trips of a device as a stepped line, newest at the right; `misses` are the x of those without answer."""

    path: str
    misses: list[str]
    median: float | None
    p95: float | None
    count: int

    @property
    def finding(self) -> str:
        """What it shows, in one sentence."""
        silent = f", {len(self.misses)} without an answer" if self.misses else ""
        return f"The last {self.count} round trips within 30 minutes: median {ms(self.median)}{silent}"


def spark(trips: RoundTrips) -> Spark | None:
    """Draw round trips; None where there are none, so that nothing is drawn."""
    if not trips.points:
        return None
    step = SPARK_WIDTH / RECENT_POINTS
    times = trips.answered
    top = max(times[-1], 2 * times[len(times) // 2]) if times else 1.0  # a calm line runs in the middle
    path, misses, x, drawing = [], [], SPARK_WIDTH - step * len(trips.points), False
    for point in trips.points:
        if point is None:
            misses.append(f"{x + step / 2:.1f}")
            drawing = False
        else:
            y = 26 - 21 * point / (top or 1)
            path.append(f"V{y:.1f}" if drawing else f"M{x:.1f} {y:.1f}")
            path.append(f"H{x + step:.1f}")
            drawing = True
        x += step
    return Spark("".join(path), misses, trips.median, trips.percentile(0.95), len(trips.points))


# --- the history's two charts ------------------------------------------------------------------------------------------------

CHART_WIDTH = 720  # of the viewBox; 150 high
_TRAFFIC_AXIS, _TRIPS_AXIS = 75.0, 149.5
_TRAFFIC_UNIT, _TRIPS_UNIT = 50.0, 62.25  # height of the value that the grid line names


@dataclass(frozen=True, slots=True)
class Bar:
    """One step of the traffic chart; a height of "" is not drawn."""

    x: str
    width: str
    to_y: str
    to: str
    from_: str
    silent_y: str


@dataclass(frozen=True, slots=True)
class Charts:
    """Both charts of a range, ready for SVG, with the sentence that each shows."""

    bars: list[Bar]
    traffic_grid: int
    traffic_title: str
    traffic_finding: str
    p50: str
    p95: str
    trips_grid: int
    trips_finding: str
    labels: list[str]


def charts(figures: Figures) -> Charts:
    """Draw the figures of a range."""
    width = CHART_WIDTH / len(figures.buckets)
    busiest = max((max(one.to, one.from_) for one in figures.buckets), default=0)
    slowest = max((one.p95 or 0 for one in figures.buckets), default=0)
    traffic_grid, trips_grid = _nice(busiest / 1.5), _nice(slowest / 2.35)
    per = "a minute" if figures.step == timedelta(minutes=1) else f"per {seconds(figures.step.total_seconds())}"
    least, most = (pick(one.to + one.from_ for one in figures.buckets) for pick in (min, max))
    silent = f", {figures.silent} commands without an answer" if figures.silent else ""
    return Charts(
        bars=[
            _bar(one, index * width, width, traffic_grid)
            for index, one in enumerate(figures.buckets)
            if one.to or one.from_ or one.silent
        ],
        traffic_grid=traffic_grid,
        traffic_title=f"Messages {per}",
        traffic_finding=f"Messages {per}: between {least} and {most}{silent}",
        p50=_line(figures.buckets, lambda one: one.p50, width, trips_grid),
        p95=_line(figures.buckets, lambda one: one.p95, width, trips_grid),
        trips_grid=trips_grid,
        trips_finding=f"Round trip: median {ms(figures.p50)}, 95th percentile {ms(figures.p95)}",
        labels=_labels(figures),
    )


def _nice(value: float) -> int:
    """Return the smallest of 1, 2, 5, 10, 20 … that is not below `value`."""
    size = 10 ** max(0, math.floor(math.log10(value))) if value > 1 else 1
    return next(int(size * factor) for factor in (1, 2, 5, 10) if size * factor >= value)


def _bar(bucket: Bucket, x: float, width: float, grid: int) -> Bar:
    up, down = (min(72.0, count * _TRAFFIC_UNIT / grid) for count in (bucket.to, bucket.from_))
    return Bar(
        x=f"{x + width * 0.15:.1f}",
        width=f"{width * 0.7:.1f}",
        to_y=f"{_TRAFFIC_AXIS - 1 - up:.1f}",
        to=f"{up:.1f}" if bucket.to else "",
        from_=f"{down:.1f}" if bucket.from_ else "",
        silent_y=f"{max(0.0, _TRAFFIC_AXIS - 11 - up):.1f}" if bucket.silent else "",
    )


def _line(buckets: Iterable[Bucket], value: Callable[[Bucket], float | None], width: float, grid: int) -> str:
    """Return a stepped line, broken where nothing was measured."""
    path, drawing = [], False
    for index, bucket in enumerate(buckets):
        measured = value(bucket)
        if measured is not None:
            y = max(1.0, _TRIPS_AXIS - measured * _TRIPS_UNIT / grid)
            path.append(f"{'V' if drawing else f'M{index * width:.1f} '}{y:.1f}H{(index + 1) * width:.1f}")
        drawing = measured is not None
    return "".join(path)


def _labels(figures: Figures) -> list[str]:
    span = figures.step * len(figures.buckets)
    shape = (
        "H:i:s"
        if span < timedelta(minutes=10)
        else "H:i"
        if span <= timedelta(hours=26)
        else "j M, H:i"
        if span < timedelta(days=5)
        else "j M"
    )
    return [date_format(timezone.localtime(figures.since + span * part / 4), shape) for part in range(5)]


# --- presence over time ------------------------------------------------------------------------------------------------------

STRIP_WIDTH, STRIP_HEIGHT = 720, 24
_COLUMN = 2
_HEIGHTS = {"on": 24, "part": 14, "off": 4}


@dataclass(frozen=True, slots=True)
class Strip:
    """When a device was online, as SVG paths: high where it was, half high where it came and went, low where it was not.

    `unknown` is a line to be dashed; what lies before the device was registered is left out.
    """

    title: str
    on: str
    part: str
    off: str
    unknown: str
    labels: list[str]
    words: str


def strips(report: Report) -> list[Strip]:
    """Draw the last day and the last week of a device."""
    return [_strip(report.day, DAY, "Last 24 hours"), _strip(report.week, WEEK, "Last 7 days")]


def _strip(uptime: Uptime, span: timedelta, title: str) -> Strip:
    since = uptime.until - span
    if uptime.since > since:
        title = "Since it was registered"
    kinds = _columns(uptime.spans, since, span / (STRIP_WIDTH // _COLUMN))
    paths = {kind: "" for kind in (*_HEIGHTS, "unknown")}
    x = 0
    for kind, run in groupby(kinds):
        width = _COLUMN * len(list(run))
        if kind == "unknown":
            paths[kind] += f"M{x} {STRIP_HEIGHT - 2}h{width}"
        elif kind:
            high = _HEIGHTS[kind]
            paths[kind] += f"M{x} {STRIP_HEIGHT - high}h{width}v{high}h-{width}z"
        x += width
    shape = "H:i" if span == DAY else "j M"
    labels = [date_format(timezone.localtime(since + span * part / 4), shape) for part in range(5)]
    return Strip(title, labels=labels, words=uptime.words, **paths)


def _columns(spans: Sequence[Span], since: datetime, step: timedelta) -> list[str]:
    """Return what each column shows: "on", "off", "part" (both), "unknown" (for the most of it), or "" (before all spans)."""
    count = STRIP_WIDTH // _COLUMN
    shares: list[dict[str, float]] = [defaultdict(float) for _ in range(count)]
    for span in spans:
        first, last = (span.start - since) / step, (span.end - since) / step
        for column in range(max(0, int(first)), min(count, math.ceil(last))):
            shares[column][span.state] += min(last, column + 1) - max(first, column)
    return list(map(_kind, shares))


def _kind(share: Mapping[str, float]) -> str:
    if not share:
        return ""
    on, off = share.get(PresenceState.CONNECTED, 0.0), share.get(PresenceState.DISCONNECTED, 0.0)
    unknown = share.get(PresenceState.UNKNOWN, 0.0)
    if unknown > on + off:
        return "unknown"
    if on and off:
        return "part"
    return "on" if on else "off" if off else ""
