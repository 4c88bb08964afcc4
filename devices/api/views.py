"""Devices in the API."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts.access import Action
from accounts.services import personal_account
from devices import services
from devices.access import access_device
from devices.api.serializers import ChangeSerializer, DeviceSerializer, RegisteredSerializer, RegisterSerializer
from devices.downloads import File, KeyUnavailable, device_files, download
from devices.models import Device
from iotportal.openapi import problems
from iotportal.problems import Problem

DEVICE_ID = OpenApiParameter(
    "device_id", {"type": "string", "pattern": "^[0-9a-f]{32}$"}, OpenApiParameter.PATH, description="32 hex digits."
)


def _problem_of(error: Exception) -> Problem:
    """Say a registry error as the API says errors."""
    if isinstance(error, services.NameTaken):
        return Problem(409, "name_taken", str(error), errors={"name": [str(error)]})
    if isinstance(error, services.InvalidName):
        return Problem(400, "invalid", "Some fields are not right.", errors={"name": [str(error)]})
    return Problem(404, "not_found", "No such device.")


class DeviceListView(GenericAPIView[Device]):
    """The devices of the caller's accounts, oldest first."""

    serializer_class: type[BaseSerializer[Any]] = DeviceSerializer

    def get_queryset(self) -> QuerySet[Device]:
        """Return what the caller may see."""
        return Device.objects.for_user(self.request.user).order_by("created_at", "id")

    @extend_schema(operation_id="devices_list", summary="List devices", tags=["devices"])
    def get(self, request: Request) -> Response:
        """Return one page of devices."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(
        operation_id="devices_register",
        summary="Register a device",
        tags=["devices"],
        request=RegisterSerializer,
        responses={201: RegisteredSerializer, **problems(409)},
    )
    def post(self, request: Request) -> Response:
        """Register a device in the caller's own account; the answer has its certificate and private key."""
        form = RegisterSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        try:
            made = services.register_device(account=personal_account(request.user), **form.validated_data)
        except (services.NameTaken, services.InvalidName) as error:
            raise _problem_of(error) from error
        files = device_files(made.device)
        pems = {"root_ca": files.root_ca, "certificate": files.certificate, "private_key": made.private_key_pem or b""}
        answer = {**DeviceSerializer(made.device).data, **{name: pem.decode("ascii") for name, pem in pems.items()}}
        return Response(answer, status=status.HTTP_201_CREATED)


class DeviceView(GenericAPIView[Device]):
    """One device."""

    serializer_class: type[BaseSerializer[Any]] = DeviceSerializer

    def _device(self, device_id: str, action: Action) -> Device:
        return access_device(self.request.user, device_id, action)

    @extend_schema(operation_id="devices_read", summary="Read a device", tags=["devices"], parameters=[DEVICE_ID])
    def get(self, request: Request, device_id: str) -> Response:
        """Return the device."""
        return Response(self.get_serializer(self._device(device_id, Action.READ)).data)

    @extend_schema(
        operation_id="devices_change",
        summary="Rename a device or change its profile",
        tags=["devices"],
        parameters=[DEVICE_ID],
        request=ChangeSerializer,
        responses={200: DeviceSerializer, **problems(409)},
    )
    def patch(self, request: Request, device_id: str) -> Response:
        """Change what is given and leave the rest."""
        device = self._device(device_id, Action.MANAGE)
        form = ChangeSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        try:
            if "name" in form.validated_data:
                device = services.rename_device(device=device, name=form.validated_data["name"])
            if "profile" in form.validated_data:
                device = services.change_profile(device=device, profile=form.validated_data["profile"])
        except (services.NameTaken, services.InvalidName, services.DeviceGone) as error:
            raise _problem_of(error) from error
        return Response(self.get_serializer(self._device(device_id, Action.READ)).data)

    @extend_schema(
        operation_id="devices_delete",
        summary="Delete a device",
        tags=["devices"],
        parameters=[DEVICE_ID],
        responses={204: OpenApiResponse(description="Deleted: the certificate is revoked and the connection closed.")},
    )
    def delete(self, request: Request, device_id: str) -> Response:
        """Revoke the certificate, refuse new connections, close the open one. Its history stays."""
        services.delete_device(device=self._device(device_id, Action.MANAGE))
        return Response(status=status.HTTP_204_NO_CONTENT)


class DeviceFileView(GenericAPIView[Device]):
    """What a device needs to connect."""

    required_action = Action.MANAGE
    serializer_class = DeviceSerializer

    @extend_schema(
        operation_id="devices_file",
        summary="Download a device's file",
        tags=["devices"],
        parameters=[DEVICE_ID, OpenApiParameter("name", str, OpenApiParameter.PATH, enum=[str(file) for file in File])],
        responses={(200, "*/*"): OpenApiTypes.BINARY, **problems(409)},
    )
    def get(self, request: Request, device_id: str, name: str) -> HttpResponse:
        """Return the file; the zip also is a simulator of the device (`python3 device.zip`)."""
        device = access_device(request.user, device_id, Action.MANAGE)
        try:
            file = download(device, File(name))
        except ValueError as error:
            raise Problem(404, "not_found", "There is no such file.") from error
        except KeyUnavailable as error:
            raise Problem(409, "key_unavailable", str(error)) from error
        headers = {"Content-Disposition": f'attachment; filename="{file.filename}"', "Cache-Control": "no-store"}
        return HttpResponse(file.content, content_type=file.content_type, headers=headers)
