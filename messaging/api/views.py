"""Commands, presence and history in the API.

A command with a Bearer token never gets here: `messaging.asgi` answers it before Django. These views are the same operations (one
table, `messaging.operations`) for a signed-in browser, for the browsable pages and for the schema.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.access import Action
from accounts.api.authentication import user_of
from accounts.api.permissions import SignedInPerson
from accounts.api.serializers import ProfileSerializer
from accounts.models import Account, ApiToken
from accounts.services.profile import change_profile
from billing.services import allowance, messages_used
from devices.access import access_device, parse_device_id
from devices.api.common import DEVICE_ID
from devices.api.views import ACCOUNT, NAME, DeviceListView, DeviceView
from devices.models import Device
from iotportal.bodies import as_object
from iotportal.legacy import is_legacy, refuse
from iotportal.openapi import COMMAND_ERRORS, problems
from iotportal.pagination import PAGE_PARAMETERS, PAGE_QUERY, page_body, page_cursor, page_size
from iotportal.problems import CONTENT_TYPE, Problem, invalid, problem_body
from iotportal.queries import StrictQuery, refuse_unknown
from messaging import selectors
from messaging.api import serializers as shapes
from messaging.gateway.admission import Caller, Source
from messaging.gateway.runtime import run_from_thread
from messaging.operations import API_OPERATIONS, DOCUMENTED, OPERATIONS, Body, Operation
from messaging.presence import known


@extend_schema_view(
    get=extend_schema(
        operation_id="devices_list",
        summary="List devices",
        tags=["devices"],
        parameters=[NAME, ACCOUNT, *PAGE_PARAMETERS],
        responses={200: shapes.DevicePageSerializer, **problems(404)},
    )
)
class LiveDeviceListView(DeviceListView):
    """Devices with their presence."""

    name = "Devices"
    serializer_class = shapes.LiveDeviceSerializer

    def get_queryset(self) -> QuerySet[Device]:
        """Join the presence."""
        return super().get_queryset().select_related("presence")

    def get_serializer(self, *args: Any, **kwargs: Any) -> serializers.BaseSerializer[Any]:
        """Add what is known of a page's devices now."""
        if kwargs.get("many"):
            kwargs["context"] = {**self.get_serializer_context(), "known": known(args[0], timezone.now())}
        return super().get_serializer(*args, **kwargs)


class LiveDeviceView(DeviceView):
    """One device with its presence."""

    name = "Device"
    serializer_class = shapes.LiveDeviceSerializer

    def _shown(self, device_id: str) -> Response:
        device = self._device(device_id, Action.READ)
        context = {"known": known([device], timezone.now())}
        return Response(shapes.LiveDeviceSerializer(device, context=context).data)


# --- operations on a device ------------------------------------------------------------------------------------------------


def run_operation(
    request: Request, device: Device, operation: Operation, number: int | None, body: Body, query: Mapping[str, str]
) -> dict[str, object]:
    """Run one operation for the request's user and wait for the device.

    Raises:
        Problem: as `Operation.run`.
    """
    token = request.auth if isinstance(request.auth, ApiToken) else None
    caller = Caller(request.user.pk, token.token_hash if token else None, Source.API)
    return run_from_thread(lambda gateway: operation.run(gateway, caller, device.hex, number, body, query))


class OperationView(APIView):
    """Runs the operations of one path; each subclass names its path, and what a request takes for the browsable pages."""

    required_action = Action.CONTROL
    path = ""
    takes: type[serializers.BaseSerializer[Any]] = shapes.EmptyRequestSerializer

    def get_serializer(self, *args: Any, **kwargs: Any) -> serializers.BaseSerializer[Any]:
        """Return what the form of the browsable pages begins with."""
        return self.takes(*args, **kwargs)

    def _run(self, request: Request, device_id: str, number: int | None = None) -> Response:
        operation = self._operation(request)
        device = access_device(user_of(request), device_id, Action.CONTROL)
        body = {} if request.method in {"GET", "HEAD"} else as_object(request.data)
        answer = run_operation(request, device, operation, number, body, request.query_params.dict())
        return Response(answer, headers={"Cache-Control": "no-store"})

    def _operation(self, request: Request) -> Operation:
        return OPERATIONS["GET" if request.method == "HEAD" else str(request.method), self.path]


def _caller(request: Request) -> Caller:
    """Return who asks, as the gateway knows callers."""
    token = request.auth if isinstance(request.auth, ApiToken) else None
    return Caller(request.user.pk, token.token_hash if token else None, Source.API)


PIN = DOCUMENTED.apis["get_gpio"].fields[0]
TIMEOUT = OpenApiParameter(
    "timeout", {"type": "number", "minimum": 1, "maximum": 30}, OpenApiParameter.QUERY, description="Seconds; 5 unless given."
)
NUMBER = OpenApiParameter(
    "number", {"type": "integer", "minimum": 0, "maximum": int(PIN.maximum or 0)}, OpenApiParameter.PATH, description="The pin."
)


Method = TypeVar("Method", bound=Callable[..., Response])


def _describe(
    name: str,
    path: str,
    method: str,
    request: type[serializers.BaseSerializer[Any]] | None,
    response: type[serializers.BaseSerializer[Any]],
) -> Callable[[Method], Method]:
    """Return the schema of one operation."""
    operation = OPERATIONS[method, path]
    described: Callable[[Method], Method] = extend_schema(
        operation_id=name,
        summary=operation.title,
        tags=["commands"],
        parameters=[DEVICE_ID, *([NUMBER] if operation.numbered else []), TIMEOUT],
        request=request,
        responses={200: response, **problems(*COMMAND_ERRORS)},
    )
    return described


API_NAME = OpenApiParameter(
    "api", {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$"}, OpenApiParameter.PATH, description="For example get_gpio."
)
FIELDS = OpenApiParameter(
    "fields",
    {"type": "object", "additionalProperties": {"type": "string"}, "example": {"number": "10"}},
    style="form",
    explode=True,
    description="The api's fields.",
)


def _describe_api(
    name: str, method: str, *, parameters: Sequence[OpenApiParameter] = (), request: Any = None
) -> Callable[[Method], Method]:
    """Return the schema of an operation on any api."""
    described: Callable[[Method], Method] = extend_schema(
        operation_id=name,
        summary=API_OPERATIONS[method].title,
        tags=["commands"],
        parameters=[DEVICE_ID, API_NAME, *parameters, TIMEOUT],
        request=request,
        responses={200: shapes.AnsweredSerializer, **problems(405, *COMMAND_ERRORS)},
    )
    return described


class CommandsView(OperationView):
    """Send any command; read the commands of the past."""

    name = "Commands"
    path = "commands"
    takes = shapes.CommandRequestSerializer

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Reading the past needs less than sending."""
        self.required_action = Action.READ if request.method == "GET" else Action.CONTROL
        super().initial(request, *args, **kwargs)

    @extend_schema(
        operation_id="commands_list",
        summary="List the commands of a device",
        tags=["commands"],
        parameters=[DEVICE_ID, *PAGE_PARAMETERS],
        responses={200: shapes.CommandPageSerializer},
    )
    def get(self, request: Request, device_id: str) -> Response:
        """Return one page of commands with their timelines, newest first."""
        device = access_device(user_of(request), device_id, Action.READ)
        refuse_unknown(request.query_params, PAGE_QUERY)
        wanted = selectors.MessageFilter(device_id=device.pk)
        return _page(request, selectors.commands, wanted, shapes.CommandSerializer)

    @_describe("commands_send", "commands", "POST", shapes.CommandRequestSerializer, shapes.AnsweredSerializer)
    def post(self, request: Request, device_id: str) -> Response:
        """Send one command and wait for the answer."""
        return self._run(request, device_id)


class StatusView(OperationView):
    """Does it run?"""

    name = "Status"
    path = "status"

    @_describe("status_read", "status", "GET", None, shapes.AnsweredSerializer)
    def get(self, request: Request, device_id: str) -> Response:
        """Ask the device; 504 means that it does not run."""
        return self._run(request, device_id)


class RestartView(OperationView):
    """Restart."""

    name = "Restart"
    path = "restart"

    @_describe("restart", "restart", "POST", shapes.EmptyRequestSerializer, shapes.AnsweredSerializer)
    def post(self, request: Request, device_id: str) -> Response:
        """Restart the device."""
        return self._run(request, device_id)


class PinView(OperationView):
    """One pin."""

    name = "Pin"
    path = "gpio"
    takes = shapes.PinRequestSerializer

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

    name = "Clock"
    path = "rtc"
    takes = shapes.ClockRequestSerializer

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

    name = "Network"
    path = "ethernet"

    @_describe("ethernet_read", "ethernet", "GET", None, shapes.EthernetSerializer)
    def get(self, request: Request, device_id: str) -> Response:
        """Read address, mask, gateway and MAC."""
        return self._run(request, device_id)


class UartView(OperationView):
    """The UART."""

    name = "UART"
    path = "uart"
    takes = shapes.TextRequestSerializer

    @_describe("uart_write", "uart", "POST", shapes.TextRequestSerializer, shapes.AnsweredSerializer)
    def post(self, request: Request, device_id: str) -> Response:
        """Print a text on the device's UART."""
        return self._run(request, device_id)


class NotificationsView(OperationView):
    """Notifications."""

    name = "Notifications"
    path = "notifications"
    takes = shapes.NotificationRequestSerializer

    @_describe("notifications_trigger", "notifications", "POST", shapes.NotificationRequestSerializer, shapes.AnsweredSerializer)
    def post(self, request: Request, device_id: str) -> Response:
        """Have the device raise a notification."""
        return self._run(request, device_id)


class ApiView(OperationView):
    """Any api of the device's profile, by its name."""

    name = "Api"

    def get_serializer(self, *args: Any, **kwargs: Any) -> serializers.BaseSerializer[Any]:
        """Return what the form of the browsable pages begins with: what an api takes its profile says."""
        return serializers.Serializer(*args, **kwargs)

    @_describe_api("apis_get", "GET", parameters=[FIELDS])
    def get(self, request: Request, device_id: str, api: str) -> Response:
        """Ask for a value: the api's fields stand in the query, as its profile names them."""
        return self._run_api(request, device_id, api)

    @_describe_api("apis_set", "PUT", request=OpenApiTypes.OBJECT)
    def put(self, request: Request, device_id: str, api: str) -> Response:
        """Set something: the body is the api's fields, as its profile names them."""
        return self._run_api(request, device_id, api)

    def _run_api(self, request: Request, device_id: str, api: str) -> Response:
        device = access_device(user_of(request), device_id, Action.CONTROL)
        operation = API_OPERATIONS["GET" if request.method == "HEAD" else str(request.method)]
        body = as_object(request.data) if request.method == "PUT" else {}
        query, caller = request.query_params.dict(), _caller(request)
        answer = run_from_thread(lambda gateway: operation.run(gateway, caller, device.hex, api, body, query))
        return Response(answer, headers={"Cache-Control": "no-store"})


# --- history -----------------------------------------------------------------------------------------------------------------


_FILTERS = tuple(shapes.HistoryQuerySerializer().fields)


class HistoryView(StrictQuery):
    """What was said to and by the caller's devices."""

    name = "History"
    query = (*_FILTERS, *PAGE_QUERY)

    @extend_schema(
        operation_id="messages_list",
        summary="Read the history",
        tags=["history"],
        parameters=[shapes.HistoryQuerySerializer, *PAGE_PARAMETERS],
        responses={200: shapes.MessagePageSerializer, **problems(404)},
    )
    def get(self, request: Request) -> Response:
        """Return one page of messages, newest first."""
        form = shapes.HistoryQuerySerializer(
            data={name: request.query_params[name] for name in request.query_params if name in _FILTERS}
        )
        form.is_valid(raise_exception=True)
        given = dict(form.validated_data)
        device = given.pop("device", None)
        if device is not None:
            key = parse_device_id(device)
            if key is None or selectors.history_device(user_of(request), key) is None:
                raise Problem(404, "not_found", "No such device.")
            given["device_id"] = key
        return _page(request, selectors.messages, selectors.MessageFilter(**given), shapes.MessageSerializer)


def _page(
    request: Request, read: Any, wanted: selectors.MessageFilter, serializer: type[serializers.BaseSerializer[Any]]
) -> Response:
    """Return one page of a key-set read as the list responses look."""
    size = page_size(request)
    try:
        page: selectors.Page[Any] = read(request.user, wanted, page_cursor(request), size)
    except selectors.BadCursor as error:
        raise invalid({"cursor": [str(error)]}) from error
    rows = serializer(page.rows, many=True).data
    return Response(page_body(request, rows, next_=page.next, previous=page.previous))


# --- you, and the way in -----------------------------------------------------------------------------------------------------


class AccountView(StrictQuery):
    """Who you are and what you may use."""

    name = "Account"

    @extend_schema(
        operation_id="account_read", summary="Read your account", tags=["about"], responses={200: shapes.AccountSerializer}
    )
    def get(self, request: Request) -> Response:
        """Return the user, the accounts whose devices you see, and the messages that each has used and may use this month."""
        return self._shown(request)

    @extend_schema(
        operation_id="account_update",
        summary="Change your profile",
        tags=["about"],
        request=ProfileSerializer,
        responses={200: shapes.AccountSerializer},
    )
    def patch(self, request: Request) -> Response:
        """Change names, time zone, language or theme. A personal token cannot; e-mail and password have ways of their own."""
        form = ProfileSerializer(data=request.data, partial=True)
        form.is_valid(raise_exception=True)
        if form.validated_data:
            change_profile(user=user_of(request), **form.validated_data)
        return self._shown(request)

    def get_permissions(self) -> list[Any]:
        """Let tokens read, and people change."""
        return [IsAuthenticated(), SignedInPerson()] if self.request.method == "PATCH" else [*super().get_permissions()]

    def _shown(self, request: Request) -> Response:
        accounts = [
            {**_named(one.account), "role": one.role, "messages": _usage(one.account)}
            for one in user_of(request).memberships.select_related("account").order_by("account__created_at", "account_id")
        ]
        token = request.auth if isinstance(request.auth, ApiToken) else None
        return Response(shapes.AccountSerializer({"user": request.user, "token": token, "accounts": accounts}).data)


def _named(account: Account) -> dict[str, object]:
    return {"id": account.pk, "name": account.name, "kind": account.kind}


def _usage(account: Account) -> dict[str, object]:
    month = allowance(account.pk)
    period = f"{month.month[:4]}-{month.month[4:]}"
    return {"period": period, "used": messages_used(account.pk), "limit": month.limit}


class RootView(StrictQuery):
    """The IoT Portal's API, version 1."""

    name = "API"
    permission_classes = (AllowAny,)

    @extend_schema(operation_id="root", summary="Where things are", tags=["about"], responses={200: shapes.RootSerializer})
    def get(self, request: Request) -> Response:
        """Return the addresses to begin with."""
        names = ("account", "accounts", "devices", "profiles", "messages", "schema", "docs")
        return Response({name: request.build_absolute_uri(reverse(f"api:{name}")) for name in names})


@csrf_exempt
def root_with_slash(request: HttpRequest) -> HttpResponse:
    """Send a browser to the root's own address."""
    return redirect("api:root") if request.method in {"GET", "HEAD"} else unknown_path(request)


@csrf_exempt
def unknown_path(request: HttpRequest) -> JsonResponse:
    """Answer for a path that the API does not have."""
    if is_legacy(request.path):
        return refuse(Problem(404, "not_found", "There is no such path in the API."))
    hint = "Its paths have no slash at the end." if request.path.endswith("/") else "Its description is at /api/v1/docs."
    body = problem_body(404, "not_found", f"There is no such path in the API. {hint}")
    return JsonResponse(body, status=404, content_type=CONTENT_TYPE)
