"""The one place that says which role may do what in an account."""

from enum import StrEnum

from accounts.models import Role


class Action(StrEnum):
    """What somebody wants to do with an object of an account."""

    READ = "read"
    CONTROL = "control"
    MANAGE = "manage"


_ROLES: dict[Action, frozenset[str]] = {
    Action.READ: frozenset({Role.VIEWER, Role.OPERATOR, Role.ADMIN, Role.OWNER}),
    Action.CONTROL: frozenset({Role.OPERATOR, Role.ADMIN, Role.OWNER}),
    Action.MANAGE: frozenset({Role.ADMIN, Role.OWNER}),
}
_SCOPES: dict[Action, frozenset[str]] = {
    Action.READ: frozenset({"read", "control", "manage"}),
    Action.CONTROL: frozenset({"control", "manage"}),
    Action.MANAGE: frozenset({"manage"}),
}


def role_may(role: str, action: Action) -> bool:
    """Say whether a member with `role` may do `action`."""
    return role in _ROLES[action]


def scope_may(scope: str, action: Action) -> bool:
    """Say whether a token with `scope` may do `action` (within what its user may)."""
    return scope in _SCOPES[action]


def roles_for(action: Action) -> frozenset[str]:
    """Return the roles that may do `action`."""
    return _ROLES[action]
