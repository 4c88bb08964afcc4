"""`/api/user/subscription`: what one has and has used. `/api/user/payment/…`: buying credits."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.http import Http404
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import Action
from accounts.api.authentication import user_of
from accounts.api.legacy.base import TOKEN, SignedIn, SignedInView
from accounts.services import personal_account
from billing.api.views import order_and_begin
from billing.models import Order
from billing.providers import ProviderError
from billing.services import balance, orders, packages, subscription
from iotportal.legacy import answer
from iotportal.legacy_schema import Answer, describe
from iotportal.problems import Problem, invalid


class SubscriptionAnswer(Answer):
    """What one has and has used."""

    type = serializers.ChoiceField(choices=["Free", "Paid"])
    credits = serializers.IntegerField()
    used = serializers.IntegerField(help_text="Messages sent in this calendar month, in your time zone.")
    left = serializers.IntegerField(help_text="Messages that may still be sent in it.")


class SubscriptionView(SignedInView):
    """The subscription. Reading only: no client sets credits."""

    required_action = Action.READ

    @describe(
        "user_subscription",
        "Read your subscription",
        takes=SignedIn,
        answers=SubscriptionAnswer,
        sent={"username": "alice", "access_token": TOKEN},
        got={"message": "412 messages used this month.", "type": "Free", "credits": 0, "used": 412, "left": 99588},
    )
    def post(self, request: Request) -> Response:
        """Return the kind of subscription, the credits, and the messages of this calendar month."""
        found = subscription(personal_account(user_of(request)).pk)
        kind = "Paid" if found.paid else "Free"
        message = f"{found.used:,} messages used this month."
        return answer(message, type=kind, credits=found.credits, used=found.used, left=found.left)

    get = post


# --- buying ----------------------------------------------------------------------------------------------------------------

_ORDER = "01a21c658ee373f9937d75a6417d5b7f"  # in examples


@extend_schema_field(
    {
        "oneOf": [
            {"type": "integer"},
            {"type": "object", "required": ["credits"], "properties": {"credits": {"type": "integer"}}},
        ],
        "description": "How many credits: 500, 1000, 5000 or 10000, or what else this portal offers; as a number, or as "
        "`credits` of an object.",
    }
)
class WantedField(serializers.JSONField):
    """A number of credits."""


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string"},
            {"type": "object", "required": ["paymentId"], "properties": {"paymentId": {"type": "string"}}},
        ],
        "description": "What `paypalsetup` answered as `paymentId`; as text, or as `paymentId` of an object, which may have "
        "PayPal's `payerId` beside it.",
    }
)
class PaymentField(serializers.JSONField):
    """The id of a payment."""


class SetupBody(SignedIn):
    """How much is to be bought."""

    payment = WantedField()


class PaymentBody(SignedIn):
    """Which payment."""

    payment = PaymentField()
    aliases: ClassVar = {"payment": ("paymentId", "paymentid")}


class SetupAnswer(Answer):
    """Where to approve it."""

    approval_url = serializers.CharField(help_text="PayPal's page, for the buyer's browser.")
    paymentId = serializers.CharField(help_text="Names the payment from now on.")  # noqa: N815 - the documented spelling


class PaymentAnswer(Answer):
    """How far it is."""

    payment_status = serializers.CharField(help_text="open, pending, paid, partly_refunded, refunded, disputed or failed.")
    credits = serializers.IntegerField(help_text="The balance, with the bought ones once it is paid.")


class PaymentView(SignedInView):
    """What the paths of payments share: they are about one's own account."""

    required_action = Action.BILLING

    def state(self, order: Order) -> Response:
        """Say how far a payment is."""
        said = {
            Order.Status.OPEN: "PayPal has not confirmed the payment yet.",
            Order.Status.PENDING: "PayPal has the payment, but not the money yet.",
            Order.Status.PAID: f"{order.all_credits:,} credits added.",
        }
        message = said.get(Order.Status(order.status), f"{order.get_status_display()}.")
        return answer(message, payment_status=order.status, credits=balance(order.account))

    def order(self, request: Request) -> Order:
        """Return the order that the body names. Raises Problem: 400 or 404."""
        value = self.taken(request, PaymentBody)["payment"]
        value = value.get("paymentId") if isinstance(value, dict) else value
        if not isinstance(value, str):
            raise invalid({"payment": ["A paymentId as text, or an object with paymentId."]})
        try:
            return orders.access_order(user_of(request), UUID(hex=value))
        except (ValueError, Http404) as error:
            raise Problem(404, "not_found", "No such payment.") from error


class PayPalSetupView(PaymentView):
    """Begin a payment."""

    @describe(
        "payment_paypalsetup",
        "Begin to buy credits",
        takes=SetupBody,
        answers=SetupAnswer,
        sent={"username": "alice", "access_token": TOKEN, "payment": {"credits": 500}},
        got={
            "message": "Approve the payment at PayPal.",
            "approval_url": "https://www.paypal.com/cgi-bin/webscr?cmd=_xclick&…",
            "paymentId": _ORDER,
        },
        errors={403: None, 409: ("not_for_sale", "That cannot be bought here right now.")},
    )
    def post(self, request: Request) -> Response:
        """Make an order of a package; returns where the buyer approves it. Nothing is paid before."""
        credits = _wanted(self.taken(request, SetupBody)["payment"])
        package = packages().filter(credits=credits).order_by("currency").first()
        if package is None:
            offered = ", ".join(f"{one:,}" for one in packages().values_list("credits", flat=True))
            raise invalid({"payment": [f"There is no package of so many credits; there are {offered}."]})
        order, url = order_and_begin(request, personal_account(user_of(request)), package.pk)
        return answer("Approve the payment at PayPal.", approval_url=url, paymentId=order.pk.hex)


def _wanted(value: Any) -> int:
    value = value.get("credits") if isinstance(value, dict) else value
    if type(value) is not int or not 0 < value < 2**31:
        raise invalid({"payment": ["A number of credits, or an object with credits."]})
    return value


_SENT = {"username": "alice", "access_token": TOKEN, "payment": {"paymentId": _ORDER}}
_GOT = {"message": "500 credits added.", "payment_status": "paid", "credits": 500}
_ERRORS = {403: None, 404: ("not_found", "No such payment.")}


class PayPalExecuteView(PaymentView):
    """Carry an approved payment out."""

    @describe(
        "payment_paypalexecute",
        "Carry an approved payment out",
        takes=PaymentBody,
        answers=PaymentAnswer,
        sent=_SENT,
        got=_GOT,
        errors=_ERRORS,
    )
    def post(self, request: Request) -> Response:
        """Have PayPal carry out what the buyer approved; returns how far it is. As often as you like: it is paid once."""
        order = self.order(request)
        try:
            return self.state(orders.complete_payment(order))
        except ProviderError as error:
            raise Problem(503, "unavailable", str(error), retry_after_s=30) from error


class PayPalVerifyView(PaymentView):
    """Ask how far a payment is."""

    @describe(
        "payment_paypalverify",
        "Ask how far a payment is",
        takes=PaymentBody,
        answers=PaymentAnswer,
        sent=_SENT,
        got=_GOT,
        errors=_ERRORS,
    )
    def post(self, request: Request) -> Response:
        """Return how far the payment is, and the balance. Nothing that a client says here moves credits."""
        return self.state(self.order(request))
