"""The history as a file."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.http import HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.http import AuthedRequest
from accounts.models import User
from accounts.selectors import forget_standings
from iotportal.csv_text import csv_lines
from messaging import selectors
from messaging.forms import RANGE_WORDS, HistoryForm
from messaging.models import topic
from messaging.selectors import Line, MessageFilter

COLUMNS = ["time", "direction", "device_id", "device", "topic", "api", "payload", "size_bytes", "malformed"]
BATCH = 2000
TYPES = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}


@login_required
@require_GET
def export(request: AuthedRequest) -> HttpResponseBase:
    """Stream all messages of the filter, newest first; it holds one batch in memory, however long it gets."""
    kind = request.GET.get("format", "csv")
    form = HistoryForm(request.GET, user=request.user)
    if not form.is_valid() or kind not in TYPES:
        context = {"area": "history", "form": form, "ranges": RANGE_WORDS, "page": selectors.Page(), "devices": form.devices()}
        return render(request, "messaging/history.html", context, status=400)
    write = _csv if kind == "csv" else _ndjson
    wanted = form.wanted()
    body = _stream(request.user, wanted, write, head=csv_lines([COLUMNS]) if kind == "csv" else "")
    name = f"history-{timezone.localtime():%Y-%m-%d-%H%M}.{kind}"
    return StreamingHttpResponse(
        body, content_type=TYPES[kind], headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


Names = dict[UUID, str]  # of devices
Writer = Callable[[Iterable[Line], Names], str]
_encode = json.JSONEncoder(ensure_ascii=False).encode


async def _stream(user: User, wanted: MessageFilter, write: Writer, head: str) -> AsyncIterator[bytes]:
    """Read page after page; the server sends each before the next is read."""
    if head:
        yield head.encode()
    cursor: str | None = None
    names: Names = {}
    while True:
        text, cursor = await sync_to_async(_piece)(user, wanted, cursor, write, names)
        if text:
            yield text.encode()
        if cursor is None:
            return


def _piece(user: User, wanted: MessageFilter, cursor: str | None, write: Writer, names: Names) -> tuple[str, str | None]:
    """Return the text of one page and the place of the next; `names` remembers what devices are called."""
    forget_standings(user)  # an export takes minutes: who is taken out of an account gets no more of its history
    page = selectors.lines(user, wanted, cursor, BATCH)
    if unknown := {line.device_id for line in page.rows} - names.keys():
        found = selectors.device_names(user, unknown)
        names |= {key: found[key].name if key in found else "" for key in unknown}
    return write(page.rows, names) if page.rows else "", page.next


def _values(line: Line, names: Names) -> tuple[object, ...]:
    """Return the cells of a row, as `COLUMNS` names them."""
    device, api = line.device_id.hex, line.api
    return (
        line.time.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        line.direction,
        device,
        names[line.device_id],
        topic(device, line.direction, api),
        api,
        line.payload,
        line.size_bytes,
        line.malformed,
    )


def _csv(lines: Iterable[Line], names: Names) -> str:
    return csv_lines(_values(line, names) for line in lines)


def _ndjson(lines: Iterable[Line], names: Names) -> str:
    return "".join(_encode(dict(zip(COLUMNS, _values(line, names), strict=True))) + "\n" for line in lines)
