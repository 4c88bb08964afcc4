"""Who one is."""

from __future__ import annotations

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import Action
from accounts.api.authentication import user_of
from accounts.api.legacy.base import TOKEN, SignedIn, SignedInView
from iotportal.legacy import answer
from iotportal.legacy_schema import Answer, describe


class ProfileAnswer(Answer):
    """Who one is."""

    id = serializers.CharField(help_text="32 hex digits.")
    username = serializers.CharField()
    email = serializers.CharField()
    firstname = serializers.CharField()
    lastname = serializers.CharField()
    givenname = serializers.CharField(help_text="The same as `firstname`.")
    familyname = serializers.CharField(help_text="The same as `lastname`.")


class ProfileView(SignedInView):
    """Who one is."""

    required_action = Action.READ

    @describe(
        "user_read",
        "Read your profile",
        takes=SignedIn,
        answers=ProfileAnswer,
        sent={"username": "alice", "access_token": TOKEN},
        got={
            "message": "This is alice.",
            "id": "0123456789abcdef0123456789abcdef",
            "username": "alice",
            "email": "alice@example.com",
            "firstname": "Alice",
            "lastname": "Ames",
            "givenname": "Alice",
            "familyname": "Ames",
        },
    )
    def post(self, request: Request) -> Response:
        """Return user name, e-mail address and names."""
        user = user_of(request)
        first, last = user.first_name, user.last_name
        names = {"firstname": first, "lastname": last, "givenname": first, "familyname": last}
        return answer(f"This is {user.username}.", id=user.uuid.hex, username=user.username, email=user.email, **names)

    get = post
