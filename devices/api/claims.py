"""Claiming in the API: the codes, and what they give."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts.access import Action
from accounts.api.authentication import user_of
from devices import services
from devices.access import access_device
from devices.api.certificate_serializers import NothingSerializer
from devices.api.common import DEVICE_ID
from devices.api.serializers import DeviceSerializer
from devices.claiming import claim
from devices.models import Device
from iotportal.openapi import problems
from iotportal.problems import Problem, invalid
from iotportal.queries import StrictQuery
from iotportal.serializers import StrictSerializer, TextField
from iotportal.throttle import client_address


class ClaimSerializer(StrictSerializer):
    """A code."""

    code = TextField(max_length=100, help_text="As printed; case, blanks and hyphens do not count.")


class ClaimCodeSerializer(serializers.Serializer[Any]):
    """A code as it is told once."""

    code = serializers.CharField()
    expires_at = serializers.DateTimeField()


class ClaimsView(StrictQuery, GenericAPIView[Device]):
    """Make a device yours."""

    name = "Claims"
    required_action = Action.MANAGE
    serializer_class: type[BaseSerializer[Any]] = ClaimSerializer

    @extend_schema(
        operation_id="claims_make",
        summary="Make a device yours by its claim code",
        tags=["devices"],
        request=ClaimSerializer,
        responses={201: DeviceSerializer, **problems(409)},
    )
    def post(self, request: Request) -> Response:
        """Move the device to your personal account. A wrong code, a used one and one that is over are answered alike."""
        form = ClaimSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        address = client_address(request.META.get("REMOTE_ADDR"), request.META.get("HTTP_X_FORWARDED_FOR"))
        try:
            device = claim(user_of(request), form.validated_data["code"], address)
        except services.ClaimRefused as error:
            raise invalid({"code": [str(error)]}) from error
        except services.NameTaken as error:
            raise Problem(409, "name_taken", str(error)) from error
        return Response(DeviceSerializer(device).data, status=status.HTTP_201_CREATED)


class ClaimCodeView(StrictQuery, GenericAPIView[Device]):
    """The claim code of a device."""

    name = "Claim code"
    required_action = Action.MANAGE
    serializer_class: type[BaseSerializer[Any]] = NothingSerializer

    @extend_schema(
        operation_id="claim_codes_make",
        summary="Make a claim code for a device",
        tags=["devices"],
        parameters=[DEVICE_ID],
        request=NothingSerializer,
        responses={201: ClaimCodeSerializer, **problems(409)},
    )
    def post(self, request: Request, device_id: str) -> Response:
        """Make a code by which somebody can make the device theirs, once; an earlier one works no more. It is told this once."""
        user = user_of(request)
        device = access_device(user, device_id, Action.MANAGE)
        NothingSerializer(data=request.data).is_valid(raise_exception=True)
        codes = services.make_claim_codes(account=device.account, devices=[device], by=user)
        if not codes:
            raise Problem(409, "own_profile", "A device of a kind of your own cannot be claimed. Give it another kind first.")
        shown = ClaimCodeSerializer({"code": codes[0].text, "expires_at": codes[0].expires_at}).data
        return Response(shown, status=status.HTTP_201_CREATED, headers={"Cache-Control": "no-store"})

    @extend_schema(
        operation_id="claim_codes_withdraw",
        summary="Withdraw a device's claim code",
        tags=["devices"],
        parameters=[DEVICE_ID],
        responses={204: OpenApiResponse(description="No code gives the device to anybody.")},
    )
    def delete(self, request: Request, device_id: str) -> Response:
        """Make the code worthless. Twice is once."""
        services.withdraw_claim_code(device=access_device(user_of(request), device_id, Action.MANAGE))
        return Response(status=status.HTTP_204_NO_CONTENT)
