"""Promo codes in the API. A token needs the scope `billing`."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import F
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.authentication import user_of
from billing.api.views import ACCOUNT_ID, Billing
from billing.services import promo_codes
from billing.views.promo_codes import TRIES
from iotportal.openapi import problems
from iotportal.pagination import PAGE_PARAMETERS, PAGE_QUERY, CursorPagination
from iotportal.problems import Problem
from iotportal.serializers import PageSerializer, StrictSerializer, TextField


class PromoRedemptionSerializer(serializers.Serializer[Any]):
    """A code that was redeemed."""

    id = serializers.UUIDField(format="hex")
    code = serializers.CharField(source="promo_code.code")
    credits = serializers.IntegerField(help_text="What it brought at once; 0 for one that brings more with a package.")
    percent = serializers.IntegerField(help_text="How much more it brings with the next package; 0 for one that brought credits.")
    order = serializers.UUIDField(
        source="order_id", format="hex", allow_null=True, help_text="The order that it brought more with; null: none, or not yet."
    )
    redeemed_at = serializers.DateTimeField()


class PromoRedemptionPageSerializer(PageSerializer):
    """Codes that were redeemed, the oldest first."""

    results = PromoRedemptionSerializer(many=True)


class PromoCodeRequestSerializer(StrictSerializer):
    """A promo code."""

    code = TextField(
        max_length=promo_codes.MAX_TYPED, help_text="Letters and digits; capitals, spaces and hyphens do not matter."
    )


class PromoCodesView(Billing):
    """The promo codes of an account."""

    name = "Promo codes"
    query: ClassVar[tuple[str, ...]] = PAGE_QUERY

    @extend_schema(
        operation_id="promo_codes_list",
        summary="List redeemed promo codes",
        tags=["billing"],
        parameters=[ACCOUNT_ID, *PAGE_PARAMETERS],
        responses={200: PromoRedemptionPageSerializer},
    )
    def get(self, request: Request, account_id: str) -> Response:
        """Return one page of redeemed codes, the oldest first, with the order that one brought more with."""
        found = promo_codes.redemptions_of(self.account(account_id))
        pages = CursorPagination()
        rows = pages.paginate_queryset(found.annotate(created_at=F("redeemed_at")), request, self)
        return pages.get_paginated_response(PromoRedemptionSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="promo_codes_redeem",
        summary="Redeem a promo code",
        tags=["billing"],
        parameters=[ACCOUNT_ID],
        request=PromoCodeRequestSerializer,
        responses={201: PromoRedemptionSerializer, **problems(409)},
    )
    def post(self, request: Request, account_id: str) -> Response:
        """Use a code for the account: its credits are there at once, or its percent count for the next package."""
        account, user = self.account(account_id), user_of(request)
        form = PromoCodeRequestSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        http = request._request  # the limit counts addresses by Django's own
        if not TRIES.allow(str(user.pk), http):
            wait_s = TRIES.wait_s(str(user.pk), http)
            raise Problem(429, "throttled", "Too many codes. Wait a little, then try again.", retry_after_s=wait_s)
        try:
            redeemed = promo_codes.redeem_code(account=account, user=user, typed=form.validated_data["code"])
        except promo_codes.PromoCodeRefused as error:
            raise Problem(409, error.code, str(error)) from error
        return Response(PromoRedemptionSerializer(redeemed).data, status=status.HTTP_201_CREATED)
