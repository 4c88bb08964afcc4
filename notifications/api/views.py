"""Notifications in the API."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts.access import Action
from accounts.api.authentication import user_of
from accounts.services import personal_account
from devices.access import access_device, parse_device_id
from devices.api.common import DEVICE_ID
from devices.models import Device
from iotportal.cursor import BadCursor
from iotportal.openapi import problems
from iotportal.pagination import PAGE_PARAMETERS, PAGE_QUERY, page_body, page_cursor, page_size
from iotportal.problems import Problem, invalid
from iotportal.queries import StrictQuery
from iotportal.uuid7 import uuid7
from messaging.selectors import account_ids
from notifications import selectors, services
from notifications.access import access_notification, access_recipient
from notifications.addresses import BadRecipient
from notifications.api import serializers as shapes
from notifications.api.owners import owner
from notifications.models import Cause, Notification, Recipient

_FILTERS = ("device", "status", "channel", "text")
_HEX = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
NOTIFICATION_ID = OpenApiParameter("notification_id", _HEX, OpenApiParameter.PATH, description="32 hex digits.")
RECIPIENT_ID = OpenApiParameter("recipient_id", _HEX, OpenApiParameter.PATH, description="32 hex digits.")


class LogView(StrictQuery):
    """What was said to whom."""

    name = "Notifications"
    query = (*_FILTERS, *PAGE_QUERY)

    def get_serializer(self, *args: Any, **kwargs: Any) -> BaseSerializer[Any]:
        """Return what the form of the browsable pages begins with."""
        return shapes.SendSerializer(*args, **kwargs)

    @property
    def required_action(self) -> Action | None:
        """Saying something takes as much as a command does."""
        return None if self.request.method in {"GET", "HEAD", "OPTIONS"} else Action.CONTROL

    @extend_schema(
        operation_id="notifications_list", summary="List notifications", tags=["notifications"],
        parameters=[shapes.NotificationQuerySerializer, *PAGE_PARAMETERS],
        responses={200: shapes.NotificationPageSerializer, **problems(404)},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Return one page of what was said in all your accounts, newest first."""
        form = shapes.NotificationQuerySerializer(
            data={name: request.query_params[name] for name in request.query_params if name in _FILTERS}
        )
        form.is_valid(raise_exception=True)
        given = form.validated_data
        device_id = None
        if "device" in given:
            device_id = parse_device_id(given["device"])
            known = Device.objects.filter(account_id__in=account_ids(user_of(request)), pk=device_id) if device_id else None
            if known is None or not known.exists():
                raise Problem(404, "not_found", "No such device.")
        wanted = selectors.Filter(device_id, given.get("status", ""), given.get("channel", ""), given.get("text", ""))
        try:
            page = selectors.log(user_of(request), wanted, page_cursor(request), page_size(request))
        except BadCursor as error:
            raise invalid({"cursor": [str(error)]}) from error
        rows = shapes.NotificationSerializer([line.one for line in page.lines], many=True).data
        return Response(page_body(request, rows, next_=page.next, previous=page.previous))

    @extend_schema(
        operation_id="notifications_send", summary="Say something to somebody", tags=["notifications"],
        request=shapes.SendSerializer, responses={202: shapes.NotificationSerializer, **problems(404)},
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Have the portal itself send it, without a word to the device. Read it again to see what became of it."""
        form = shapes.SendSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        given, user = form.validated_data, user_of(request)
        device = access_device(user, given["device"], Action.CONTROL) if "device" in given else None
        account_id = device.account_id if device else personal_account(user).pk
        source = f"person:{user.uuid.hex}:{given.get('key', uuid7().hex)}"
        one = services.intake.take(
            account_id=account_id, device=device, user=user, cause=Cause.PERSON, source=source,
            recipient=given["recipient"], message=given["message"],
        )  # fmt: skip
        if one is None:
            one = Notification.objects.get(source=source)
        services.intake.announce([one])
        return Response(shapes.NotificationSerializer(one).data, status=status.HTTP_202_ACCEPTED)


class NotificationView(StrictQuery):
    """One notification."""

    name = "Notification"

    @extend_schema(
        operation_id="notifications_read", summary="Read a notification", tags=["notifications"], parameters=[NOTIFICATION_ID],
        responses={200: shapes.NotificationDetailSerializer},
    )  # fmt: skip
    def get(self, request: Request, notification_id: str) -> Response:
        """Return how far it is, with each try of each sender."""
        one = access_notification(user_of(request), notification_id)
        return Response(shapes.NotificationDetailSerializer(one).data)


class ResendNotificationView(StrictQuery):
    """Saying the same again."""

    name = "Send again"
    required_action = Action.CONTROL

    @extend_schema(
        operation_id="notifications_resend", summary="Send a notification again", tags=["notifications"],
        parameters=[NOTIFICATION_ID], request=None, responses={202: shapes.NotificationSerializer},
    )  # fmt: skip
    def post(self, request: Request, notification_id: str) -> Response:
        """Say the same to the same once more, as a new notification."""
        user = user_of(request)
        one = access_notification(user, notification_id, Action.CONTROL)
        again = services.intake.resend(notification=one, user=user, key=uuid7().hex)
        services.intake.announce([again])
        return Response(shapes.NotificationSerializer(again).data, status=status.HTTP_202_ACCEPTED)


class RecipientListView(StrictQuery):
    """Who may be written to besides your own people."""

    name = "Recipients"

    def get_serializer(self, *args: Any, **kwargs: Any) -> BaseSerializer[Any]:
        """Return what the form of the browsable pages begins with."""
        return shapes.NewRecipientSerializer(*args, **kwargs)

    @extend_schema(
        operation_id="recipients_list", summary="List recipients", tags=["notifications"],
        responses={200: shapes.RecipientSerializer(many=True)},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Return the addresses that were added in all your accounts."""
        rows: QuerySet[Recipient] = Recipient.objects.filter(account__in=account_ids(user_of(request)))
        return Response(shapes.RecipientSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="recipients_add", summary="Add a recipient", tags=["notifications"], request=shapes.NewRecipientSerializer,
        responses={201: shapes.RecipientSerializer, **problems(404)},
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Ask an address by mail; it can be written to once somebody there has confirmed."""
        form = shapes.NewRecipientSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        user = user_of(request)
        account = owner(user, form.validated_data.get("account"))
        try:
            one = services.recipients.add(account=account, text=form.validated_data["address"], user=user)
        except services.recipients.RecipientRefused as error:
            raise invalid({"address": [str(error)]}) from error
        return Response(shapes.RecipientSerializer(one).data, status=status.HTTP_201_CREATED)


class RecipientView(StrictQuery):
    """One recipient."""

    name = "Recipient"

    @extend_schema(
        operation_id="recipients_remove", summary="Remove a recipient", tags=["notifications"], parameters=[RECIPIENT_ID],
        responses={204: OpenApiResponse(description="It is not written to any more.")},
    )  # fmt: skip
    def delete(self, request: Request, recipient_id: str) -> Response:
        """Take an address out of the list."""
        access_recipient(user_of(request), recipient_id, Action.MANAGE).delete()
        return Response(status=status.HTTP_204_NO_CONTENT)


class StandardView(StrictQuery):
    """To whom a device writes by default, and what."""

    name = "Default notification"

    def get_serializer(self, *args: Any, **kwargs: Any) -> BaseSerializer[Any]:
        """Return what the form of the browsable pages begins with."""
        return shapes.StandardSerializer(*args, **kwargs)

    @extend_schema(
        operation_id="notification_default_read", summary="Read a device's default notification", tags=["notifications"],
        parameters=[DEVICE_ID], responses={200: shapes.StandardSerializer},
    )  # fmt: skip
    def get(self, request: Request, device_id: str) -> Response:
        """Return what is stored; empty texts where nothing is."""
        device = access_device(user_of(request), device_id)
        return Response(shapes.StandardSerializer(services.standard.standard_of(device)).data)

    @extend_schema(
        operation_id="notification_default_set", summary="Set a device's default notification", tags=["notifications"],
        parameters=[DEVICE_ID], request=shapes.StandardSerializer, responses={200: shapes.StandardSerializer},
    )  # fmt: skip
    def put(self, request: Request, device_id: str) -> Response:
        """Store to whom the device writes, and what, where it leaves recipient or message empty."""
        device = access_device(user_of(request), device_id, Action.MANAGE)
        form = shapes.StandardSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        try:
            one = services.standard.set_standard(device=device, **form.validated_data)
        except BadRecipient as error:
            raise invalid({"recipient": [str(error)]}) from error
        return Response(shapes.StandardSerializer(one).data)
