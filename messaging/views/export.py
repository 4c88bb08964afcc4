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
from devices.models import Device
from iotportal.csv_text import csv_lines
from messaging import selectors
from messaging.forms import RANGE_WORDS, HistoryForm
from messaging.models import Message
from messaging.selectors import MessageFilter

COLUMNS = ["time", "direction", "device_id", "device", "topic", "api", "payload", "size_bytes", "malformed"]
BATCH = 1000
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


Writer = Callable[[Iterable[Message], dict[UUID, Device]], str]


async def _stream(user: User, wanted: MessageFilter, write: Writer, head: str) -> AsyncIterator[bytes]:
    """Read page after page; the server sends each before the next is read."""
    if head:
        yield head.encode()
    cursor: str | None = None
    names: dict[UUID, Device] = {}
    while True:
        page = await sync_to_async(selectors.messages)(user, wanted, cursor, BATCH)
        unknown = {message.device_id for message in page.rows} - names.keys()
        if unknown:
            names |= await sync_to_async(selectors.device_names)(user, unknown)
        if page.rows:
            yield write(page.rows, names).encode()
        cursor = page.next
        if cursor is None:
            return


def _values(message: Message, names: dict[UUID, Device]) -> dict[str, str | int | bool]:
    device = names.get(message.device_id)
    return {
        "time": message.time.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "direction": message.direction,
        "device_id": message.device_id.hex,
        "device": device.name if device else "",
        "topic": message.topic,
        "api": message.api,
        "payload": message.payload,
        "size_bytes": message.size_bytes,
        "malformed": message.malformed,
    }


def _csv(messages: Iterable[Message], names: dict[UUID, Device]) -> str:
    return csv_lines(_values(message, names).values() for message in messages)


def _ndjson(messages: Iterable[Message], names: dict[UUID, Device]) -> str:
    return "".join(json.dumps(_values(message, names), ensure_ascii=False) + "\n" for message in messages)
