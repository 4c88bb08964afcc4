"""Certificates in the API: list, renew, revoke, let an expired one in again, PKCS #12."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from accounts.access import Action
from accounts.api.authentication import user_of
from devices import pki, services
from devices.access import access_device
from devices.api import certificate_serializers as shapes
from devices.api.common import DEVICE_ID, file_response, problem_of
from devices.certificates import access_certificate
from devices.downloads import pkcs12
from devices.models import Certificate, Device
from iotportal.openapi import problems
from iotportal.pagination import PAGE_PARAMETERS, PAGE_QUERY
from iotportal.problems import Problem, invalid
from iotportal.queries import StrictQuery

CERTIFICATE_ID = OpenApiParameter(
    "certificate_id", {"type": "string", "pattern": "^[0-9a-f]{32}$"}, OpenApiParameter.PATH, description="32 hex digits."
)
STATUS = OpenApiParameter("status", str, enum=Certificate.Status.values, description="Only certificates that stand so.")


class _CertificatesView(StrictQuery, GenericAPIView[Certificate]):
    """A list of certificates that can be narrowed by `status`."""

    serializer_class: type[BaseSerializer[Any]] = shapes.CertificateSerializer

    def _page(self, request: Request, certificates: QuerySet[Certificate]) -> Response:
        if "status" in request.query_params:
            wanted = request.query_params["status"]
            if wanted not in Certificate.Status.values:
                raise invalid({"status": [f"One of {', '.join(Certificate.Status.values)}."]})
            certificates = certificates.filter(status=wanted)
        page = self.paginate_queryset(certificates)
        return self.get_paginated_response(shapes.CertificateSerializer(page, many=True).data)


class AllCertificatesView(_CertificatesView):
    """The certificates of all your devices."""

    name = "Certificates"
    query = ("status", *PAGE_QUERY)

    @extend_schema(
        operation_id="certificates_list_all",
        summary="List the certificates of all devices",
        tags=["certificates"],
        parameters=[STATUS, *PAGE_PARAMETERS],
        responses={200: shapes.CertificatePageSerializer},
    )
    def get(self, request: Request) -> Response:
        """Return one page, the oldest first; `not_after` says when each ends."""
        return self._page(request, Certificate.objects.filter(device__in=Device.objects.for_user(user_of(request))))


class CertificateListView(_CertificatesView):
    """The certificates of a device."""

    name = "Certificates"
    query = ("status", *PAGE_QUERY)

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        """Return what a renewal takes, or what the list shows."""
        return shapes.RenewSerializer if self.request.method == "POST" else self.serializer_class

    @extend_schema(
        operation_id="certificates_list",
        summary="List a device's certificates",
        tags=["certificates"],
        parameters=[DEVICE_ID, STATUS, *PAGE_PARAMETERS],
        responses={200: shapes.CertificatePageSerializer},
    )
    def get(self, request: Request, device_id: str) -> Response:
        """Return one page, the oldest first, revoked ones included."""
        device = access_device(user_of(request), device_id)
        return self._page(request, Certificate.objects.filter(device=device))

    @extend_schema(
        operation_id="certificates_renew",
        summary="Give a device a new certificate",
        tags=["certificates"],
        parameters=[DEVICE_ID],
        request=shapes.RenewSerializer,
        responses={201: shapes.IssuedSerializer},
    )
    def post(self, request: Request, device_id: str) -> Response:
        """Issue a new certificate; the old one works until the device was seen with the new, for a few weeks at the most."""
        device = access_device(user_of(request), device_id, Action.MANAGE)
        form = shapes.RenewSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        try:
            made = services.renew_certificate(device=device, by=user_of(request), **form.validated_data)
        except (services.CsrRefused, services.DeviceGone) as error:
            raise problem_of(error) from error
        key = made.private_key_pem and made.private_key_pem.decode("ascii")
        pems = {"root_ca": pki.authority().root_pem.decode("ascii"), "private_key": key}
        answer = {**shapes.CertificateSerializer(made.certificate).data, **pems}
        return Response(answer, status=status.HTTP_201_CREATED, headers={"Cache-Control": "no-store"})


class _CertificateView(StrictQuery):
    """One certificate of a device."""

    def _certificate(self, device_id: str, certificate_id: str, action: Action) -> Certificate:
        try:
            key = UUID(hex=certificate_id)
        except ValueError:
            raise Problem(404, "not_found", "No such certificate.") from None
        return access_certificate(user_of(self.request), device_id, key, action)

    def _shown(self, certificate: Certificate) -> Response:
        certificate.refresh_from_db()
        return Response(shapes.CertificateSerializer(certificate).data)


class CertificateView(_CertificateView):
    """One certificate."""

    name = "Certificate"

    @extend_schema(
        operation_id="certificates_read",
        summary="Read a certificate",
        tags=["certificates"],
        parameters=[DEVICE_ID, CERTIFICATE_ID],
        responses={200: shapes.CertificateSerializer},
    )
    def get(self, request: Request, device_id: str, certificate_id: str) -> Response:
        """Return the certificate and how it stands."""
        return self._shown(self._certificate(device_id, certificate_id, Action.READ))


class RevokeView(_CertificateView, GenericAPIView[Certificate]):
    """Revoke a certificate."""

    name = "Revoke"
    serializer_class: type[BaseSerializer[Any]] = shapes.RevokeSerializer

    @extend_schema(
        operation_id="certificates_revoke",
        summary="Revoke a certificate",
        tags=["certificates"],
        parameters=[DEVICE_ID, CERTIFICATE_ID],
        request=shapes.RevokeSerializer,
        responses={200: shapes.CertificateSerializer},
    )
    def post(self, request: Request, device_id: str, certificate_id: str) -> Response:
        """Refuse it for ever and cut the connection that was made with it. Once revoked it stays so, with its first reason."""
        certificate = self._certificate(device_id, certificate_id, Action.MANAGE)
        form = shapes.RevokeSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        services.revoke_certificate(certificate=certificate, by=user_of(request), **form.validated_data)
        return self._shown(certificate)


class RescueView(_CertificateView, GenericAPIView[Certificate]):
    """Let an expired certificate in again."""

    name = "Rescue"
    serializer_class: type[BaseSerializer[Any]] = shapes.NothingSerializer

    @extend_schema(
        operation_id="certificates_rescue",
        summary="Let a device in with its expired certificate for 24 hours",
        tags=["certificates"],
        parameters=[DEVICE_ID, CERTIFICATE_ID],
        request=shapes.NothingSerializer,
        responses={200: shapes.CertificateSerializer, **problems(409)},
    )
    def post(self, request: Request, device_id: str, certificate_id: str) -> Response:
        """Let whoever has its key connect as this device for 24 hours, so that it can be given a new certificate."""
        certificate = self._certificate(device_id, certificate_id, Action.MANAGE)
        shapes.NothingSerializer(data=request.data).is_valid(raise_exception=True)
        try:
            services.rescue_certificate(certificate=certificate, by=user_of(request))
        except services.NotExpired as error:
            raise Problem(409, "not_expired", str(error)) from error
        return self._shown(certificate)


class Pkcs12View(StrictQuery, GenericAPIView[Device]):
    """Key and certificate in one encrypted file."""

    name = "PKCS #12"
    required_action = Action.MANAGE
    serializer_class: type[BaseSerializer[Any]] = shapes.PasswordSerializer

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """A file is what it is; only an error can be shown in another way."""
        return APIView.perform_content_negotiation(self, request, force=True)

    @extend_schema(
        operation_id="devices_pkcs12",
        summary="Download key and certificate as PKCS #12",
        tags=["certificates"],
        parameters=[DEVICE_ID],
        request=shapes.PasswordSerializer,
        responses={(200, "application/x-pkcs12"): OpenApiTypes.BINARY, **problems(409)},
    )
    def post(self, request: Request, device_id: str) -> HttpResponse:
        """Return key, certificate and authorities in one file, encrypted (AES-256) with the password that you choose."""
        device = access_device(user_of(request), device_id, Action.MANAGE)
        form = shapes.PasswordSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        try:
            return file_response(pkcs12(device, form.validated_data["password"]))
        except services.KeyUnavailable as error:
            raise Problem(409, "key_unavailable", str(error)) from error
