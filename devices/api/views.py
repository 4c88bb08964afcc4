"""Devices and their kinds in the API."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts.access import Action, access_account
from accounts.api.authentication import user_of
from accounts.services import personal_account
from devices import services
from devices.access import access_device
from devices.api import serializers as shapes
from devices.api.common import DEVICE_ID, file_response, problem_of
from devices.downloads import PUBLIC_FILES, File, KeyUnavailable, device_files, download
from devices.models import Device
from devices.names import DEVICE_NAME_LENGTH
from iotportal.openapi import problems
from iotportal.pagination import PAGE_QUERY
from iotportal.problems import Problem
from iotportal.queries import StrictQuery
from iotportal.serializers import StrictSerializer, TextField

NAME = OpenApiParameter(
    "name",
    {"type": "string", "maxLength": DEVICE_NAME_LENGTH},
    description="Only the device of this name; upper and lower case count as the same.",
)


ACCOUNT = OpenApiParameter(
    "account",
    {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    description="Only the devices of this account; 404 where it is none of yours.",
)


def _file(*files: File) -> OpenApiParameter:
    """Return the parameter that names one of these files."""
    return OpenApiParameter(
        "name", str, OpenApiParameter.PATH, enum=[str(file) for file in files], description="What the file is called."
    )


class DeviceListView(StrictQuery, GenericAPIView[Device]):
    """The devices of your accounts."""

    query = ("name", "account", *PAGE_QUERY)
    serializer_class: type[BaseSerializer[Any]] = shapes.DeviceSerializer

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        """Return what a registration takes, or what the list shows."""
        return shapes.RegisterSerializer if self.request.method == "POST" else self.serializer_class

    def get_queryset(self) -> QuerySet[Device]:
        """Return what the caller may see."""
        return Device.objects.for_user(user_of(self.request))

    def get(self, request: Request) -> Response:
        """Return one page of devices, the oldest first."""
        devices = self.get_queryset()
        form = _ListQuery(data={name: request.query_params[name] for name in ("name", "account") if name in request.query_params})
        form.is_valid(raise_exception=True)
        if "name" in form.validated_data:
            devices = devices.filter(name__iexact=form.validated_data["name"])
        if "account" in form.validated_data:
            devices = devices.filter(account=access_account(user_of(request), form.validated_data["account"]))
        page = self.paginate_queryset(devices)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(
        operation_id="devices_register",
        summary="Register a device",
        tags=["devices"],
        request=shapes.RegisterSerializer,
        responses={201: shapes.RegisteredSerializer, **problems(404, 409)},
    )
    def post(self, request: Request) -> Response:
        """Register a device; the answer has its certificate and, unless you brought a request, its key.

        It belongs to your personal account, or to another one of which you are an admin or owner.
        """
        form = shapes.RegisterSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        user, given = user_of(request), dict(form.validated_data)
        wanted = given.pop("account", None)
        account = personal_account(user) if wanted is None else access_account(user, wanted, Action.MANAGE)
        try:
            made = services.register_device(account=account, by=user, **given)
        except (services.NameTaken, services.InvalidName, services.UnknownProfile, services.CsrRefused) as error:
            raise problem_of(error) from error
        files = device_files(made.device)
        pems = {"root_ca": files.root_ca, "certificate": files.certificate, "private_key": made.private_key_pem}
        answer = {**shapes.DeviceSerializer(made.device).data, **{name: pem and pem.decode() for name, pem in pems.items()}}
        return Response(answer, status=status.HTTP_201_CREATED, headers={"Cache-Control": "no-store"})


class _ListQuery(StrictSerializer):
    """The filter of the device list."""

    name = TextField(max_length=DEVICE_NAME_LENGTH, allow_blank=True, required=False)
    account = shapes.HexField(required=False)


class DeviceView(StrictQuery, GenericAPIView[Device]):
    """One device."""

    serializer_class: type[BaseSerializer[Any]] = shapes.DeviceSerializer

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        """Return what a change takes, or what a device looks like."""
        return shapes.ChangeSerializer if self.request.method == "PATCH" else self.serializer_class

    def _device(self, device_id: str, action: Action) -> Device:
        return access_device(user_of(self.request), device_id, action)

    def _shown(self, device_id: str) -> Response:
        return Response(self.serializer_class(self._device(device_id, Action.READ)).data)

    @extend_schema(operation_id="devices_read", summary="Read a device", tags=["devices"], parameters=[DEVICE_ID])
    def get(self, request: Request, device_id: str) -> Response:
        """Return the device with what is known of its connection."""
        return self._shown(device_id)

    @extend_schema(
        operation_id="devices_change",
        summary="Rename a device or change its profile",
        tags=["devices"],
        parameters=[DEVICE_ID],
        request=shapes.ChangeSerializer,
        responses={200: shapes.DeviceSerializer, **problems(409)},
    )
    def patch(self, request: Request, device_id: str) -> Response:
        """Change what is given and leave the rest."""
        device = self._device(device_id, Action.MANAGE)
        form = shapes.ChangeSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        try:
            with transaction.atomic():
                if "name" in form.validated_data:
                    device = services.rename_device(device=device, name=form.validated_data["name"], by=user_of(request))
                if "profile" in form.validated_data:
                    device = services.change_profile(device=device, profile=form.validated_data["profile"], by=user_of(request))
        except (services.NameTaken, services.InvalidName, services.UnknownProfile, services.DeviceGone) as error:
            raise problem_of(error) from error
        return self._shown(device_id)

    @extend_schema(
        operation_id="devices_delete",
        summary="Delete a device",
        tags=["devices"],
        parameters=[DEVICE_ID],
        responses={204: OpenApiResponse(description="Deleted: the certificate is revoked and the connection closed.")},
    )
    def delete(self, request: Request, device_id: str) -> Response:
        """Revoke the certificate, refuse new connections, close the open one. The device's history stays."""
        if not services.delete_device(device=self._device(device_id, Action.MANAGE)):
            raise services.DeviceGone
        return Response(status=status.HTTP_204_NO_CONTENT)


class DeviceFileView(StrictQuery):
    """What a device needs to connect."""

    name = "File"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Certificates are for everybody who sees the device, keys for those who manage it."""
        public = request.method != "DELETE" and kwargs["name"] in PUBLIC_FILES
        self.required_action = Action.READ if public else Action.MANAGE
        super().initial(request, *args, **kwargs)

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """A file is what it is; only an error can be shown in another way."""
        return super().perform_content_negotiation(request, force=True)

    @extend_schema(
        operation_id="devices_file",
        summary="Download a device's file",
        tags=["devices"],
        parameters=[DEVICE_ID, _file(*File)],
        responses={
            (200, "application/x-pem-file"): OpenApiTypes.BINARY,
            (200, "application/zip"): OpenApiTypes.BINARY,
            (200, "text/x-c"): OpenApiTypes.BINARY,
            **problems(409),
        },
    )
    def get(self, request: Request, device_id: str, name: str) -> HttpResponse:
        """Return the file; the zip also is a simulator of the device (`python3 device.zip`)."""
        device = access_device(user_of(request), device_id, self.required_action)
        try:
            file = download(device, File(name))
        except ValueError as error:
            raise Problem(404, "not_found", "There is no such file.") from error
        except KeyUnavailable as error:
            raise Problem(409, "key_unavailable", str(error)) from error
        return file_response(file)

    @extend_schema(
        operation_id="devices_forget_file",
        summary="Destroy the portal's copy of a private key",
        tags=["devices"],
        parameters=[DEVICE_ID, _file(File.PRIVATE_KEY)],
        responses={204: OpenApiResponse(description="The portal has no copy any more. The device keeps working with its own.")},
    )
    def delete(self, request: Request, device_id: str, name: str) -> Response:
        """Forget the key for ever: only `device.key` can be deleted. Twice is once."""
        device = access_device(user_of(request), device_id, Action.MANAGE)
        if name != File.PRIVATE_KEY:
            raise Problem(404, "not_found", "Only device.key can be deleted.")
        services.forget_key(device=device, by=user_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)
