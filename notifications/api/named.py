"""Webhooks and other services in the API. Where one leads is never read back, and the secret of a webhook is told once."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts.access import Action
from accounts.api.authentication import user_of
from devices.api.serializers import HexField
from iotportal.openapi import problems
from iotportal.outward import URL_CHARACTERS
from iotportal.problems import invalid
from iotportal.queries import StrictQuery
from iotportal.serializers import StrictSerializer, TextField
from iotportal.uuid7 import uuid7
from messaging.selectors import account_ids
from notifications import services
from notifications.access import access_named
from notifications.api.owners import OF_ACCOUNT, owner
from notifications.api.serializers import NotificationSerializer
from notifications.models import Channel, Recipient

_HEX = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
WEBHOOK_ID = OpenApiParameter("webhook_id", _HEX, OpenApiParameter.PATH, description="32 hex digits.")
SERVICE_ID = OpenApiParameter("service_id", _HEX, OpenApiParameter.PATH, description="32 hex digits.")
_GONE = {204: OpenApiResponse(description="It is not written to any more."), **problems(404)}
_NAMED: tuple[str, ...] = ("id", "account", "name", "recipient", "host", "created_at")


class WebhookSerializer(serializers.ModelSerializer[Recipient]):
    """A webhook; its URL and its secret are not read back."""

    id = HexField(read_only=True)
    account = HexField(source="account_id", read_only=True)
    name = serializers.CharField(source="address", read_only=True)
    recipient = serializers.CharField(source="spelled", read_only=True, help_text="As devices name it.")

    class Meta:
        model = Recipient
        fields: tuple[str, ...] = _NAMED


class MadeWebhookSerializer(WebhookSerializer):
    """A webhook that was just added, with its secret."""

    secret = serializers.CharField(help_text="By which what is posted is signed. It is told this once.")

    class Meta(WebhookSerializer.Meta):
        fields = (*_NAMED, "secret")


class ServiceSerializer(WebhookSerializer):
    """Another service; its URL is not read back."""

    host = serializers.CharField(read_only=True, help_text="What Apprise calls the service.")


class NewNamedSerializer(StrictSerializer):
    """A name, and where it leads."""

    name = TextField(max_length=40, help_text="a to z, digits, - and _.")
    url = TextField(max_length=URL_CHARACTERS)
    account = TextField(required=False, help_text=OF_ACCOUNT)


class NewWebhookSerializer(NewNamedSerializer):
    """A webhook to add."""

    url = TextField(max_length=URL_CHARACTERS, help_text="https, on the public Internet.")


class NewServiceSerializer(NewNamedSerializer):
    """A service to add."""

    url = TextField(max_length=URL_CHARACTERS, help_text="As Apprise spells it. It holds keys, so it is kept sealed.")


class _View(StrictQuery):
    """What webhooks and services have in common."""

    channel: Channel
    form: type[NewNamedSerializer]

    def get_serializer(self, *args: Any, **kwargs: Any) -> BaseSerializer[Any]:
        """Return what the form of the browsable pages begins with."""
        return self.form(*args, **kwargs)

    def listed(self, request: Request) -> Any:
        """Return those of all accounts of the caller."""
        return Recipient.objects.filter(account__in=account_ids(user_of(request)), channel=self.channel)

    def add(self, request: Request, service: Any) -> Any:
        """Add what the body says by a function of `services.named`; what that refuses is a 400 that says why."""
        form = self.form(data=request.data)
        form.is_valid(raise_exception=True)
        given, user = form.validated_data, user_of(request)
        account = owner(user, given.get("account"))
        try:
            return service(account=account, name=given["name"], url=given["url"], user=user)
        except services.named.NamedRefused as error:
            raise invalid({error.about: [str(error)]}) from error

    def one(self, request: Request, key: str, action: Action = Action.READ) -> Recipient:
        """Return the one that is asked for."""
        return access_named(user_of(request), key, self.channel, action)

    def removed(self, request: Request, key: str) -> Response:
        """Remove one."""
        self.one(request, key, Action.MANAGE).delete()
        return Response(status=status.HTTP_204_NO_CONTENT)

    def tested(self, request: Request, key: str) -> Response:
        """Write to one."""
        recipient = self.one(request, key, Action.MANAGE)
        sent = services.recipients.test(recipient=recipient, user=user_of(request), key=uuid7().hex)
        return Response(NotificationSerializer(sent).data, status=status.HTTP_202_ACCEPTED)


class _Webhooks(_View):
    channel, form = Channel.WEBHOOK, NewWebhookSerializer


class _Services(_View):
    channel, form = Channel.APPRISE, NewServiceSerializer


class WebhookListView(_Webhooks):
    """Webhooks of all your accounts."""

    name = "Webhooks"

    @extend_schema(
        operation_id="webhooks_list", summary="List webhooks", tags=["notifications"], responses=WebhookSerializer(many=True)
    )
    def get(self, request: Request) -> Response:
        """Return the webhooks of all your accounts, at most 20 of each."""
        return Response(WebhookSerializer(self.listed(request), many=True).data)

    @extend_schema(
        operation_id="webhooks_add", summary="Add a webhook", tags=["notifications"], request=NewWebhookSerializer,
        responses={201: MadeWebhookSerializer, **problems(404)},
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Add one. The answer has the secret by which what is posted is signed; nothing else ever has it again."""
        made, secret = self.add(request, services.named.add_webhook)
        made.secret = secret
        return Response(MadeWebhookSerializer(made).data, status=status.HTTP_201_CREATED)


class WebhookView(_Webhooks):
    """One webhook."""

    name = "Webhook"

    @extend_schema(
        operation_id="webhooks_read", summary="Read a webhook", tags=["notifications"], parameters=[WEBHOOK_ID],
        responses={200: WebhookSerializer, **problems(404)},
    )  # fmt: skip
    def get(self, request: Request, webhook_id: str) -> Response:
        """Return it, without its URL and its secret."""
        return Response(WebhookSerializer(self.one(request, webhook_id)).data)

    @extend_schema(
        operation_id="webhooks_remove", summary="Remove a webhook", tags=["notifications"], parameters=[WEBHOOK_ID],
        responses=_GONE,
    )  # fmt: skip
    def delete(self, request: Request, webhook_id: str) -> Response:
        """Remove it; what is on its way to it fails."""
        return self.removed(request, webhook_id)


class TestWebhookView(_Webhooks):
    """Trying a webhook."""

    name = "Test"
    required_action = Action.MANAGE

    @extend_schema(
        operation_id="webhooks_test", summary="Test a webhook", tags=["notifications"], parameters=[WEBHOOK_ID], request=None,
        responses={202: NotificationSerializer, **problems(404)},
    )  # fmt: skip
    def post(self, request: Request, webhook_id: str) -> Response:
        """Post something to it now. Read the notification again to see what became of it; it costs what any other does."""
        return self.tested(request, webhook_id)


class ServiceListView(_Services):
    """Other services of all your accounts."""

    name = "Services"

    @extend_schema(
        operation_id="services_list", summary="List services", tags=["notifications"], responses=ServiceSerializer(many=True)
    )
    def get(self, request: Request) -> Response:
        """Return the services (Telegram, Slack and others) of all your accounts, at most 20 of each."""
        return Response(ServiceSerializer(self.listed(request), many=True).data)

    @extend_schema(
        operation_id="services_add", summary="Add a service", tags=["notifications"], request=NewServiceSerializer,
        responses={201: ServiceSerializer, **problems(404)},
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Add one by the URL that Apprise has for it."""
        return Response(ServiceSerializer(self.add(request, services.named.add_service)).data, status=status.HTTP_201_CREATED)


class ServiceView(_Services):
    """One service."""

    name = "Service"

    @extend_schema(
        operation_id="services_read", summary="Read a service", tags=["notifications"], parameters=[SERVICE_ID],
        responses={200: ServiceSerializer, **problems(404)},
    )  # fmt: skip
    def get(self, request: Request, service_id: str) -> Response:
        """Return it, without its URL."""
        return Response(ServiceSerializer(self.one(request, service_id)).data)

    @extend_schema(
        operation_id="services_remove", summary="Remove a service", tags=["notifications"], parameters=[SERVICE_ID],
        responses=_GONE,
    )  # fmt: skip
    def delete(self, request: Request, service_id: str) -> Response:
        """Remove it; what is on its way to it fails."""
        return self.removed(request, service_id)


class TestServiceView(_Services):
    """Trying a service."""

    name = "Test"
    required_action = Action.MANAGE

    @extend_schema(
        operation_id="services_test", summary="Test a service", tags=["notifications"], parameters=[SERVICE_ID], request=None,
        responses={202: NotificationSerializer, **problems(404)},
    )  # fmt: skip
    def post(self, request: Request, service_id: str) -> Response:
        """Write to it now. Read the notification again to see what became of it; it costs what any other does."""
        return self.tested(request, service_id)
