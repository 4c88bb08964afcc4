"""Commands and traffic as drawings, with what is read beside them: `{% load traces %}`."""

from __future__ import annotations

from collections.abc import Iterable

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from iotportal.stencil import draw, draw_all
from iotportal.templatetags.ui import age
from iotportal.words import cut
from messaging.charts import Bar
from messaging.traces import Drawing, Trace

register = template.Library()

_BAD = " c-bad"


@register.simple_tag
def trace_wide(trace: Trace) -> SafeString:
    """Draw a command's five moments to scale, each named at its line."""
    steps = "".join(f'<li><span>{one.name}</span><span></span><span class="ms num">{one.at}</span></li>' for one in trace.steps)
    return draw("messaging/_trace.html", {"paths": _paths(trace.wide), "steps": SafeString(steps)})  # words of ours, and numbers


@register.simple_tag
def trace_mini(trace: Trace | None) -> SafeString:
    """Draw the same in a line's height; without a command an empty picture, for the page to fill."""
    return draw("messaging/_mini.html", {"paths": _paths(trace.mini if trace else Drawing(""))})


@register.simple_tag
def command_rows(traces: Iterable[Trace]) -> SafeString:
    """Draw a line for each command, which opens to its timeline."""
    return draw_all("messaging/_command.html", ((_command(trace), {}) for trace in traces))


@register.simple_tag
def traffic_bars(bars: Iterable[Bar]) -> SafeString:
    """Draw what passed in each step of a range: to the device upwards, from it downwards, and a mark for what had no answer."""
    return SafeString("".join(_rectangle(bar, *part) for bar in bars for part in _parts(bar)))  # numbers alone


def _parts(bar: Bar) -> list[tuple[str, str, str]]:
    """Return class, y and height of what there is of a step."""
    parts = [("t", bar.to_y, bar.to)] if bar.to else []
    if bar.from_:
        parts.append(("f", "76", bar.from_))
    return [*parts, ("x", bar.silent_y, "7")] if bar.silent_y else parts


def _rectangle(bar: Bar, kind: str, y: str, height: str) -> str:
    return f'<rect class="{kind}" x="{bar.x}" y="{y}" width="{bar.width}" height="{height}"/>'


def _command(trace: Trace) -> dict[str, object]:
    command = trace.command
    answer = "" if command.answer is None else format_html('<code class="sm c-from">{}</code>', cut(command.answer, 300))
    return {
        "id": command.id.hex,
        "short": trace.short,
        "mini": trace_mini(trace),
        "bad": _BAD if trace.silent else "",
        "took": trace.took,
        "payload": cut(command.payload, 300),
        "answer": answer,
        "trace": trace_wide(trace),
        "age": age(command.time),
        "finding": trace.finding,
    }


def _paths(drawing: Drawing) -> SafeString:
    ends = [("x", drawing.gone)] if drawing.gone else [("f", drawing.from_), ("d", drawing.done)]
    return SafeString("".join(f'<path class="{kind}" d="{path}"/>' for kind, path in [("t", drawing.to), *ends]))
