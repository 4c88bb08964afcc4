"""Who a name and a password belong to."""

from __future__ import annotations

from allauth.account.auth_backends import AuthenticationBackend as AllauthBackend

from accounts.models import User


class AuthenticationBackend(AllauthBackend):  # type: ignore[misc]  # allauth has no types
    """Allauth's, which looks for each name among the addresses first; here only for what could be one."""

    def _authenticate_by_email(self, email: str, password: str) -> User | None:
        found: User | None = super()._authenticate_by_email(email, password) if "@" in email else None
        return found
