"""Credits in the API: what an account has and used, what can be bought, and orders. A token needs the scope `billing`."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.db.models import F
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import Action, access_account
from accounts.api.authentication import user_of
from accounts.models import Account
from billing import money, services
from billing.models import Order, Package
from billing.providers import ProviderError
from billing.services import orders, usage
from billing.views.buying import ORDERS
from iotportal.openapi import problems
from iotportal.pagination import PAGE_PARAMETERS, PAGE_QUERY, CursorPagination
from iotportal.problems import Problem, invalid
from iotportal.queries import StrictQuery
from iotportal.serializers import PageSerializer, StrictSerializer, TextField

_HEX = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
ACCOUNT_ID = OpenApiParameter("account_id", _HEX, OpenApiParameter.PATH, description="32 hex digits.")
ORDER_ID = OpenApiParameter("order_id", _HEX, OpenApiParameter.PATH, description="32 hex digits.")


class PackageSerializer(serializers.Serializer[Any]):
    """Credits that can be bought together."""

    id = serializers.IntegerField()
    credits = serializers.IntegerField()
    currency = serializers.CharField(help_text="ISO 4217.")
    price = serializers.SerializerMethodField(help_text="What is paid, tax included, as text.")

    def get_price(self, one: Package) -> str:
        """Write the price."""
        return money.to_text(one.price_minor, one.currency)


class PackagesSerializer(serializers.Serializer[Any]):
    """All packages."""

    results = PackageSerializer(many=True)


class DaySerializer(serializers.Serializer[Any]):
    """One day, in the account's time zone."""

    day = serializers.DateField()
    messages = serializers.IntegerField()


class SubscriptionSerializer(serializers.Serializer[Any]):
    """What an account has and has used this month, in its time zone."""

    type = serializers.ChoiceField(choices=["Free", "Paid"])
    credits = serializers.IntegerField()
    debt = serializers.IntegerField(help_text="Credits that were used and then paid back; the next purchase pays them first.")
    used = serializers.IntegerField(help_text="Messages sent.")
    limit = serializers.IntegerField(help_text="Messages that may be sent: the free ones and what the credits pay for.")
    left = serializers.IntegerField()
    ends_at = serializers.DateTimeField(help_text="When the next month begins, in the account's time zone.")
    days = DaySerializer(many=True)


class TransactionSerializer(serializers.Serializer[Any]):
    """What the payment provider did with the money."""

    kind = serializers.CharField(help_text="payment, refund, reversal (a dispute) or reinstatement.")
    status = serializers.CharField(help_text="pending, completed or failed.")
    reference = serializers.CharField(help_text="The provider's own id.")
    amount = serializers.SerializerMethodField()
    at = serializers.DateTimeField()

    def get_amount(self, one: Any) -> str:
        """Write the amount."""
        return money.to_text(one.amount_minor, one.order.currency)


class OrderSerializer(serializers.Serializer[Any]):
    """An order."""

    id = serializers.UUIDField(format="hex")
    status = serializers.CharField(help_text="open, pending, paid, partly_refunded, refunded, disputed or failed.")
    credits = serializers.IntegerField()
    bonus_credits = serializers.IntegerField(help_text="More of them by a promo code, once it is paid.")
    currency = serializers.CharField()
    price = serializers.SerializerMethodField(help_text="What is paid, tax included, as text.")
    tax = serializers.SerializerMethodField(help_text="The tax in the price.")
    country = serializers.CharField()
    created_at = serializers.DateTimeField(source="made_at")
    paid_at = serializers.DateTimeField(allow_null=True)
    receipt = serializers.SerializerMethodField(help_text="The number of the receipt; null: not paid yet.")
    payments = TransactionSerializer(source="transactions", many=True)

    def get_price(self, one: Order) -> str:
        """Write the price."""
        return money.to_text(one.price_minor, one.currency)

    def get_tax(self, one: Order) -> str:
        """Write the tax."""
        return money.to_text(one.tax_minor, one.currency)

    def get_receipt(self, one: Order) -> int | None:
        """Return the number."""
        return one.receipt.number if hasattr(one, "receipt") else None


class MadeOrderSerializer(OrderSerializer):
    """A new order."""

    approval_url = serializers.CharField(help_text="Where the buyer approves the payment, in a browser.")


class OrderPageSerializer(PageSerializer):
    """Orders, the oldest first."""

    results = OrderSerializer(many=True)


class NewOrderSerializer(StrictSerializer):
    """What is to be bought."""

    package = serializers.IntegerField(min_value=1, help_text="The id of a package.")
    country = TextField(required=False, default="", max_length=2, help_text="Two letters, for the tax in the price.")


class Billing(StrictQuery):
    """What the views of an account's bills share."""

    required_action = Action.BILLING

    def account(self, account_id: str) -> Account:
        """Return the account if the caller may see to its bills."""
        return access_account(user_of(self.request), _id(account_id, "account"), Action.BILLING)


class PackagesView(Billing):
    """What can be bought."""

    name = "Packages"

    @extend_schema(
        operation_id="packages_list", summary="List packages of credits", tags=["billing"], responses={200: PackagesSerializer}
    )
    def get(self, request: Request) -> Response:
        """Return all packages that are offered, the smallest first."""
        return Response({"results": PackageSerializer(services.packages(), many=True).data})


class SubscriptionView(Billing):
    """What an account has and has used."""

    name = "Subscription"

    @extend_schema(
        operation_id="subscription_read",
        summary="Read an account's credits and use",
        tags=["billing"],
        parameters=[ACCOUNT_ID],
        responses={200: SubscriptionSerializer},
    )
    def get(self, request: Request, account_id: str) -> Response:
        """Return credits, and the messages of this calendar month (in the account's time zone) with each of its days."""
        account = self.account(account_id)
        found = services.subscription(account.pk)
        days = usage.days_of(account.pk, used=found.used, today=found.today)
        body = {
            "type": "Paid" if found.paid else "Free",
            "credits": found.credits,
            "debt": services.debt(account),
            "used": found.used,
            "limit": found.limit,
            "left": found.left,
            "ends_at": found.ends_at,
            "days": days,
        }
        return Response(SubscriptionSerializer(body).data)


class OrdersView(Billing):
    """An account's orders."""

    name = "Orders"
    query: ClassVar[tuple[str, ...]] = PAGE_QUERY

    @extend_schema(
        operation_id="orders_list",
        summary="List orders with their payments",
        tags=["billing"],
        parameters=[ACCOUNT_ID, *PAGE_PARAMETERS],
        responses={200: OrderPageSerializer},
    )
    def get(self, request: Request, account_id: str) -> Response:
        """Return one page of orders, the oldest first."""
        found = orders.orders_of(self.account(account_id)).prefetch_related("transactions__order")
        pages = CursorPagination()
        rows = pages.paginate_queryset(found.annotate(created_at=F("made_at")), request, self)
        return pages.get_paginated_response(OrderSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="orders_create",
        summary="Order a package of credits",
        tags=["billing"],
        parameters=[ACCOUNT_ID],
        request=NewOrderSerializer,
        responses={201: MadeOrderSerializer, **problems(409)},
    )
    def post(self, request: Request, account_id: str) -> Response:
        """Make an order, and return where its buyer approves the payment. The credits come once the provider has the money."""
        account = self.account(account_id)
        form = NewOrderSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        made, url = order_and_begin(request, account, form.validated_data["package"], form.validated_data["country"])
        return Response(MadeOrderSerializer(_with(made, url)).data, status=status.HTTP_201_CREATED)


class OrderView(Billing):
    """One order."""

    name = "One order"

    @extend_schema(
        operation_id="orders_read",
        summary="Read an order with its payments",
        tags=["billing"],
        parameters=[ACCOUNT_ID, ORDER_ID],
        responses={200: OrderSerializer},
    )
    def get(self, request: Request, account_id: str, order_id: str) -> Response:
        """Return the order."""
        found = orders.orders_of(self.account(account_id)).filter(pk=_id(order_id, "order")).first()
        if found is None:
            raise Problem(404, "not_found", "No such order.")
        return Response(OrderSerializer(found).data)


def order_and_begin(request: Request, account: Account, package_id: int, country: str = "") -> tuple[Order, str]:
    """Make an order, and return it with the address at which it is paid.

    Raises:
        Problem: 409, that is not for sale; 429, too many orders; 503, the provider does not answer.
    """
    user = user_of(request)
    if not ORDERS.allow(str(user.pk)):
        wait_s = ORDERS.wait_s(str(user.pk))
        raise Problem(429, "throttled", "Too many orders. Wait a little, then try again.", retry_after_s=wait_s)
    if not 0 < package_id < 2**31:
        raise invalid({"package": ["There is no such package."]})
    try:
        made = orders.place_order(account=account, buyer=user, package_id=package_id, country=country)
        return made, orders.begin_payment(made)
    except orders.NothingForSale as error:
        raise Problem(409, "not_for_sale", str(error)) from error
    except ProviderError as error:
        raise Problem(503, "unavailable", str(error), retry_after_s=30) from error


def _with(order: Order, url: str) -> Order:
    order.approval_url = url  # type: ignore[attr-defined]  # for the serializer alone
    return order


def _id(text: str, what: str) -> UUID:
    try:
        if len(text) in {32, 36}:
            return UUID(hex=text)
    except ValueError:
        pass
    raise Problem(404, "not_found", f"No such {what}.")
