"""Commands, presence and history in the API.

A command with a Bearer token never gets here: `messaging.asgi` answers it before Django. These views are the same operations (one
table, `messaging.operations`) for a signed-in browser, for the browsable pages and for the schema.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, JsonResponse
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.access import Action
from accounts.models import ApiToken
from devices.access import access_device, parse_device_id
from devices.api.views import DEVICE_ID, DeviceListView, DeviceView
from devices.models import Device
from iotportal.openapi import COMMAND_ERRORS, problems
from iotportal.problems import CONTENT_TYPE, Problem, problem_body
from messaging import selectors
from messaging.api import serializers as shapes
from messaging.gateway.admission import Caller, Source
from messaging.gateway.runtime import run_from_thread
from messaging.models import Direction
from messaging.operations import OPERATIONS, Operation

PAGE_SIZE, MAX_PAGE_SIZE = 50, 200


class LiveDeviceListView(DeviceListView):
    """Devices with their presence."""

    serializer_class = shapes.LiveDeviceSerializer

    def get_queryset(self) -> QuerySet[Device]:
        """Join the presence."""
        return super().get_queryset().select_related("presence")


class LiveDeviceView(DeviceView):
    """One device with its presence."""

    serializer_class = shapes.LiveDeviceSerializer


# --- operations on a device ------------------------------------------------------------------------------------------------


class OperationView(APIView):
    """Runs the operations of one path; each subclass names its path."""

    required_action = Action.CONTROL
    path = ""

    def _run(self, request: Request, device_id: str, number: int | None = None) -> Response:
        operation = self._operation(request)
        device = access_device(request.user, device_id, Action.CONTROL)
        body = request.data if request.method != "GET" else {}
        if not isinstance(body, dict):
            raise Problem(400, "parse_error", "The body must be a JSON object.")
        token = request.auth if isinstance(request.auth, ApiToken) else None
        caller = Caller(request.user.pk, token.token_hash if token else None, Source.API)
        query = request.query_params.dict()
        return Response(run_from_thread(lambda gateway: operation.run(gateway, caller, device.hex, number, body, query)))

    def _operation(self, request: Request) -> Operation:
        return OPERATIONS[str(request.method), self.path]


TIMEOUT = OpenApiParameter(
    "timeout", {"type": "number", "minimum": 1, "maximum": 30}, OpenApiParameter.QUERY, description="Seconds; 5 unless given."
)
NUMBER = OpenApiParameter(
    "number", {"type": "integer", "minimum": 0, "maximum": 99999}, OpenApiParameter.PATH, description="The pin."
)


def _describe(
    name: str,
    path: str,
    method: str,
    request: type[serializers.BaseSerializer[Any]] | None,
    response: type[serializers.BaseSerializer[Any]],
) -> Any:
    """Return the schema of one operation."""
    operation = OPERATIONS[method, path]
    return extend_schema(
        operation_id=name,
        summary=operation.title,
        tags=["commands"],
        parameters=[DEVICE_ID, *([NUMBER] if operation.numbered else []), *([TIMEOUT] if request is None else [])],
        request=request,
        responses={200: response, **problems(*COMMAND_ERRORS)},
    )


class CommandsView(OperationView):
    """Send any command; read the commands of the past."""

    path = "commands"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Reading the past needs less than sending."""
        self.required_action = Action.READ if request.method == "GET" else Action.CONTROL
        super().initial(request, *args, **kwargs)

    @extend_schema(
        operation_id="commands_list",
        summary="List the commands of a device",
        tags=["commands"],
        parameters=[
            DEVICE_ID,
            OpenApiParameter("cursor", str),
            OpenApiParameter("page_size", {"type": "integer", "minimum": 1, "maximum": 200}),
        ],
        responses={200: shapes.CommandSerializer(many=True)},
    )
    def get(self, request: Request, device_id: str) -> Response:
        """Return one page of commands with their timelines, newest first."""
        device = access_device(request.user, device_id, Action.READ)
        wanted = selectors.MessageFilter(device_id=device.pk)
        return _page(request, selectors.commands, wanted, shapes.CommandSerializer)

    @_describe("commands_send", "commands", "POST", shapes.CommandRequestSerializer, shapes.AnsweredSerializer)
    def post(self, request: Request, device_id: str) -> Response:
        """Send one command and wait for the answer."""
        return self._run(request, device_id)


class StatusView(OperationView):
    """Does it run?"""

    path = "status"

    @_describe("status_read", "status", "GET", None, shapes.AnsweredSerializer)
    def get(self, request: Request, device_id: str) -> Response:
        """Ask the device; 504 means that it does not run."""
        return self._run(request, device_id)


class RestartView(OperationView):
    """Restart."""

    path = "restart"

    @_describe("restart", "restart", "POST", shapes.EmptyRequestSerializer, shapes.AnsweredSerializer)
    def post(self, request: Request, device_id: str) -> Response:
        """Restart the device."""
        return self._run(request, device_id)


class PinView(OperationView):
    """One pin."""

    path = "gpio"

    @_describe("gpio_read", "gpio", "GET", None, shapes.AnsweredSerializer)
    def get(self, request: Request, device_id: str, number: int) -> Response:
        """Read the pin."""
        return self._run(request, device_id, number)

    @_describe("gpio_set", "gpio", "PUT", shapes.PinRequestSerializer, shapes.AnsweredSerializer)
    def put(self, request: Request, device_id: str, number: int) -> Response:
        """Set the pin."""
        return self._run(request, device_id, number)


class ClockView(OperationView):
    """The clock."""

    path = "rtc"

    @_describe("rtc_read", "rtc", "GET", None, shapes.AnsweredSerializer)
    def get(self, request: Request, device_id: str) -> Response:
        """Read the clock."""
        return self._run(request, device_id)

    @_describe("rtc_set", "rtc", "PUT", shapes.ClockRequestSerializer, shapes.AnsweredSerializer)
    def put(self, request: Request, device_id: str) -> Response:
        """Set the clock."""
        return self._run(request, device_id)


class EthernetView(OperationView):
    """The network."""

    path = "ethernet"

    @_describe("ethernet_read", "ethernet", "GET", None, shapes.EthernetSerializer)
    def get(self, request: Request, device_id: str) -> Response:
        """Read address, mask, gateway and MAC."""
        return self._run(request, device_id)


class UartView(OperationView):
    """The UART."""

    path = "uart"

    @_describe("uart_write", "uart", "POST", shapes.TextRequestSerializer, shapes.AnsweredSerializer)
    def post(self, request: Request, device_id: str) -> Response:
        """Print a text on the device's UART."""
        return self._run(request, device_id)


class NotificationsView(OperationView):
    """Notifications."""

    path = "notifications"

    @_describe("notifications_trigger", "notifications", "POST", shapes.NotificationRequestSerializer, shapes.AnsweredSerializer)
    def post(self, request: Request, device_id: str) -> Response:
        """Have the device raise a notification."""
        return self._run(request, device_id)


# --- history -----------------------------------------------------------------------------------------------------------------


class HistoryQuerySerializer(serializers.Serializer[Any]):
    """The filters of the history."""

    device = serializers.CharField(required=False, help_text="A device id, 32 hex digits.")
    api = serializers.CharField(required=False, max_length=64)
    direction = serializers.ChoiceField(choices=Direction.choices, required=False)
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)
    text = serializers.CharField(required=False, max_length=200, help_text="Looked for in api and payload.")


class HistoryView(APIView):
    """What was said to and by the caller's devices."""

    @extend_schema(
        operation_id="messages_list",
        summary="Read the history",
        tags=["history"],
        parameters=[
            HistoryQuerySerializer,
            OpenApiParameter("cursor", str),
            OpenApiParameter("page_size", {"type": "integer", "minimum": 1, "maximum": 200}),
        ],
        responses={200: shapes.MessageSerializer(many=True)},
    )
    def get(self, request: Request) -> Response:
        """Return one page of messages, newest first."""
        form = HistoryQuerySerializer(data=request.query_params)
        form.is_valid(raise_exception=True)
        given = dict(form.validated_data)
        device = given.pop("device", None)
        if device is not None:
            key = parse_device_id(device)
            if key is None or selectors.history_device(request.user, key) is None:
                raise Problem(404, "not_found", "No such device.")
            given["device_id"] = key
        return _page(request, selectors.messages, selectors.MessageFilter(**given), shapes.MessageSerializer)


def _page(
    request: Request, read: Any, wanted: selectors.MessageFilter, serializer: type[serializers.BaseSerializer[Any]]
) -> Response:
    """Return one page of a key-set read as the list responses look."""
    size = request.query_params.get("page_size", str(PAGE_SIZE))
    if not (size.isascii() and size.isdigit() and 1 <= int(size[:6]) <= MAX_PAGE_SIZE):
        raise Problem(
            400, "invalid", "Some fields are not right.", errors={"page_size": [f"A whole number, 1 to {MAX_PAGE_SIZE}."]}
        )
    try:
        page: selectors.Page[Any] = read(request.user, wanted, request.query_params.get("cursor") or None, int(size))
    except selectors.BadCursor as error:
        raise Problem(400, "invalid", "Some fields are not right.", errors={"cursor": [str(error)]}) from error

    def link(cursor: str | None) -> str | None:
        if cursor is None:
            return None
        query = request.query_params.copy()
        query["cursor"] = cursor
        return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")

    return Response({"next": link(page.next), "previous": link(page.previous), "results": serializer(page.rows, many=True).data})


class RootView(APIView):
    """Where things are."""

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        """Return the addresses to begin with."""
        names = ("devices", "messages", "schema", "docs")
        return Response({name: request.build_absolute_uri(reverse(f"api:{name}")) for name in names})


def unknown_path(request: HttpRequest) -> JsonResponse:
    """Answer for a path that the API does not have."""
    body = problem_body(404, "not_found", "There is no such path in the API. Its description is at /api/v1/docs.")
    return JsonResponse(body, status=404, content_type=CONTENT_TYPE)
