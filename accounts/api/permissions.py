"""What a token's scope allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allauth.account.adapter import get_adapter
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from accounts.access import Action, token_may
from accounts.models import ApiToken
from iotportal.problems import Problem

if TYPE_CHECKING:  # rest_framework.views loads this module while it is being loaded itself
    from rest_framework.views import APIView


class TokenScope(BasePermission):
    """A personal token may do what its scopes say; a session, and a login token, may do all their user may.

    A view names what it needs in `required_action`; without that, reading needs READ and everything else MANAGE.
    """

    message = "This token's scope does not allow that."

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Say whether the request's token reaches far enough."""
        default = Action.READ if request.method in SAFE_METHODS else Action.MANAGE
        return reaches(request, getattr(view, "required_action", None) or default)


def reaches(request: Request, action: Action) -> bool:
    """Say whether what the request was signed in with reaches as far as `action`; whether its user may is another question."""
    token = request.auth
    return not isinstance(token, ApiToken) or token_may(token.kind, token.scopes, action)


class SignedInPerson(BasePermission):
    """A person who has signed in, in a browser or a program; a personal token that fell into other hands must not multiply."""

    message = "A personal API token cannot do that. Sign in instead."

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Refuse personal tokens."""
        return not isinstance(request.auth, ApiToken) or request.auth.kind == ApiToken.Kind.LOGIN


def require_recent_sign_in(request: Request) -> None:
    """Ask of a browser what its pages ask: that whoever sits there has signed in within the last minutes.

    Raises:
        Problem: 403 `sign_in_again`.
    """
    if request.auth is None and get_adapter(request._request).is_reauthentication_required(app="accounts"):
        sentence = "That needs a sign-in within the last minutes. Confirm on the Account page that it is you, then try again."
        raise Problem(403, "sign_in_again", sentence)
