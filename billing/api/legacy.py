"""`/api/user/subscription`: what one has and has used."""

from __future__ import annotations

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import Action
from accounts.api.authentication import user_of
from accounts.api.legacy.base import TOKEN, SignedIn, SignedInView
from accounts.services import personal_account
from billing.services import subscription
from iotportal.legacy import answer
from iotportal.legacy_schema import Answer, describe


class SubscriptionAnswer(Answer):
    """What one has and has used."""

    type = serializers.ChoiceField(choices=["Free", "Paid"])
    credits = serializers.IntegerField()
    used = serializers.IntegerField(help_text="Messages sent in this calendar month (UTC).")
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
        """Return the kind of subscription, the credits, and the messages of this calendar month (UTC)."""
        found = subscription(personal_account(user_of(request)).pk)
        kind = "Paid" if found.paid else "Free"
        message = f"{found.used:,} messages used this month."
        return answer(message, type=kind, credits=found.credits, used=found.used, left=found.left)

    get = post
