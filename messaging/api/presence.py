"""A device's presence and timeline in the API."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts.access import Action
from accounts.api.authentication import user_of
from devices.access import access_device
from devices.api.common import DEVICE_ID
from devices.models import Device
from iotportal.cursor import BadCursor
from iotportal.openapi import problems
from iotportal.pagination import PAGE_PARAMETERS, PAGE_QUERY, page_body, page_cursor, page_size
from iotportal.problems import Problem, invalid
from iotportal.queries import StrictQuery, refuse_unknown
from messaging.api import serializers as shapes
from messaging.models import PresenceState
from messaging.presence import report
from messaging.services.presence import set_offline_limit
from messaging.timeline import Lines, connections, timeline


def _page(request: Request, read: Any, device: Device) -> Lines:
    try:
        lines: Lines = read(device, page_cursor(request), page_size(request))
    except BadCursor as error:
        raise invalid({"cursor": [str(error)]}) from error
    return lines


class PresenceView(StrictQuery):
    """A device's presence."""

    name = "Presence"
    query = PAGE_QUERY

    def get_serializer(self, *args: Any, **kwargs: Any) -> BaseSerializer[Any]:
        """Return what the form of the browsable pages begins with."""
        return shapes.OfflineLimitSerializer(*args, **kwargs)

    @extend_schema(
        operation_id="presence_read",
        summary="Read a device's presence",
        tags=["devices"],
        parameters=[DEVICE_ID, *PAGE_PARAMETERS],
        responses={200: shapes.PresenceReportSerializer},
    )
    def get(self, request: Request, device_id: str) -> Response:
        """Return what is known now, how much of the last day and week it was online, and a page of comings and goings."""
        device = access_device(user_of(request), device_id, Action.READ)
        return self._told(request, device)

    @extend_schema(
        operation_id="presence_change",
        summary="Set when to be told that a device is offline",
        tags=["devices"],
        parameters=[DEVICE_ID],
        request=shapes.OfflineLimitSerializer,
        responses={200: shapes.PresenceReportSerializer, **problems(409)},
    )
    def patch(self, request: Request, device_id: str) -> Response:
        """Have it told when the device is offline for longer than some minutes, or with null not any more."""
        refuse_unknown(request.query_params, ())
        device = access_device(user_of(request), device_id, Action.MANAGE)
        form = shapes.OfflineLimitSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        if "offline_after_minutes" in form.validated_data:
            set_offline_limit(device=device, minutes=form.validated_data["offline_after_minutes"])
        return self._told(request, access_device(user_of(request), device_id, Action.READ))

    def _told(self, request: Request, device: Device) -> Response:
        page, found = _page(request, connections, device), report(device, timezone.now())
        if found.presence is None:
            raise Problem(404, "not_found", "No such device.")
        body = page_body(request, page.rows, next_=page.next, previous=page.previous)
        unknown = [span for span in found.week.spans if span.state == PresenceState.UNKNOWN]
        about = {**body, "presence": found.presence, "day": found.day, "week": found.week, "unknown": unknown}
        return Response(shapes.PresenceReportSerializer(about, context={"known": {device.pk: found}}).data)


class TimelineView(StrictQuery):
    """What happened to a device."""

    name = "Timeline"
    query = PAGE_QUERY

    @extend_schema(
        operation_id="timeline_list",
        summary="Read a device's timeline",
        tags=["devices"],
        parameters=[DEVICE_ID, *PAGE_PARAMETERS],
        responses={200: shapes.TimelinePageSerializer},
    )
    def get(self, request: Request, device_id: str) -> Response:
        """Return a page of what happened to it besides messages (connections, certificates, long outages), newest first."""
        device = access_device(user_of(request), device_id, Action.READ)
        page = _page(request, timeline, device)
        rows = shapes.TimelineLineSerializer(page.rows, many=True).data
        return Response(page_body(request, rows, next_=page.next, previous=page.previous))
