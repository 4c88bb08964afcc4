"""Requests as views see them."""

from django.http import HttpRequest

from accounts.models import User

AREA = {"area": "menu"}  # where the Account pages stand in the menu


class AuthedRequest(HttpRequest):
    """A request behind `login_required`: its user is never anonymous."""

    user: User
