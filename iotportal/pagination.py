"""Cursor paging of the API: every list has the shape {"next": URL|null, "previous": URL|null, "results": […]}."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import QuerySet
from django.template import loader
from drf_spectacular.utils import OpenApiParameter
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from iotportal.cursor import BadCursor, Cursor
from iotportal.problems import invalid

PAGE_SIZE, MAX_PAGE_SIZE = 50, 200
PAGE_QUERY = ("cursor", "page_size")

# For `extend_schema(parameters=[*PAGE_PARAMETERS])`.
PAGE_PARAMETERS = (
    OpenApiParameter(
        "cursor",
        {"type": "string", "pattern": "^[A-Za-z0-9_-]{34}$"},
        description="Where to go on: take it, or the whole address, from `next` or `previous` of a page.",
    ),
    OpenApiParameter(
        "page_size",
        {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": PAGE_SIZE},
        description="Rows of a page.",
    ),
)


def page_size(request: Request) -> int:
    """Return the rows that the caller wants on a page.

    Raises:
        Problem: 400, it is not a number from 1 to MAX_PAGE_SIZE.
    """
    text = request.query_params.get("page_size", str(PAGE_SIZE))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MAX_PAGE_SIZE):
        raise invalid({"page_size": [f"A whole number, 1 to {MAX_PAGE_SIZE}."]})
    return int(text)


def page_cursor(request: Request) -> str | None:
    """Return the cursor of the request, None for the first page.

    Raises:
        Problem: 400, it is empty.
    """
    text = request.query_params.get("cursor")
    if text == "":
        raise invalid({"cursor": ["This is no cursor."]})
    return text


def page_link(request: Request, cursor: object | None) -> str | None:
    """Return the address of the page at `cursor`, with the filters of this request."""
    if cursor is None:
        return None
    query = {**request.query_params.dict(), "cursor": str(cursor)}
    return request.build_absolute_uri(f"{request.path}?{urlencode(query)}")


def page_body(request: Request, rows: Any, *, next_: object | None = None, previous: object | None = None) -> dict[str, Any]:
    """Return a page as the API says it; `rows` as they are shown."""
    return {"next": page_link(request, next_), "previous": page_link(request, previous), "results": rows}


class CursorPagination(BasePagination):
    """Pages by key set on (created_at, id), oldest first: they stay right while rows come and go."""

    display_page_controls = False

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        """Return the rows of the page that the request asks for.

        Raises:
            Problem: 400, cursor or page_size make no sense.
        """
        size = page_size(request)
        try:
            text = page_cursor(request)
            place = Cursor.parse(text) if text else None
        except BadCursor as error:
            raise invalid({"cursor": [str(error)]}) from error
        back = place is not None and place.back
        order = ("-created_at", "-id") if back else ("created_at", "id")
        rows = list(_beyond(queryset, place).order_by(*order)[: size + 1])
        more, rows = len(rows) > size, rows[:size]
        if back:
            rows.reverse()
        self._request, self._next, self._previous = request, None, None
        if rows and (more or back):
            self._next = Cursor(rows[-1].created_at, rows[-1].id)
        if rows and (more if back else place):
            self._previous = Cursor(rows[0].created_at, rows[0].id, back=True)
        self.display_page_controls = bool(self._next or self._previous)
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        """Return the page."""
        return Response(page_body(self._request, data, next_=self._next, previous=self._previous))

    def get_results(self, data: dict[str, Any]) -> Any:
        """Return the rows of a page."""
        return data["results"]

    def to_html(self) -> str:
        """Return the buttons of the browsable pages."""
        links = {"previous_url": page_link(self._request, self._previous), "next_url": page_link(self._request, self._next)}
        return loader.render_to_string("rest_framework/pagination/previous_and_next.html", links)


def _beyond(queryset: QuerySet[Any], place: Cursor | None) -> QuerySet[Any]:
    """Return the rows after (or, going back, before) a place."""
    if place is None:
        return queryset
    time: datetime = place.time
    key: UUID = place.id
    sign = "lt" if place.back else "gt"
    # The first condition is implied by the second and lets the index do the work.
    near = queryset.filter(**{f"created_at__{sign}e": time})
    return near.exclude(created_at=time, **{f"id__{'gt' if place.back else 'lt'}e": key})
