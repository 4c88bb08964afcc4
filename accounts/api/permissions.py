"""What a token's scope allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from accounts.access import Action, scopes_may
from accounts.models import ApiToken

if TYPE_CHECKING:  # rest_framework.views loads this module while it is being loaded itself
    from rest_framework.views import APIView


class TokenScope(BasePermission):
    """A token may do what its scope says; a session may do all its user may.

    A view names what it needs in `required_action`; without that, reading needs READ and everything else MANAGE.
    """

    message = "This token's scope does not allow that."

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Say whether the request's token reaches far enough."""
        if not isinstance(request.auth, ApiToken):
            return True
        default = Action.READ if request.method in SAFE_METHODS else Action.MANAGE
        return scopes_may(request.auth.scopes, getattr(view, "required_action", None) or default)
