"""Writes of accounts that have a consequence, a module a story."""

from accounts.services.deletion import delete_due, keep_account, owned_alone, request_deletion
from accounts.services.errors import (
    AlreadyInvited,
    AlreadyMember,
    InvalidName,
    LastOwner,
    NoSuchInvitation,
    NoSuchMember,
    NotAnOrganisation,
    NotInvited,
    OnlyOwner,
    OrganisationError,
    RoleTooLow,
    StaffStays,
    TooManyInvitations,
    TooManyMembers,
    TooManyOrganisations,
    WrongName,
)
from accounts.services.invitations import (
    accept_invitation,
    decline_invitation,
    delete_ended_invitations,
    find_invitation,
    invitations_to,
    invite,
    is_invited,
    open_invitations,
    resend_invitation,
    withdraw_invitation,
)
from accounts.services.login_tokens import (
    LoginTokens,
    RefreshTokenJustUsed,
    SignInChanged,
    UnknownRefreshToken,
    delete_ended_logins,
    log_in,
    log_out,
    renew_login,
)
from accounts.services.members import change_role, remove_member
from accounts.services.organisations import create_organisation, delete_organisation, rename_organisation, set_time_zone
from accounts.services.sessions import end_others, end_session
from accounts.services.tokens import NameTaken, TooManyTokens, create_token, find_token, revoke_all_tokens, revoke_token
from accounts.services.users import (
    abandon_sign_up,
    change_password,
    create_personal_account,
    create_user,
    deactivate_user,
    personal_account,
)

__all__ = [
    "AlreadyInvited", "AlreadyMember", "InvalidName", "LastOwner", "LoginTokens", "NameTaken", "NoSuchInvitation",
    "NoSuchMember", "NotAnOrganisation", "NotInvited", "OnlyOwner", "OrganisationError", "RefreshTokenJustUsed", "RoleTooLow",
    "SignInChanged", "StaffStays", "TooManyInvitations", "TooManyMembers", "TooManyOrganisations", "TooManyTokens",
    "UnknownRefreshToken", "WrongName", "abandon_sign_up", "accept_invitation", "change_password", "change_role",
    "create_organisation", "create_personal_account", "create_token", "create_user", "deactivate_user", "decline_invitation",
    "delete_due", "delete_ended_invitations", "delete_ended_logins", "delete_organisation", "end_others", "end_session",
    "find_invitation", "find_token", "invitations_to", "invite", "is_invited", "keep_account", "log_in", "log_out",
    "open_invitations", "owned_alone", "personal_account", "remove_member", "rename_organisation", "renew_login",
    "request_deletion", "resend_invitation", "revoke_all_tokens", "revoke_token", "set_time_zone",
    "withdraw_invitation",
]  # fmt: skip
