"""Passwords of devices in the API: whether there is one, make one, take it away."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import Action
from accounts.api.authentication import user_of
from devices import selectors, services
from devices.access import access_device
from devices.api.certificate_serializers import NothingSerializer
from devices.api.common import DEVICE_ID, problem_of
from devices.models import Device, DeviceSecret
from iotportal.openapi import problems
from iotportal.problems import Problem
from iotportal.queries import StrictQuery


class SecretStateSerializer(serializers.Serializer[Any]):
    """Whether a device has a password."""

    allowed = serializers.BooleanField(help_text="The operator lets devices in by password.")
    created_at = serializers.DateTimeField(allow_null=True, help_text="When it was made; null: the device has none.")
    used_at = serializers.DateTimeField(allow_null=True, help_text="When the device was first seen with it.")
    host = serializers.CharField(help_text="Where the device connects with it,")
    port = serializers.IntegerField(help_text="over TLS, with its id as user name and client id.")


class SecretSerializer(SecretStateSerializer):
    """A password that was just made."""

    password = serializers.CharField(help_text="43 characters, shown this once.")


def _state(secret: DeviceSecret | None, **more: str) -> dict[str, Any]:
    return {
        "allowed": settings.DEVICE_PASSWORDS,
        "created_at": secret and secret.created_at,
        "used_at": secret and secret.used_at,
        "host": settings.DEVICE_HOST,
        "port": settings.DEVICE_PASSWORD_PORT,
        **more,
    }


class SecretView(StrictQuery, GenericAPIView[Device]):
    """The password of a device that cannot hold a certificate."""

    name = "Password"

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        """Return what a request takes, or what is shown."""
        return NothingSerializer if self.request.method == "POST" else SecretStateSerializer

    @extend_schema(
        operation_id="devices_password_read",
        summary="Say whether a device has a password",
        tags=["certificates"],
        parameters=[DEVICE_ID],
        responses={200: SecretStateSerializer},
    )
    def get(self, request: Request, device_id: str) -> Response:
        """Return when it was made and first used; never the password."""
        secret = selectors.secret_of(access_device(user_of(request), device_id))
        return Response(SecretStateSerializer(_state(secret)).data)

    @extend_schema(
        operation_id="devices_password_make",
        summary="Give a device a new password",
        tags=["certificates"],
        parameters=[DEVICE_ID],
        request=NothingSerializer,
        responses={201: SecretSerializer, **problems(409)},
    )
    def post(self, request: Request, device_id: str) -> Response:
        """Make a password and return it, this once. An earlier one ends, and a connection made with it is cut."""
        device = access_device(user_of(request), device_id, Action.MANAGE)
        NothingSerializer(data=request.data).is_valid(raise_exception=True)
        try:
            password = services.issue_secret(device=device, by=user_of(request))
        except services.SecretsForbidden as error:
            raise Problem(409, "passwords_off", str(error)) from error
        except services.DeviceGone as error:
            raise problem_of(error) from error
        shown = SecretSerializer(_state(selectors.secret_of(device), password=password)).data
        return Response(shown, status.HTTP_201_CREATED, headers={"Cache-Control": "no-store"})

    @extend_schema(
        operation_id="devices_password_revoke",
        summary="Take a device's password away",
        tags=["certificates"],
        parameters=[DEVICE_ID],
        responses={204: None},
    )
    def delete(self, request: Request, device_id: str) -> Response:
        """Revoke it for ever and cut a connection made with it; also where there is none."""
        services.revoke_secret(device=access_device(user_of(request), device_id, Action.MANAGE), by=user_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)
