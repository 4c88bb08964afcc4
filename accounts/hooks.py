"""What happens in accounts and others may react to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from accounts.models import Account, User
from iotportal.hooks import Hook

if TYPE_CHECKING:  # it reads what services say, which call these hooks
    from accounts.exports import Export


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """A user came into an account, left it (`role` is None), or has another role there now."""

    account_id: UUID
    user_id: int
    role: str | None


@dataclass(frozen=True, slots=True)
class Departure:
    """A user whose account is being deleted, and the personal account that goes with them."""

    user: User
    account: Account


@dataclass(frozen=True, slots=True)
class SignIn:
    """Somebody signed in with a browser in which they had not signed in before. A handler that fails is logged."""

    user: User
    address: str
    agent: str  # what the browser says it is
    session_key: str


token_revoked: Hook[str] = Hook()  # the token's hash
user_deactivated: Hook[User] = Hook()  # nothing of theirs may go on: live pages, commands under way
password_changed: Hook[User] = Hook()  # all their sessions and tokens ended with the old one
membership_changed: Hook[MembershipChange] = Hook()
account_closed: Hook[Account] = Hook()  # its last members are about to leave: what it owns must stop working
# All that is theirs ended before; what is left is personal data. Called outside of a transaction, so that much can be deleted in
# steps, and again where a run was broken off.
person_erased: Hook[Departure] = Hook()
account_exported: Hook[Export] = Hook()  # add the files of what is theirs
session_ended: Hook[str] = Hook()  # the session's key
signed_in_from_new_place: Hook[SignIn] = Hook()
