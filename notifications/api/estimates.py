"""What a notification would cost, in the API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts.access import Action
from accounts.api.authentication import user_of
from accounts.services import personal_account
from devices.access import access_device
from iotportal.openapi import problems
from iotportal.queries import StrictQuery
from iotportal.serializers import StrictSerializer, TextField
from notifications import services
from notifications.api.serializers import IN_WHOSE_NAME, RECIPIENT
from notifications.models import ADDRESS_CHARACTERS, MESSAGE_CHARACTERS, Channel
from notifications.reasons import in_words
from notifications.services.estimates import Estimate


class AskedEstimateSerializer(StrictSerializer):
    """What would be said to whom."""

    recipient = TextField(max_length=ADDRESS_CHARACTERS, help_text=RECIPIENT)
    message = TextField(required=False, allow_blank=True, max_length=MESSAGE_CHARACTERS)
    device = TextField(required=False, help_text=IN_WHOSE_NAME)


class EstimateSerializer(serializers.Serializer[Estimate]):
    """What one notification would cost, and whether it would be sent."""

    channel = serializers.ChoiceField(choices=Channel.choices, allow_blank=True, help_text="Empty where the recipient is none.")
    recipient = serializers.CharField(help_text="In its normal form.")
    credits = serializers.IntegerField(allow_null=True, help_text="What it would cost now; null where there is no price.")
    pays_for = serializers.IntegerField(help_text="How many such the credits pay for together.")
    left = serializers.IntegerField(help_text="How many such are paid already.")
    country = serializers.CharField(help_text="Of an SMS: two letters (ISO 3166-1).")
    segments = serializers.IntegerField(allow_null=True, help_text="Of an SMS: how many parts it has.")
    is_cut = serializers.BooleanField(help_text="An SMS that is longer than what is sent of it.")
    reason = serializers.CharField(help_text="Why it would not be sent; empty if it would.")
    reason_text = serializers.SerializerMethodField(help_text="The same in words.")

    def get_reason_text(self, found: Estimate) -> str:
        """Return why in words."""
        return in_words(found.reason)


class EstimateView(StrictQuery):
    """What saying something would cost."""

    name = "Estimate"
    required_action = Action.CONTROL

    def get_serializer(self, *args: Any, **kwargs: Any) -> BaseSerializer[Any]:
        """Return what the form of the browsable pages begins with."""
        return AskedEstimateSerializer(*args, **kwargs)

    @extend_schema(
        operation_id="notifications_estimate", summary="Ask what a notification would cost", tags=["notifications"],
        request=AskedEstimateSerializer, responses={200: EstimateSerializer, **problems(404)},
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Say what this message to this recipient would cost, and whether it would be sent. Nothing is sent, kept or paid."""
        form = AskedEstimateSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        given, user = form.validated_data, user_of(request)
        device = access_device(user, given["device"], Action.CONTROL) if "device" in given else None
        found = services.estimates.estimate(
            account=device.account if device else personal_account(user), recipient=given["recipient"],
            message=given.get("message", ""), device=device,
        )  # fmt: skip
        return Response(EstimateSerializer(found).data)
