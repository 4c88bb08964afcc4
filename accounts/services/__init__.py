"""Writes of accounts that have a consequence, a module a story."""

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
    "NameTaken", "TooManyTokens", "abandon_sign_up", "change_password", "create_personal_account", "create_token", "create_user",
    "deactivate_user", "find_token", "personal_account", "revoke_all_tokens", "revoke_token",
]  # fmt: skip
