"""Writes of accounts that have a consequence, a module a story."""

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
    "LoginTokens", "NameTaken", "RefreshTokenJustUsed", "SignInChanged", "TooManyTokens", "UnknownRefreshToken",
    "abandon_sign_up", "change_password", "create_personal_account", "create_token", "create_user", "deactivate_user",
    "delete_ended_logins", "find_token", "log_in", "log_out", "personal_account", "renew_login", "revoke_all_tokens",
    "revoke_token",
]  # fmt: skip
