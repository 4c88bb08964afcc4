"""Rules in the API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts.access import Action
from accounts.api.authentication import user_of
from devices.access import access_device
from devices.api.serializers import DeviceIdField, HexField
from iotportal.openapi import problems
from iotportal.problems import invalid
from iotportal.queries import StrictQuery
from iotportal.serializers import ChoiceField, StrictSerializer, TextField
from iotportal.uuid7 import uuid7
from messaging.selectors import account_ids
from notifications import services
from notifications.access import access_rule
from notifications.api.serializers import NotificationSerializer
from notifications.models import ADDRESS_CHARACTERS, Comparison, Rule
from notifications.templating.events import RULE_VARIABLES

_HEX = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
RULE_ID = OpenApiParameter("rule_id", _HEX, OpenApiParameter.PATH, description="32 hex digits.")
_GAPS = ", ".join(f"{{{name}}}" for name in RULE_VARIABLES)


class RuleSerializer(serializers.ModelSerializer[Rule]):
    """A rule: whom to tell when a device says something."""

    id = HexField(read_only=True)
    account = HexField(source="account_id", read_only=True)
    device = DeviceIdField(source="device_id", read_only=True)

    class Meta:
        model = Rule
        fields = (
            "id", "account", "device", "api", "field", "comparison", "value", "only_field", "only_value", "recipient", "message",
            "every_minutes", "urgent", "enabled", "created_at", "told_at", "told_value",
        )  # fmt: skip


class RuleWordsSerializer(StrictSerializer):
    """What can be said of a rule, and changed."""

    api = TextField(max_length=64, help_text="Of the device's message; with fails of the command, * for any.")
    field = TextField(
        required=False,
        allow_blank=True,
        max_length=64,
        help_text="Of the message's JSON; a.b is b of the object a. None for fails.",
    )
    comparison = ChoiceField(choices=Comparison.choices)
    value = TextField(required=False, allow_blank=True, max_length=100, help_text="What it is compared with.")
    only_field = TextField(required=False, allow_blank=True, max_length=64, help_text="Only messages in which this field …")
    only_value = TextField(required=False, allow_blank=True, max_length=100, help_text="… has this value.")
    recipient = TextField(max_length=ADDRESS_CHARACTERS, help_text="As of a notification.")
    message = TextField(required=False, allow_blank=True, max_length=1000, help_text=f"With the gaps {_GAPS}.")
    every_minutes = serializers.IntegerField(required=False, min_value=1, max_value=10_080, help_text="At most once in so many.")
    urgent = serializers.BooleanField(required=False, help_text="Goes out in quiet hours too.")
    enabled = serializers.BooleanField(required=False)


class NewRuleSerializer(RuleWordsSerializer):
    """A rule to be made."""

    device = TextField(help_text="The device that says it.")


class RuleListView(StrictQuery):
    """Rules of all your accounts."""

    name = "Rules"

    def get_serializer(self, *args: Any, **kwargs: Any) -> BaseSerializer[Any]:
        """Return what the form of the browsable pages begins with."""
        return NewRuleSerializer(*args, **kwargs)

    @extend_schema(
        operation_id="rules_list", summary="List rules", tags=["notifications"], responses={200: RuleSerializer(many=True)}
    )
    def get(self, request: Request) -> Response:
        """Return the rules of all your accounts, at most 200 of each."""
        found = Rule.objects.filter(account__in=account_ids(user_of(request))).select_related("device")
        return Response(RuleSerializer(found, many=True).data)

    @extend_schema(
        operation_id="rules_make", summary="Make a rule", tags=["notifications"], request=NewRuleSerializer,
        responses={201: RuleSerializer, **problems(404)},
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Have somebody told when a device says something. It takes the right to manage the device."""
        form = NewRuleSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        given = dict(form.validated_data)
        device = access_device(user_of(request), given.pop("device"), Action.MANAGE)
        rule = _save(request, Rule(device=device, account_id=device.account_id, **given))
        return Response(RuleSerializer(rule).data, status=status.HTTP_201_CREATED)


class RuleView(StrictQuery):
    """One rule."""

    name = "Rule"

    def get_serializer(self, *args: Any, **kwargs: Any) -> BaseSerializer[Any]:
        """Return what the form of the browsable pages begins with."""
        return RuleWordsSerializer(*args, **kwargs)

    @extend_schema(
        operation_id="rules_read", summary="Read a rule", tags=["notifications"], parameters=[RULE_ID],
        responses={200: RuleSerializer, **problems(404)},
    )  # fmt: skip
    def get(self, request: Request, rule_id: str) -> Response:
        """Return it, with when it last told somebody."""
        return Response(RuleSerializer(access_rule(user_of(request), rule_id)).data)

    @extend_schema(
        operation_id="rules_change", summary="Change a rule", tags=["notifications"], parameters=[RULE_ID],
        request=RuleWordsSerializer(partial=True), responses={200: RuleSerializer, **problems(404)},
    )  # fmt: skip
    def patch(self, request: Request, rule_id: str) -> Response:
        """Change what is given of it, or switch it on or off. It forgets what it told last."""
        rule = access_rule(user_of(request), rule_id, Action.MANAGE)
        form = RuleWordsSerializer(data=request.data, partial=True)
        form.is_valid(raise_exception=True)
        for name, value in form.validated_data.items():
            setattr(rule, name, value)
        return Response(RuleSerializer(_save(request, rule)).data)

    @extend_schema(
        operation_id="rules_delete", summary="Delete a rule", tags=["notifications"], parameters=[RULE_ID],
        responses={204: OpenApiResponse(description="It is gone."), **problems(404)},
    )  # fmt: skip
    def delete(self, request: Request, rule_id: str) -> Response:
        """Delete it."""
        services.rules.delete(rule=access_rule(user_of(request), rule_id, Action.MANAGE))
        return Response(status=status.HTTP_204_NO_CONTENT)


class TestRuleView(StrictQuery):
    """Trying a rule."""

    name = "Test"
    required_action = Action.MANAGE

    @extend_schema(
        operation_id="rules_test", summary="Test a rule", tags=["notifications"], parameters=[RULE_ID], request=None,
        responses={202: NotificationSerializer, **problems(404)},
    )  # fmt: skip
    def post(self, request: Request, rule_id: str) -> Response:
        """Send now what it would say. Read the notification again to see what became of it."""
        user = user_of(request)
        one = services.rules.test(rule=access_rule(user, rule_id, Action.MANAGE), user=user, key=uuid7().hex)
        return Response(NotificationSerializer(one).data, status=status.HTTP_202_ACCEPTED)


def _save(request: Request, rule: Rule) -> Rule:
    try:
        return services.rules.save(rule=rule, user=user_of(request))
    except services.rules.RuleRefused as error:
        raise invalid({error.field: [str(error)]}) from error
